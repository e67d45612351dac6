"""Accuracy against latency and size: which engines no other beats, as a plot and as a table."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from hardedge.contracts import BenchRun, Report
from hardedge.pages.charts import tick_values
from hardedge.pages.markup import (
    Markup,
    Section,
    badge,
    html_table,
    note_line,
    number_text,
    section,
    size_text,
    sorted_by,
    tag,
)
from hardedge.pages.scatter import HEIGHT, Axes
from hardedge.statistics.pareto import pareto_front

SMALLEST, LARGEST = 4.0, 14.0  # radii in px: areas go with the engines' bytes
TITLE: Final = "Trade-offs"
LEGEND: Final = (
    "Up: better; left: faster; a small dot: a small engine. Joined: engines that no other beats, as none is as good "
    "in mIoU, latency and size and better in one of them."
)
FEW: Final = "One engine alone has nothing to be traded for: build several targets or precisions."


@dataclass(frozen=True)
class Point:
    """One engine: mIoU in percent, p50 in milliseconds, bytes."""

    name: str
    miou: float
    latency: float
    bytes: int

    @property
    def costs(self) -> tuple[float, float, float]:
        return self.latency, -self.miou, self.bytes


def tradeoffs_section(report: Report, pareto: bytes | None = None) -> Section:
    """The engines that ran on the test images and were timed; `pareto` is the plot of tune, an SVG file."""
    drawn = points_to_draw(points_of_report(report))
    return section(TITLE, *drawn, *map(note_line, report.dominated), tuning_plot(pareto) if pareto else None)


def tuning_plot(svg: bytes) -> Markup:
    """The plot that tune wrote into the bundle, as a picture: nothing in it runs."""
    source = f"data:image/svg+xml;base64,{b64encode(svg).decode()}"
    picture = tag("img", src=source, alt="Mixtures of precisions that hardedge tune measured", class_="tuned")
    return tag("figure", tag("figcaption", "What hardedge tune measured of this bundle"), picture)


def points_of_report(report: Report) -> list[Point]:
    """An engine a point, where its mIoU and its latency were measured."""
    latencies = {(run.target, run.precision): run.p50 for run in report.latency}
    sizes = {(engine.target, engine.precision): engine.bytes for engine in report.engines}
    keys = [(run.target, run.precision, run.miou) for run in report.parity]
    return [
        Point(f"{target} {precision}", miou, latencies[target, precision], sizes[target, precision])
        for target, precision, miou in keys
        if (target, precision) in latencies and (target, precision) in sizes
    ]


def points_of_bench(runs: Sequence[BenchRun]) -> list[Point]:
    """The runs of a bench whose mIoU is known."""
    return [
        Point(f"{run.target} {run.precision}", run.miou, run.p50, run.engine_bytes)
        for run in runs
        if run.miou is not None
    ]


def points_to_draw(points: Sequence[Point]) -> list[Markup]:
    """The plot and its table; a sentence where there is nothing to compare."""
    if len(points) < 2:
        return [note_line(FEW)]
    best = front(points)
    rows = [
        (
            point.name,
            badge("not beaten", "good") if point in best else badge("beaten", "none"),
            number_text(point.miou, 2, "%"),
            number_text(point.latency, 2, "ms"),
            sorted_by(point.bytes, size_text(point.bytes)),
        )
        for point in sorted(points, key=lambda point: point.latency)
    ]
    head = ("engine", "by the others", "mIoU", "p50", "size")
    figure = tag("figure", tag("figcaption", "mIoU in percent against the median latency"), tradeoff_plot(points))
    return [
        figure,
        note_line(LEGEND),
        html_table("The engines of the plot", head, rows, numeric=(2, 3, 4), sortable=True),
    ]


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats, the fastest first."""
    return pareto_front(points, lambda point: point.costs)


def tradeoff_plot(points: Sequence[Point]) -> Markup:
    """mIoU upwards, p50 to the right, the area of a dot for bytes; its label says all of it in words."""
    axes = axes_around(points)
    best = front(points)
    lines = [axes.line((one.latency, one.miou), (two.latency, two.miou), "front") for one, two in pairwise(best)]
    largest = max(point.bytes for point in points)
    places = heights_of_names([axes.y(point.miou) for point in points])
    dots = [
        labelled_dot(axes, point, point in best, largest, place) for point, place in zip(points, places, strict=True)
    ]
    said = "; ".join(
        f"{point.name}: {number_text(point.miou, 2)} % mIoU, {number_text(point.latency, 2)} ms, "
        f"{size_text(point.bytes)}"
        for point in points
    )
    label = f"mIoU against latency. {said}. Not beaten: {', '.join(point.name for point in best)}."
    latencies = [(value, f"{value:g} ms") for value in tick_values(axes.left, axes.right)]
    mious = [(value, f"{value:g} %") for value in tick_values(axes.low, axes.high, 4)]
    inner = (*axes.grid("median latency", "mIoU", latencies, mious), *lines, *dots)
    return tag("svg", *inner, width="100%", height=str(HEIGHT), role="img", aria_label=label, class_="chart")


def heights_of_names(heights: Sequence[float], apart: float = 15.0) -> list[float]:
    """Where names stand, from the top: above their dots, further up where two would lie on each other."""
    places = list(heights)
    highest = float("inf")
    for index in sorted(range(len(heights)), key=lambda index: -heights[index]):
        places[index] = highest = min(heights[index] - LARGEST - 4, highest - apart)
    return places


def axes_around(points: Sequence[Point]) -> Axes:
    """A tenth wider than the points on each side; latencies from 0, as their ratio is what counts."""
    mious = [point.miou for point in points]
    room = max(0.1 * (max(mious) - min(mious)), 0.05)
    return Axes(0.0, 1.05 * max(point.latency for point in points), min(mious) - room, max(mious) + room)


def labelled_dot(axes: Axes, point: Point, best: bool, largest: int, name_at: float) -> Markup:
    """The dot with its name beside it, the name in full for who points at it."""
    radius = SMALLEST + (LARGEST - SMALLEST) * (point.bytes / largest) ** 0.5
    place = axes.x(point.latency)
    # names of slow engines end at their dots: to the right they would leave the plot
    side = "end" if place > 60 else "start"
    words = f"{point.name} · {size_text(point.bytes)}"
    return tag(
        "g",
        tag("title", f"{words}, {number_text(point.miou, 2, '%')}, {number_text(point.latency, 2, 'ms')}"),
        axes.dot((point.latency, point.miou), "dot" if best else "beaten", radius),
        tag("text", words, x=f"{place:.2f}%", y=f"{name_at:.1f}", text_anchor=side),
    )
