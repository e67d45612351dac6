"""The plot of tune, as SVG: mIoU against latency where it was measured, else against the share in INT8."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hardedge.contracts import Interval
from hardedge.export.tune.record import Step, Tuning
from hardedge.pages.charts import tick_values
from hardedge.pages.markup import Markup, tag
from hardedge.pages.scatter import FILE_HEIGHT, RIGHT, Axes, svg_file
from hardedge.statistics.pareto import pareto_front
from hardedge.statistics.signed import signed_text

NO_LATENCY = "share of the multiply-adds in INT8"
NO_LATENCY_NOTE = "no latency was measured: hardedge tune --latency TARGET, or hardedge deploy on the device"
CPU_NOTE = "a CPU's INT8 and FP16 kernels: this says nothing of a GPU"


@dataclass(frozen=True)
class Dot:
    """A mixture in the plot: what it costs (its place on the x axis; less is better), and its mIoU minus FP32's."""

    step: Step
    x: float
    spread: Interval | None
    cost: float

    @property
    def y(self) -> float:
        return self.step.agreement.difference


@dataclass(frozen=True)
class CostAxis:
    """The x axis: its label, a line of small print, its ends, the text of a value."""

    label: str
    note: str
    low: float
    high: float
    text: str


def pareto_svg(tuning: Tuning) -> str:
    """A dot a step with its 90 % interval, the chosen one filled; those that no other beats in both are joined."""
    dots, axis = dots_of(tuning)
    ends = [end for dot in dots for end in (dot.step.agreement.interval.low, dot.step.agreement.interval.high)]
    allowed = -tuning.goal if tuning.measure == "miou-drop" else 0.0
    low, high = min(*ends, allowed, 0.0), max(*ends, 0.0)
    margin = 0.06 * ((high - low) or 1.0)
    axes = Axes(axis.low, axis.high, low - margin, high + margin)
    costs = [(value, axis.text.format(value)) for value in tick_values(axis.low, axis.high)]
    levels = [(value, f"{value:+g}") for value in tick_values(axes.low, axes.high, 8)]
    up = f"mIoU minus FP32, points, on {tuning.images} images of {tuning.split} (90 % interval)"
    goal = f"at most {tuning.goal:g} below" if tuning.measure == "miou-drop" else "no loss; the goal was the time"
    explained = f"numbers: nodes in FP16; filled: the chosen mixture; dashed: {goal}"
    return svg_file(
        f"mIoU against {axis.label}",
        *axes.grid(axis.label, up, costs, levels),
        axes.line((axis.low, allowed), (axis.high, allowed), "limit"),
        *(axes.line((one.x, one.y), (two.x, two.y), "front") for one, two in pairwise(front_of(dots))),
        *(_dot(axes, dot, dot.step.kept == tuning.chosen) for dot in dots),
        tag("text", explained, x="0", y="30", class_="tick"),
        tag("text", axis.note, x=f"{RIGHT}%", y=str(FILE_HEIGHT - 6), text_anchor="end", class_="tick"),
    )


def dots_of(tuning: Tuning) -> tuple[list[Dot], CostAxis]:
    """The mixtures by latency where all have one, else by their share in INT8; and the axis for it."""
    latencies = {found.kept: found.comparison for found in tuning.latencies}
    if not latencies or set(latencies) != {step.kept for step in tuning.steps}:
        dots = [Dot(step, step.int8_share, None, -step.int8_share) for step in tuning.steps]
        return dots, CostAxis(NO_LATENCY, NO_LATENCY_NOTE, 0.0, 1.0, "{:.0%}")
    dots = [
        Dot(step, latencies[step.kept].ratio, latencies[step.kept].interval, latencies[step.kept].ratio)
        for step in tuning.steps
    ]
    ends = [end for dot in dots if dot.spread for end in (dot.spread.low, dot.spread.high)]
    low, high = min(*ends, 1.0), max(*ends, 1.0)
    margin = 0.05 * ((high - low) or 1.0)
    label = f"latency over FP32's on {tuning.target}, batch 1 (less is faster)"
    note = CPU_NOTE if tuning.target == "onnxruntime:cpu" else latencies[tuning.chosen].detail
    return dots, CostAxis(label, note, low - margin, high + margin, "{:.2f}")


def front_of(dots: Sequence[Dot]) -> list[Dot]:
    """The dots that no other beats in both cost and mIoU, the cheapest first."""
    return pareto_front(dots, lambda dot: (dot.cost, -dot.y))


def _dot(axes: Axes, dot: Dot, chosen: bool) -> Markup:
    found = dot.step.agreement
    share = f"{100 * dot.step.int8_share:.1f} % in INT8"
    cost = f"{dot.x:.3f} of FP32's latency, {share}" if dot.spread else share
    spreads = [axes.line((dot.x, found.interval.low), (dot.x, found.interval.high), "spread")]
    if dot.spread:
        spreads.append(axes.line((dot.spread.low, dot.y), (dot.spread.high, dot.y), "spread"))
    place = {"x": f"{axes.x(dot.x):.2f}%", "y": f"{axes.y(dot.y):.1f}"}
    return tag(
        "g",
        tag("title", f"{dot.step.kept} nodes in FP16: {cost}, {signed_text(found.difference, 2)} points"),
        *spreads,
        axes.dot((dot.x, dot.y), "dot chosen" if chosen else "dot", 5),
        tag("text", str(dot.step.kept), **place, dx="8", dy="-6", class_="tick"),
    )
