"""Where a target's masks differ: by the hardness that training stored, and among the stable pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hardedge.contracts import HardnessDecile, Parity, Report, StablePixels
from hardedge.pages.glossary import explained
from hardedge.pages.markup import Markup, Section, html_table, note_line, number_text, percent_text, section, tag

DECILES = "Labelled pixels in tenths by stored hardness, {target}"
LEGEND = (
    "The easiest tenth first; a level of hardness stays whole, so tenths may be uneven. Right: the class is the "
    "label's. Bar: wrong pixels of the target, of all that are wrong."
)
STABLE = (
    "Stable: the two best FP32 logits lie further apart than twice the largest logit error that export measured. "
    "That error was measured on a few images and is no bound: the last column counts the stable pixels that changed "
    "all the same. The logits of an engine cannot be read: the error is that of its ONNX file in onnxruntime."
)


def hard_pixels_section(report: Report) -> Section:
    """Deciles of hardness and stable pixels of every target that ran."""
    shown = [part for each in report.parity for part in (decile_table(each),) if part]
    stable = stable_table(report)
    if not shown and stable is None:
        return section("Hard and stable pixels", note_line("Masks were not compared by hardness or margin."))
    return section("Hard and stable pixels", note_line(explained(LEGEND)) if shown else None, *shown, stable)


def decile_table(found: Parity) -> Markup | None:
    if not found.deciles:
        return None
    wrong = sum(missed_share(each) for each in found.deciles)
    rows = decile_rows(found.deciles, wrong)
    head = (
        "pixels by hardness",
        "share of the errors",
        "hardness",
        "pixels",
        "equal to the reference",
        "reference right",
        "target right",
    )
    caption = DECILES.format(target=f"{found.target} {found.precision}")
    return tag("div", html_table(caption, head, rows, numeric=range(2, 7)), class_="classes")


def missed_share(found: HardnessDecile) -> float:
    """How many pixels of this tenth the target gets wrong."""
    return found.pixels * (1 - found.accuracy)


def decile_rows(deciles: Sequence[HardnessDecile], wrong: float) -> list[tuple[str, ...]]:
    """A row for each part that its hardness tells from its neighbour's, named by the shares of the pixels it spans."""
    parts = merge_alike(deciles)
    total, seen, rows = sum(each.pixels for each in parts), 0, []
    for index, each in enumerate(parts):
        start, end = (f"{100 * count / total:.0f}" for count in (seen, seen + each.pixels))
        seen += each.pixels
        name = f"{start} to {end} %"
        if index in (0, len(parts) - 1):
            name += " (easiest)" if index == 0 else " (hardest)"
        rows.append((name, *decile_row(each, wrong)))
    return rows


def merge_alike(deciles: Sequence[HardnessDecile]) -> list[HardnessDecile]:
    """Neighbours that the same two numbers would name, as one part."""
    parts: list[HardnessDecile] = []
    for each in deciles:
        if parts and hardness_range(parts[-1]) == hardness_range(each):
            parts[-1] = _joined(parts[-1], each)
        else:
            parts.append(each)
    return parts


def _joined(one: HardnessDecile, other: HardnessDecile) -> HardnessDecile:
    pixels = one.pixels + other.pixels
    shares = {
        name: (getattr(one, name) * one.pixels + getattr(other, name) * other.pixels) / pixels
        for name in ("agreement", "accuracy_reference", "accuracy")
    }
    return replace(other, low=one.low, pixels=pixels, **shares)


def hardness_range(found: HardnessDecile) -> str:
    low, high = f"{found.low / 255:.2f}", f"{found.high / 255:.2f}"
    return low if low == high else f"{low} to {high}"


def decile_row(found: HardnessDecile, wrong: float) -> tuple[str, ...]:
    part = 100 * missed_share(found) / wrong if wrong else 0.0
    bar = tag("span", tag("i", style=f"width:{part:.2f}%"), class_="gauge", aria_hidden="true")
    return (
        tag("span", number_text(part, 1, "%"), " ", bar),
        hardness_range(found),
        number_text(found.pixels, 0),
        percent_text(found.agreement),
        percent_text(found.accuracy_reference),
        percent_text(found.accuracy),
    )


def stable_table(report: Report) -> Markup | None:
    runs = [(each, each.stable) for each in report.parity if each.stable]
    if not runs:
        return None
    head = ("target", "images", "largest logit error", "stable pixels", "pixels that changed", "of them stable")
    rows = [stable_row(f"{run.target} {run.precision}", found) for run, found in runs]
    return tag("div", html_table("Stable pixels", head, rows, numeric=range(1, 6)), note_line(STABLE))


def stable_row(target: str, found: StablePixels) -> tuple[str, ...]:
    return (
        target,
        str(found.images),
        f"{found.logit_error:.2g}",
        percent_text(found.share),
        number_text(found.changed, 0),
        number_text(found.flips, 0),
    )
