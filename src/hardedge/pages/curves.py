"""Curves over steps: one line a plot, told in words beside it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hardedge.contracts import TrainingCurves
from hardedge.pages.charts import tick_values
from hardedge.pages.markup import Markup, Section, note_line, section, tag
from hardedge.pages.scatter import HEIGHT, Axes


def curve_plot(name: str, steps: Sequence[int], values: Sequence[float | None], unit: str = "") -> Markup | None:
    """A curve of the values that are known; None where fewer than two are."""
    known = [(float(step), value) for step, value in zip(steps, values, strict=True) if value is not None]
    if len(known) < 2 or known[0][0] == known[-1][0]:
        return None
    low, high = min(value for _, value in known), max(value for _, value in known)
    room = 0.05 * (high - low) or abs(high) * 0.05 or 1.0
    axes = Axes(known[0][0], known[-1][0], low - room, high + room)
    across = [(value, f"{value:g}") for value in tick_values(axes.left, axes.right, 5)]
    up = [(value, f"{value:g}{unit}") for value in tick_values(axes.low, axes.high, 4)]
    lines = [axes.line(one, two, "curve") for one, two in pairwise(known)]
    said = f"{name}: {known[0][1]:.4g}{unit} at step {known[0][0]:g}, {known[-1][1]:.4g}{unit} at step {known[-1][0]:g}"
    inner = (*axes.grid("step", "", across, up), *lines)
    picture = tag("svg", *inner, width="100%", height=str(HEIGHT), role="img", aria_label=said, class_="chart low")
    return tag("figure", tag("figcaption", said), picture)


def training_section(curves: TrainingCurves | None) -> Section:
    """A plot for each loss term, the validation's mIoU and the learning rate."""
    if curves is None:
        return section("Training", note_line("Not recorded: the bundle has no training.json."))
    plots = [
        curve_plot("validation mIoU", curves.evaluated, curves.miou, " %"),
        *(curve_plot(name, curves.steps, values) for name, values in curves.terms.items()),
        curve_plot("learning rate", curves.steps, curves.learning_rate),
    ]
    said = "As training logged them, without their weights; loss is the sum that was minimised."
    return section("Training", note_line(said), tag("div", *plots, class_="plots"))
