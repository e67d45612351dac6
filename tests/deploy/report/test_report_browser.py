"""The report in a browser: its script, its toggles, the keyboard, its widths, schemes and paper; by Playwright."""

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardedge.contracts import ClassInfo, Report
from hardedge.deploy.report.html import report_html
from hardedge.deploy.report.page_parts import PageParts
from hardedge.deploy.report.pictures import SamplePictures
from hardedge.deploy.report.two_reports_page import comparison_html
from hardedge.pages.markup import Markup
from hardedge.pages.page import page as document

_spec = importlib.util.spec_from_file_location("example_report", Path(__file__).parent / "example_report.py")
assert _spec is not None
assert _spec.loader is not None
_made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_made)
counts_of = _made.counts_of

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

SIZES = [(400, "light"), (400, "dark"), (1280, "light"), (1280, "dark")]
ROOM = "document.documentElement.clientWidth - document.documentElement.scrollWidth"
GROUND = "getComputedStyle(document.body).backgroundColor"
PATIENCE = 180_000  # ms: a busy machine is no fault of the page
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as found:
        # a container may have no user namespaces
        started = found.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens a page's text as a file; at the end no complaint and no request may have been seen."""
    complaints: list[str] = []
    contexts = []

    def show(text: str, *, width: int = 1280, scheme: str = "light", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        contexts.append(context)
        shown = context.new_page()
        shown.set_default_timeout(PATIENCE)
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on("request", lambda request: complaints.append(request.url) if is_foreign(request.url, path) else None)
        shown.goto(path.as_uri())
        return shown

    yield show
    for context in contexts:
        context.close()
    assert complaints == []


def is_foreign(url: str, path: Path) -> bool:
    return url != path.as_uri() and not url.startswith("data:")


@pytest.fixture
def example_report() -> Report:
    return _made.example()


@pytest.fixture
def example_samples() -> list[SamplePictures]:
    return _made.samples()


@pytest.fixture
def text(example_report: Report, example_samples: list[SamplePictures]) -> str:
    return report_html(example_report, PageParts(example_samples))


@pytest.fixture
def compared() -> str:
    return comparison_html(_made.two_runs())


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_nothing_leaves_the_pages_at_any_width(opened: Open, text: str, compared: str, width: int, scheme: str) -> None:
    shown = opened(text, width=width, scheme=scheme)
    assert shown.evaluate("document.documentElement.dataset.ready") == ""
    for view in ("panels", "prediction"):
        shown.check(f"#view-{view}")
        assert shown.evaluate(ROOM) == 0
    assert shown.evaluate(GROUND) == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")
    shown = opened(compared, width=width, scheme=scheme)
    assert shown.evaluate("document.documentElement.dataset.ready") == ""
    assert shown.evaluate(ROOM) == 0


@pytest.mark.parametrize(("width", "scheme"), [SIZES[0], SIZES[3]])
@pytest.mark.parametrize("name", ["text", "compared"])
def test_axe_finds_nothing_to_mend(
    opened: Open, request: pytest.FixtureRequest, name: str, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    shown = opened(request.getfixturevalue(name), width=width, scheme=scheme)
    shown.hover("[data-class='3'] >> nth=-1")
    found = axe.Axe().run(shown).response["violations"]
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found] == []


def test_the_gallery_sorts_filters_and_leads_to_an_image(opened: Open, example_report: Report) -> None:
    text = report_html(example_report, PageParts(shots=_made.shots(6)))
    shown = opened(text)
    tools = shown.locator("#all-test-images select")
    names = "[...document.querySelectorAll('.shots li:not([hidden])')].map(item => item.id)"
    tools.nth(0).select_option("wrong")
    assert shown.evaluate(names) == [f"image-scene{index}" for index in (5, 4, 3, 2, 1, 0)]
    tools.nth(1).select_option(label="bicycle")
    assert shown.evaluate(names) == [f"image-scene{index}" for index in (5, 4, 3, 2)]
    assert shown.get_by_text("4 of 6 images").is_visible()
    shown.locator(".shots li:not([hidden]) a").first.focus()
    shown.keyboard.press("Enter")
    viewer = shown.get_by_role("dialog", name="scene5")
    viewer.wait_for()
    assert shown.evaluate("location.hash") == "#image-scene5"
    shown.keyboard.press("ArrowRight")
    shown.get_by_role("dialog", name="scene4").wait_for()
    shown.keyboard.press("Escape")
    viewer.wait_for(state="hidden")
    shown.wait_for_function("location.hash === '#all-test-images'")
    assert shown.evaluate("document.activeElement.getAttribute('href')") == "#image-scene4"


def test_a_line_parts_truth_and_prediction(opened: Open, example_report: Report) -> None:
    text = report_html(example_report, PageParts(shots=_made.shots(6)))
    shown = opened(text)
    shown.evaluate("location.hash = '#image-scene5'")
    canvas = shown.locator(".viewer canvas")
    canvas.wait_for()
    reading = """at => {
      const canvas = document.querySelector('.viewer canvas');
      if (canvas.width !== 64) return null;
      const copy = new OffscreenCanvas(64, 48).getContext('2d', {willReadFrequently: true});
      copy.drawImage(canvas, 0, 0);
      return [...copy.getImageData(...at, 1, 1).data];
    }"""
    classes = [list(info.color) for info in _made.TASK.classes]
    shown.wait_for_function(reading, arg=[0, 0])
    assert shown.evaluate(reading, [0, 0]) == [*classes[0], 255]  # labelled sky, predicted building
    line = shown.get_by_label("truth | prediction", exact=True).last
    line.focus()
    shown.keyboard.press("Home")
    shown.wait_for_function(f"at => String(({reading})(at)) === '{','.join(map(str, classes[1]))},255'", arg=[0, 0])


@pytest.mark.parametrize(("width", "scheme"), [SIZES[0], SIZES[3]])
def test_axe_finds_nothing_in_the_gallery_and_the_map(
    opened: Open, example_report: Report, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    counts_NCC = np.arange(6 * 121, dtype=np.int64).reshape(6, 11, 11)
    parts = PageParts(counts=_made.counts_of(counts_NCC), shots=_made.shots(6))
    shown = opened(report_html(example_report, parts), width=width, scheme=scheme)
    assert shown.evaluate(ROOM) == 0
    for place in ("", "#image-scene3"):
        shown.evaluate(f"location.hash = '{place}'")
        found = axe.Axe().run(shown).response["violations"]
        assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found] == []
        assert shown.evaluate(ROOM) == 0


@pytest.mark.slow  # 2,000 drawn images
def test_two_thousand_images_and_150_classes_open_in_two_seconds(opened: Open, example_report: Report) -> None:
    import time

    rng = np.random.default_rng(8)
    classes = tuple(ClassInfo(name=f"class {index}", color=(index, 255 - index, 90)) for index in range(150))
    counts_NCC = (rng.integers(1, 900, (2000, 150, 150)) * (rng.random((2000, 150, 150)) < 0.01)).astype(np.int64)
    parts = PageParts(counts=_made.counts_of(counts_NCC), shots=_made.shots(2000, 512, 384))
    text = report_html(replace(example_report, task=replace(example_report.task, classes=classes)), parts)
    assert len(text) < 25e6
    times = []
    for _ in range(3):
        began = time.perf_counter()
        shown = opened(text)
        times.append(time.perf_counter() - began)
        assert shown.evaluate("document.documentElement.dataset.ready") == ""
    assert min(times) < 2


def test_the_map_of_confusions_is_walked_by_keyboard(opened: Open, example_report: Report) -> None:
    counts_NCC = np.zeros((3, 11, 11), np.int64)
    counts_NCC[:, 0, 0], counts_NCC[1, 0, 1] = 70, 30
    text = report_html(example_report, PageParts([], counts_of(counts_NCC)))
    shown = opened(text)
    canvas = shown.locator(".heat canvas")
    canvas.focus()
    shown.keyboard.press("ArrowRight")
    said = "sky taken for building: 30 pixels, 12.50 % of those labelled sky, 100.00 % of those predicted building"
    assert shown.locator(".heat .said").inner_text() == said
    shown.keyboard.press("Enter")
    assert shown.locator(".heat p").last.inner_text() == "sky taken for building, most in: scene1"
    box = canvas.bounding_box()
    shown.check("text=confused classes side by side")
    assert canvas.bounding_box()["width"] == box["width"]


def test_a_link_opens_the_folded_part_that_it_leads_to(opened: Open, text: str) -> None:
    for options in ({}, {"java_script_enabled": False}):
        shown = opened(text, **options)
        certificate = shown.get_by_text("Level 0: graph")
        assert not certificate.is_visible()
        shown.get_by_role("link", name="Identity").click()
        certificate.wait_for()
        assert not shown.get_by_text("Shares by precision").is_visible()


def test_a_class_of_two_runs_is_lit_in_every_table_and_sorts(opened: Open, compared: str) -> None:
    shown = opened(compared)
    shown.hover("tbody tr:has([data-class='2']) >> nth=0")
    assert lit_rows(shown) == ["pole", "pole"]
    shown.locator("thead th button", has_text="B − A").first.click()
    first = shown.locator("tbody").first.locator("tr").first
    assert first.inner_text().split()[0] == "pole"
    assert "worse" in first.inner_text()


def visible_panels(shown: Any) -> list[str]:
    """The kinds of panels of the first image that can be seen."""
    figures = shown.locator(".sample").first.locator("figure")
    return [figure.get_attribute("data-panel") for figure in figures.all() if figure.is_visible()]


ALL = ["picture", "truth", "prediction", "errors", "hardness", "stable"]


def test_one_layer_over_the_picture_or_all_side_by_side(opened: Open, text: str) -> None:
    shown = opened(text)
    assert visible_panels(shown) == ALL
    for view in ALL[1:]:
        shown.check(f"#view-{view}")
        assert visible_panels(shown) == ["picture", view]
        picture, layer = (shown.locator(f"[data-panel={kind}] img").first.bounding_box() for kind in ("picture", view))
        assert picture == layer
    shown.check("#view-panels")
    assert visible_panels(shown) == ALL


def test_the_arrow_keys_change_the_layer_and_its_opacity(opened: Open, text: str) -> None:
    shown = opened(text)
    shown.focus("#view-panels")
    for view in ("truth", "prediction", "errors"):
        shown.keyboard.press("ArrowRight")
        assert visible_panels(shown) == ["picture", view]
    opacity = "getComputedStyle(document.querySelector('[data-panel=errors] img')).opacity"
    assert shown.evaluate(opacity) == "0.7"
    shown.keyboard.press("Tab")
    shown.keyboard.press("End")
    assert shown.evaluate(opacity) == "1"
    shown.keyboard.press("ArrowLeft")
    assert shown.evaluate(opacity) == "0.95"


def test_the_layers_need_no_script(opened: Open, text: str) -> None:
    shown = opened(text, java_script_enabled=False)
    shown.check("#view-truth")
    assert visible_panels(shown) == ["picture", "truth"]
    assert shown.locator("button").count() == shown.locator("canvas").count() == 0


def clear_pixels(shown: Any, kind: str) -> np.ndarray:
    """Where the first image's shade lets a panel through, bool [H, W]."""
    reading = """kind => {
      const canvas = document.querySelector(`[data-panel=${kind}] canvas`);
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return [canvas.hidden, canvas.height, Array.from(pixels).filter((_, at) => at % 4 === 3)];
    }"""
    hidden, height, alpha = shown.evaluate(reading, kind)
    assert not hidden
    return np.array(alpha).reshape(height, -1) == 0


def settled(shown: Any) -> None:
    """Waits until the masks are read and the shades are drawn."""
    shown.wait_for_function("document.querySelector('.panels canvas').width === 64")
    shown.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def lit_rows(shown: Any) -> list[str]:
    return [place.inner_text().split("\t")[0].strip() for place in shown.locator(".lit").all()]


def test_a_class_pointed_at_stands_out_everywhere(
    opened: Open, text: str, example_samples: list[SamplePictures]
) -> None:
    shown = opened(text)
    shown.hover(".legend [data-class='3']")
    settled(shown)
    assert lit_rows(shown) == ["road", "road"]  # in the table, and in the legend
    truth_HW, prediction_HW = example_samples[0].truth_HW == 3, example_samples[0].prediction_HW == 3
    assert np.array_equal(clear_pixels(shown, "truth"), truth_HW)
    assert np.array_equal(clear_pixels(shown, "prediction"), prediction_HW)
    for kind in ("picture", "errors", "hardness", "stable"):
        assert np.array_equal(clear_pixels(shown, kind), truth_HW | prediction_HW)
    shown.hover("h1")
    assert lit_rows(shown) == []
    shown.hover("tbody tr:has([data-class='6'])")
    assert lit_rows(shown) == ["sign", "sign"]


def test_a_class_pressed_stays_lit_until_escape(opened: Open, text: str) -> None:
    shown = opened(text)
    buttons = shown.locator("[data-class='2'] button")
    shown.focus(".legend [data-class='2'] button")
    assert lit_rows(shown) == ["pole", "pole"]
    shown.keyboard.press("Enter")
    assert [button.get_attribute("aria-pressed") for button in buttons.all()] == ["true", "true"]
    shown.keyboard.press("Tab")
    assert lit_rows(shown) == ["road", "road"]  # the next one has the focus
    shown.hover("h1")
    shown.locator(".legend [data-class='3'] button").blur()
    assert lit_rows(shown) == ["pole", "pole"]
    shown.keyboard.press("Escape")
    assert lit_rows(shown) == []
    assert buttons.first.get_attribute("aria-pressed") == "false"


def test_a_pixel_pointed_at_says_its_classes(opened: Open, text: str, example_samples: list[SamplePictures]) -> None:
    sample = example_samples[0]
    wrong = np.argwhere((sample.truth_HW != sample.prediction_HW) & (sample.truth_HW != 255))
    y, x = (int(value) for value in wrong[0])
    names = [info.name for info in _made.TASK.classes]
    expected = f"labelled {names[sample.truth_HW[y, x]]}, predicted {names[sample.prediction_HW[y, x]]}"
    shown = opened(text)
    image = shown.locator("[data-panel=truth] .image").first
    image.scroll_into_view_if_needed()
    settled_masks(shown)
    box = image.bounding_box()
    place = {"x": (x + 0.5) / 64 * box["width"], "y": (y + 0.5) / 48 * box["height"]}
    image.hover(position=place)
    assert shown.locator(".readout").first.inner_text() == expected
    assert lit_rows(shown) == 2 * [names[sample.truth_HW[y, x]]]
    shown.locator("[data-panel=prediction] .image").first.hover(position=place)
    assert lit_rows(shown) == 2 * [names[sample.prediction_HW[y, x]]]
    shown.locator("[data-panel=truth] .image").first.hover(position={"x": 0.5 / 64 * box["width"], "y": 2})
    expected = f"labelled unlabelled, predicted {names[sample.prediction_HW[0, 0]]}"
    assert shown.locator(".readout").first.inner_text() == expected
    assert lit_rows(shown) == []


def settled_masks(shown: Any) -> None:
    shown.wait_for_function("document.querySelector('.panels canvas').hidden")


def column(shown: Any, number: int) -> list[str]:
    rows = shown.locator(".classes").first.locator("tbody tr").all()
    return [row.locator("th, td").nth(number).inner_text().strip() for row in rows]


def test_a_head_pressed_sorts_up_then_down_then_as_it_was(opened: Open, text: str) -> None:
    shown = opened(text)
    given = column(shown, 3)
    numbers = sorted(float(cell) for cell in given if cell != "–")
    head = shown.locator(".classes thead th").nth(3)
    head.locator("button").focus()
    for order, expected in (("ascending", numbers), ("descending", numbers[::-1])):
        shown.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == order
        assert column(shown, 3) == [*(f"{value:.2f}" for value in expected), "–"]
        assert shown.get_by_role("status").last.inner_text() == f"Sorted by target, {order}"
    shown.keyboard.press("Space")
    assert head.get_attribute("aria-sort") is None
    assert column(shown, 3) == given


def test_names_differences_and_bars_are_sorted_as_what_they_are(opened: Open, example_report: Report) -> None:
    (run,) = example_report.parity
    lost = [30.0, 2.5, -1.0, 110.0, 0.0, 0.5, -20.0, 3.0, 1.0, 2.0]
    classes = [
        replace(each, target=each.reference and each.reference - drop)
        for each, drop in zip(run.per_class, [*lost, 0.0], strict=True)
    ]
    report = replace(example_report, parity=(replace(run, per_class=tuple(classes)),))
    shown = opened(report_html(report))
    heads = shown.locator(".classes thead th button")
    heads.nth(0).click()
    assert column(shown, 0)[:4] == ["bicycle", "building", "car", "fence"]
    heads.nth(5).click()
    assert column(shown, 5) == [
        *("−110.00", "−30.00", "−3.00", "−2.50", "−2.00", "−1.00", "−0.50", "0.00", "+1.00", "+20.00", "–")
    ]
    heads.nth(1).click()
    targets = [float(cell.replace("−", "-")) for cell in column(shown, 3)[:-1]]
    assert targets == sorted(targets)


def test_sizes_are_sorted_by_bytes(opened: Open, example_report: Report) -> None:
    sizes = (12_940_113, 990_000, 13_777)
    engines = [replace(each, bytes=size) for each, size in zip(example_report.engines, sizes, strict=True)]
    shown = opened(report_html(replace(example_report, engines=tuple(engines))))
    shown.get_by_role("link", name="Engines", exact=True).click()
    shown.locator("#engines thead button", has_text="size").click()
    cells = [cell.inner_text().replace("\u202f", " ") for cell in shown.locator("#engines tbody td:nth-child(5)").all()]
    assert cells == ["13.8 kB", "990.0 kB", "12.94 MB"]


def test_on_paper_everything_is_side_by_side_and_no_control_is_left(opened: Open, text: str) -> None:
    shown = opened(text, scheme="dark")
    shown.check("#view-truth")
    shown.locator(".legend [data-class='3'] button").click()
    settled(shown)
    shown.emulate_media(media="print")
    shown.set_viewport_size({"width": 695, "height": 1000})  # A4 within its margins
    assert visible_panels(shown) == ALL
    tops = [shown.locator(f"[data-panel={kind}]").first.bounding_box()["y"] for kind in ALL]
    assert len(set(tops)) == 2  # two rows of three
    assert shown.evaluate(ROOM) == 0
    assert not any(place.is_visible() for place in shown.locator(".views, nav, canvas").all())
    assert shown.evaluate(GROUND) == "rgb(255, 255, 255)"
    assert shown.pdf(format="A4").startswith(b"%PDF")


def test_only_the_pages_own_script_runs(browser: Any, tmp_path: Path) -> None:
    """What an escape that failed would let in: the policy stops it."""
    foreign = (
        "<main></main><script>window.ran = 1</script><img src='https://example.org/x.png' onerror='window.ran = 2'>"
    )
    path = tmp_path / "page.html"
    path.write_text(document("x", Markup(foreign)), encoding="utf-8")
    context = browser.new_context()
    shown = context.new_page()
    refused: list[str] = []
    shown.on("console", lambda message: refused.append(message.text))
    shown.set_default_timeout(PATIENCE)
    shown.goto(path.as_uri())
    assert shown.evaluate("[window.ran, document.documentElement.dataset.ready]") == [None, ""]
    for _ in range(PATIENCE // 50):  # the console's messages come by themselves
        if sum("Content Security Policy" in message for message in refused) < 2:
            shown.wait_for_timeout(50)
    assert sum("Content Security Policy" in message for message in refused) >= 2
    context.close()
