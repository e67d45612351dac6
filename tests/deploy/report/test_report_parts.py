"""The report's parts against values worked out by hand: numbers, plots, pictures, colours."""

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hardedge.contracts import ClassInfo, Interval, Latency, LatencyComparison, Task
from hardedge.data.palette import palette_image
from hardedge.deploy.report.pictures import (
    WRONG,
    SamplePictures,
    error_map,
    errors_in_hardest_tenth,
    ramp_colors,
    sample_facts,
)
from hardedge.pages.charts import histogram_chart, histogram_range, interval_limit, intervals, tick_values
from hardedge.pages.glossary import GLOSSARY, explained
from hardedge.pages.markup import Markup, as_sentence, badge, number_text, percent_text, signed_number, size_text, tag
from hardedge.pages.page import style
from hardedge.pages.thumbnails import WIDEST, data_uri

TASK = Task(classes=tuple(ClassInfo(name=n, color=(i, 9, 9)) for i, n in enumerate("abc")), ignore_index=255)


def test_text_is_escaped_and_markup_is_not() -> None:
    made = tag("p", "a < b & c", tag("b", "d"), None, class_="x", aria_label='"quoted"', title=None)
    assert made == '<p class="x" aria-label="&quot;quoted&quot;">a &lt; b &amp; c<b>d</b></p>'
    assert isinstance(made, Markup)
    assert tag("img", src="data:,") == '<img src="data:,">'


def test_a_status_may_mean_well_where_it_is_hoped_for() -> None:
    assert 'class="badge bad"' in badge("different")
    assert 'class="badge good"' in badge("different", "good")


def test_numbers_are_set_as_people_read_them() -> None:
    thin = "\u202f"
    assert [number_text(None), number_text(-1.5), number_text(1234567, 0)] == ["–", "−1.50", f"1{thin}234{thin}567"]
    assert [signed_number(0.004), signed_number(-0.004), signed_number(0.2), signed_number(-0.2)] == [
        "0.00",
        "0.00",
        "+0.20",
        "−0.20",
    ]
    assert [percent_text(1.0), percent_text(0.9999999), percent_text(None)] == [f"100{thin}%", f"99.999{thin}%", "–"]
    assert [size_text(12_940_113), size_text(990)] == [f"12.94{thin}MB", f"1.0{thin}kB"]


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("the same bytes", "The same bytes."),
        ("tensorrt_rtx is absent", "tensorrt_rtx is absent."),
        ("Done.", "Done."),
        ("", ""),
    ],
)
def test_a_detail_is_set_as_a_sentence(detail: str, shown: str) -> None:
    assert as_sentence(detail) == shown


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_ticks_are_few_even_and_inside(low: float, width: float) -> None:
    ticks = tick_values(low, low + width)
    assert 1 <= len(ticks) <= 7
    slack = 1e-6 * max(1.0, abs(low), width)
    assert all(low - slack <= tick <= low + width + slack for tick in ticks)
    gaps = np.diff(ticks)
    assert np.allclose(gaps, gaps[:1].sum(), atol=slack)


def compared(low: float, ratio: float, high: float) -> LatencyComparison:
    interval = Interval(low=low, high=high, confidence=90.0)
    return LatencyComparison(
        arm="x",
        ratio=ratio,
        interval=interval,
        status="inconclusive",
        detail="",
        sessions=5,
        blocks=9,
        blocks_to_decide=None,
    )


def test_intervals_lie_where_their_numbers_say() -> None:
    drawn = intervals([("noise floor", compared(0.985, 1.0, 1.015))])
    # the axis runs from -3 % to +3 %: the band of 1 % from a third to two thirds, the interval from a quarter to three
    assert '<rect x="33.33%" y="0.0" width="33.33%" height="46.0" class="band">' in drawn
    assert '<rect x="25.00%" y="29.0" width="50.00%" height="6.0" class="interval">' in drawn
    assert 'cx="50.00%"' in drawn
    assert "noise floor: 0.00 % [−1.50, +1.50]" in drawn
    assert 'class="arrow"' not in drawn


def test_a_far_interval_is_pointed_at_and_leaves_the_axis_alone() -> None:
    near, far = compared(0.99, 1.0, 1.02), compared(1.3, 1.4, 1.5)
    assert interval_limit([near, far]) == interval_limit([near]) == 3.0
    drawn = intervals([("a", near), ("b", far)])
    assert drawn.count("▶") == 1
    assert drawn.count("<circle") == 1


def timed(samples: list[float]) -> Latency:
    p50, p90, p99 = (float(value) for value in np.percentile(samples, (50, 90, 99)))
    values = tuple(samples)
    return Latency(
        target="t", precision="fp32", size=(4, 4), runs=len(values), p50=p50, p90=p90, p99=p99, samples=values
    )


def test_a_histogram_ends_a_little_beyond_p99() -> None:
    samples = np.array([*np.linspace(10, 11, 1000), 90.0])
    assert histogram_range(samples, 11.0) == (10.0, 11.25)
    drawn = histogram_chart(timed(samples.tolist()))
    heights = [float(height) for height in re.findall(r'height="([\d.]+)" class="bar"', drawn)]
    assert max(heights) == 84.0
    assert all(f"{name} " in drawn for name in ("p50", "p90", "p99"))


@pytest.mark.parametrize("samples", [[5.0], [5.0, 5.0, 5.0], [1e-3, 2e-3]])
def test_a_histogram_of_next_to_nothing_is_drawn(samples: list[float]) -> None:
    drawn = histogram_chart(timed(samples))
    assert 'class="bar"' in drawn
    assert "nan" not in drawn


def sample() -> SamplePictures:
    truth_HW = np.array([[0, 1, 2, 255], [0, 1, 2, 255]], np.uint8)
    prediction_HW = np.array([[0, 1, 1, 0], [0, 1, 2, 0]], np.uint8)
    hardness_HW = np.array([[0, 5, 250, 255], [0, 9, 20, 255]], np.uint8)
    return SamplePictures("a", np.full((2, 4, 3), 200, np.uint8), truth_HW, prediction_HW, hardness_HW, truth_HW, None)


def test_the_error_map_shows_wrong_unlabelled_and_right_pixels() -> None:
    shown = error_map(sample(), TASK)
    assert shown[0, 2].tolist() == list(WRONG)
    assert (shown[:, 3] == 255).all()  # black would be like the classes' colours
    assert shown[0, 0].tolist() == [220, 220, 220]


def test_the_numbers_beside_a_picture() -> None:
    found = {name: value.replace("\u202f", " ") for name, value in sample_facts(sample(), TASK)}
    # IoU: a 2/2, b 2/3, c 1/2
    assert found["mIoU of this image"] == "72.2 %"
    assert found["wrong pixels"] == "16.67 %"
    assert found["unlabelled"] == "25.00 %"
    assert found["size"] == "2 × 4"
    assert found["errors in the hardest 10 % of pixels"] == "100.0 %"


def test_hardness_is_not_credited_where_nothing_is_wrong_or_known() -> None:
    labelled_HW = np.ones((2, 5), bool)
    wrong_HW = np.zeros((2, 5), bool)
    hardness_HW = np.arange(10, dtype=np.uint8).reshape(2, 5)
    assert errors_in_hardest_tenth(hardness_HW, labelled_HW, wrong_HW) is None
    wrong_HW[0, 0] = wrong_HW[1, 4] = True
    assert errors_in_hardest_tenth(None, labelled_HW, wrong_HW) is None
    assert errors_in_hardest_tenth(hardness_HW, labelled_HW, wrong_HW) == 0.5


def test_the_hardness_ramp_grows_brighter_all_the_way() -> None:
    luminance = ramp_colors() @ [0.2126, 0.7152, 0.0722]
    assert luminance.shape == (256,)
    assert (np.diff(luminance) > -0.5).all()
    assert luminance[0] < 20
    assert luminance[-1] > 220


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_masks_keep_their_indices_and_wide_pictures_shrink() -> None:
    mask_HW = np.random.default_rng(0).integers(0, 3, (20, 30), np.uint8)
    assert np.array_equal(np.asarray(decoded(data_uri(palette_image(mask_HW, TASK), exact=True))), mask_HW)
    wide = decoded(data_uri(Image.fromarray(np.zeros((100, 2 * WIDEST, 3), np.uint8)), exact=False))
    assert wide.size == (WIDEST, 50)
    assert wide.format == "JPEG"


def palettes() -> dict[str, dict[str, str]]:
    """The colours of the style sheet in light, dark and print."""
    roots = re.findall(r":root \{(.*?)\}", style(), re.DOTALL)
    names = ("light", "dark", "print")
    return {name: dict(re.findall(r"--([\w-]+): (#\w+)", root)) for name, root in zip(names, roots, strict=True)}


def luminance(color: str) -> float:
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    channels = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("mode", ["light", "dark", "print"])
def test_text_has_the_contrast_that_wcag_aa_asks_for(mode: str) -> None:
    colors = palettes()[mode]
    pairs = [("ink", "page"), ("soft", "page"), ("accent", "page"), ("ink", "panel")]
    pairs += [(tone, f"{tone}-bg") for tone in ("good", "bad", "open", "none")]
    pairs += [("ink", "lit"), ("soft", "lit")] if mode != "print" else []
    pairs += [("ink", f"{tone}-bg") for tone in ("good", "bad", "open")]
    for text, ground in pairs:
        dark, bright = sorted((luminance(colors[text]), luminance(colors[ground])))
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (mode, text, ground)


def test_words_of_the_glossary_are_explained_once_where_they_stand() -> None:
    shown = explained("Level 0: both arms <b>, an arm, the margin output, a farm")
    assert re.findall(r"<abbr title=\"[^\"]*\">([^<]*)</abbr>", shown) == ["Level 0", "arms", "margin output"]
    assert "&lt;b&gt;, an arm, the " in shown
    assert GLOSSARY["margin output"] in shown
