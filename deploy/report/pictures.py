"""Test images in the report: picture, truth, prediction, errors, hardness, as images inside the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hardedge.contracts import HardnessSource, Report, Task
from hardedge.data.palette import UNLABELLED, distinct_color, palette_image
from hardedge.metrics import confusion_counts, mean_iou
from hardedge.pages.markup import (
    Markup,
    Section,
    as_sentence,
    class_name,
    facts_list,
    note_line,
    number_text,
    percent_text,
    section,
    tag,
)
from hardedge.pages.thumbnails import HARDNESS, data_uri, panel

if TYPE_CHECKING:
    pass

Pixels = npt.NDArray[np.uint8]

WRONG: Final = (214, 22, 38)
ERRORS: Final = (WRONG, (255, 0, 255), (0, 255, 255), (255, 255, 0), (0, 90, 255))
STABLE: Final = (("stable", (120, 120, 120)), ("unstable", (255, 255, 255)), ("stable, but changed", WRONG))
# hardness 0, 64, 128, 191, 255
RAMP: Final = ((9, 10, 38), (78, 24, 110), (176, 48, 96), (240, 128, 44), (252, 240, 160))
UNFOLDED: Final = 3  # images that are shown at once
VIEWS: Final = {
    "panels": "all side by side",
    "truth": "truth",
    "prediction": "prediction",
    "errors": "errors",
    "hardness": "hardness",
    "stable": "stable pixels",
}


@dataclass(frozen=True)
class SamplePictures:
    """One test image: picture uint8 [H, W, 3] RGB; label, prediction, the reference's mask uint8 [H, W].

    Hardness is uint8 [H, W] (255: hardest), stable pixels bool [H, W]; None where they were not written or computed.
    `why` is what it was chosen for.
    """

    id: str
    image_HWC: Pixels
    truth_HW: Pixels
    prediction_HW: Pixels
    hardness_HW: Pixels | None
    reference_HW: Pixels
    stable_HW: npt.NDArray[np.bool_] | None
    why: tuple[str, ...] = ()


def pictures_section(report: Report, samples: Sequence[SamplePictures], *, anchored: bool = True) -> Section:
    """The section of sample images with the legend of the class colours; the first ones, and the others folded.

    `anchored` are they under `#image-ID`, where no gallery has these.
    """
    if not samples:
        return section("Pictures", note_line("No image was chosen for this report."))
    shown = [sample_panels(sample, report.task, report.hardness, anchored) for sample in samples]
    rest = None
    if len(shown) > UNFOLDED:
        told = tag("summary", f"{len(shown) - UNFOLDED} more chosen images")
        rest = tag("details", told, *shown[UNFOLDED:], class_="more")
    ramp = ramp_legend(report.hardness) if report.hardness != "none" else None
    return section("Pictures", class_legend(report.task), ramp, view_switches(samples), *shown[:UNFOLDED], rest)


def view_switches(samples: Sequence[SamplePictures]) -> Markup:
    """What is shown of every image: all panels side by side, or one layer over the picture."""
    there = {
        "hardness": any(sample.hardness_HW is not None for sample in samples),
        "stable": any(sample.stable_HW is not None for sample in samples),
    }
    choices = [
        tag("label", tag("input", type="radio", name="view", id=f"view-{kind}", checked=checked), text)
        for kind, text in VIEWS.items()
        if there.get(kind, True)
        for checked in ("" if kind == "panels" else None,)
    ]
    return tag("fieldset", tag("legend", "Show"), *choices, class_="views")


def class_legend(task: Task) -> Markup:
    """Every class with its colour, and what wrong and unlabelled pixels look like."""
    entries = [tag("li", class_name(info, index)) for index, info in enumerate(task.classes)]
    other = [
        ("unlabelled", distinct_color(task, UNLABELLED)),
        ("wrong (error map)", distinct_color(task, ERRORS)),
        *((f"{name} (stable pixels)", color) for name, color in STABLE),
    ]
    entries += [tag("li", tag("span", class_="chip", style=f"background:rgb{rgb}"), name) for name, rgb in other]
    return tag("ul", *entries, class_="legend", aria_label="Colours of the classes")


def ramp_legend(source: HardnessSource) -> Markup:
    stops = ", ".join(f"rgb{color}" for color in RAMP)
    ramp = tag("span", class_="ramp", style=f"background:linear-gradient(to right, {stops})", aria_hidden="true")
    return tag("p", f"Hardness ({HARDNESS[source]}): 0, easy", ramp, "1, hard", class_="note")


def sample_panels(sample: SamplePictures, task: Task, source: HardnessSource, anchored: bool = True) -> Markup:
    """One image's panels and its numbers."""
    from PIL.Image import fromarray

    panels = [
        panel("picture", f"Picture {sample.id}", fromarray(sample.image_HWC), "picture"),
        panel("truth", f"Labelled classes of {sample.id}", palette_image(sample.truth_HW, task), "truth"),
        panel(
            "prediction", f"Predicted classes of {sample.id}", palette_image(sample.prediction_HW, task), "prediction"
        ),
        panel("errors", f"Wrong pixels of {sample.id}", fromarray(error_map(sample, task)), "errors"),
        hardness_panel(sample, source),
        stable_panel(sample),
        facts_list(sample_facts(sample, task)),
    ]
    shown = tag("div", *panels, class_="panels", data_masks=masks_uri(sample))
    chosen = tag("p", as_sentence(", ".join(sample.why)), class_="note") if sample.why else None
    return tag(
        "div",
        tag("h3", sample.id),
        chosen,
        shown,
        class_="sample",
        id=f"{'image' if anchored else 'chosen'}-{sample.id}",
    )


def masks_uri(sample: SamplePictures) -> str:
    """Label and prediction for the page's script: a PNG with one in red and the other in green."""
    from PIL.Image import fromarray

    masks_HW3 = np.stack((sample.truth_HW, sample.prediction_HW, np.zeros_like(sample.truth_HW)), axis=-1)
    return data_uri(fromarray(masks_HW3), exact=True)


def hardness_panel(sample: SamplePictures, source: HardnessSource) -> Markup:
    from PIL.Image import fromarray

    if sample.hardness_HW is None:
        absent = note_line("No hardness map was written for this image.")
        return tag("figure", absent, tag("figcaption", "hardness"), data_panel="hardness")
    alt = f"Hardness map of {sample.id}: {HARDNESS[source]}"
    return panel("hardness", alt, fromarray(ramp_colors()[sample.hardness_HW]), "hardness")


def stable_panel(sample: SamplePictures) -> Markup | None:
    from PIL.Image import fromarray

    if sample.stable_HW is None or not shows_anything(sample.stable_HW, sample.prediction_HW, sample.reference_HW):
        return None
    alt = f"Stable pixels of {sample.id} in grey, unstable ones in white, stable ones that changed in red"
    shown = stable_map(sample.stable_HW, sample.prediction_HW, sample.reference_HW)
    return panel("stable pixels", alt, fromarray(shown), "stable")


def shows_anything(stable_HW: npt.NDArray[np.bool_], prediction_HW: Pixels, reference_HW: Pixels) -> bool:
    """Whether a map of the stable pixels is more than one plain grey."""
    return bool((~stable_HW | (prediction_HW != reference_HW)).any())


def stable_map(stable_HW: npt.NDArray[np.bool_], prediction_HW: Pixels, reference_HW: Pixels) -> Pixels:
    """Stable pixels in grey, unstable ones in white, stable ones of another class than the reference's in red."""
    map_HWC = np.where(stable_HW[..., None], np.uint8(120), np.uint8(255)).repeat(3, axis=-1)
    map_HWC[stable_HW & (prediction_HW != reference_HW)] = WRONG
    return map_HWC


def error_map(sample: SamplePictures, task: Task) -> Pixels:
    """The picture in pale grey, wrong and unlabelled pixels in colours that no class has, uint8 [H, W, 3]."""
    grey_HW = sample.image_HWC.mean(axis=-1) * 0.4 + 140
    errors_HWC = np.repeat(grey_HW.astype(np.uint8)[..., None], 3, axis=-1)
    errors_HWC[sample.truth_HW != sample.prediction_HW] = distinct_color(task, ERRORS)
    errors_HWC[sample.truth_HW == task.ignore_index] = distinct_color(task, UNLABELLED)
    return errors_HWC


def ramp_colors() -> Pixels:
    """The colour of each hardness 0..255, uint8 [256, 3]."""
    at = np.linspace(0, 255, len(RAMP))
    channels = [np.interp(np.arange(256), at, [color[channel] for color in RAMP]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def sample_facts(sample: SamplePictures, task: Task) -> list[tuple[str, str]]:
    """What the panels show, in numbers."""
    counts = confusion_counts(sample.prediction_HW, sample.truth_HW, task.num_classes, task.ignore_index)
    labelled_HW = sample.truth_HW != task.ignore_index
    wrong_HW = labelled_HW & (sample.truth_HW != sample.prediction_HW)
    height, width = sample.truth_HW.shape
    found = [
        ("mIoU of this image", number_text(100 * mean_iou(counts), 1, "%")),
        ("wrong pixels", number_text(100 * float(wrong_HW.sum() / max(1, labelled_HW.sum())), 2, "%")),
        ("unlabelled", number_text(100 * float(1 - labelled_HW.mean()), 2, "%")),
        ("size", f"{height} × {width}"),
    ]
    if sample.stable_HW is not None:
        found.append(("stable pixels", percent_text(float(sample.stable_HW.mean()))))
    caught = errors_in_hardest_tenth(sample.hardness_HW, labelled_HW, wrong_HW)
    return (
        found
        if caught is None
        else [*found, ("errors in the hardest 10 % of pixels", number_text(100 * caught, 1, "%"))]
    )


def errors_in_hardest_tenth(
    hardness_HW: Pixels | None, labelled_HW: npt.NDArray[np.bool_], wrong_HW: npt.NDArray[np.bool_]
) -> float | None:
    """The share of the wrong pixels among the tenth of labelled pixels with the highest hardness; None without."""
    if hardness_HW is None or not wrong_HW.any():
        return None
    order = np.argsort(hardness_HW[labelled_HW], kind="stable")[::-1]
    hardest = order[: max(1, len(order) // 10)]
    return float(wrong_HW[labelled_HW][hardest].sum() / wrong_HW.sum())
