"""The plots of the report: SVG whose text keeps its size at any width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Interval, Latency, LatencyComparison, ScoreDifference
from hardedge.pages.markup import Markup, number_text, signed_number, tag

BAND: Final = 1.0  # percent: the equivalence test's limit
LABELS, PLOT, AXIS = 46, 84, 22  # heights in px
ROW = 46


def histogram_chart(latency: Latency) -> Markup:
    """How often each latency was seen, with p50, p90 and p99 marked; the slowest runs are counted, not drawn."""
    samples = np.asarray(latency.samples, np.float64)
    low, high = histogram_range(samples, latency.p99)
    counts, edges = np.histogram(samples, bins=min(60, max(8, 2 * int(len(samples) ** 0.5))), range=(low, high))
    bars = [_bar(count / counts.max(), edges[i], edges[i + 1], low, high) for i, count in enumerate(counts) if count]
    marks = percentile_marks(list(latency.percentiles.items()), low, high)
    summary = ", ".join(f"{name} {number_text(value, 2)} ms" for name, value in latency.percentiles.items())
    label = f"Latency of {latency.target} {latency.precision}, {latency.runs} runs: {summary}"
    return _svg(LABELS + PLOT + AXIS, label, *bars, *marks, *_axis(low, high, LABELS + PLOT, "ms"))


def histogram_range(samples: npt.NDArray[np.float64], p99: float) -> tuple[float, float]:
    """From the fastest run to a little beyond p99."""
    low = float(samples.min())
    high = min(float(samples.max()), p99 + 0.25 * (p99 - low))
    return (low, high) if high > low else (low * 0.99, low * 1.01 + 1e-9)


def intervals(rows: Sequence[tuple[str, LatencyComparison]]) -> Markup:
    """Intervals of latency ratios as percent of change, over the band in which two arms count as equivalent."""
    limit = interval_limit([comparison for _, comparison in rows])
    height = ROW * len(rows)
    left, right = _x(-BAND, -limit, limit), _x(BAND, -limit, limit)
    band = _rect(left, 0, right - left, height, "band")
    zero = _line(_x(0, -limit, limit), 0, height, "zero")
    drawn = [_interval(index, name, comparison, limit) for index, (name, comparison) in enumerate(rows)]
    label = "; ".join(f"{name}: {interval_text(comparison)}" for name, comparison in rows)
    return _svg(height + AXIS, f"Latency ratios. {label}", band, zero, *drawn, *_axis(-limit, limit, height, "%"))


def interval_limit(comparisons: Sequence[LatencyComparison]) -> float:
    """Where the axis ends, in percent: far intervals are left outside, so that the band stays visible."""
    ends = [abs(percent(end)) for each in comparisons for end in (each.interval.low, each.interval.high)]
    return max([3 * BAND, *(1.1 * end for end in ends if end <= 10 * BAND)])


def percent(ratio: float) -> float:
    """A ratio as a change in percent."""
    return (ratio - 1) * 100


def interval_text(comparison: LatencyComparison) -> str:
    low, high = percent(comparison.interval.low), percent(comparison.interval.high)
    return f"{signed_number(percent(comparison.ratio))} % [{signed_number(low)}, {signed_number(high)}]"


def difference_limit(rows: Sequence[ScoreDifference]) -> float:
    """Where the axis of differences in points ends on both sides: at a round number beyond every interval."""
    ends = [abs(end) for row in rows if row.interval for end in (row.interval.low, row.interval.high)]
    largest = max([*ends, 0.01])
    power = 10.0 ** np.floor(np.log10(largest))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= largest * 0.9999))


def difference_bar(interval: Interval, value: float, limit: float, *, real: bool) -> Markup:
    """One interval of a difference on an axis from -limit to limit; its numbers stand beside it."""
    low, high = (_x(end, -limit, limit) for end in (interval.low, interval.high))
    return tag(
        "svg",
        _line(50, 0, 20, "zero"),
        _rect(low, 7, max(high - low, 0.5), 6, "interval" if real else "bar"),
        tag("circle", cx=_p(_x(value, -limit, limit)), cy="10", r="4", class_="dot" if real else "beaten"),
        width="100%",
        height="20",
        aria_hidden="true",
        class_="chart",
    )


def _interval(index: int, name: str, comparison: LatencyComparison, limit: float) -> Markup:
    top, middle = ROW * index, ROW * index + 32
    ends = percent(comparison.interval.low), percent(comparison.interval.high)
    low, high = (_x(float(np.clip(end, -limit, limit)), -limit, limit) for end in ends)
    dot = _x(percent(comparison.ratio), -limit, limit)
    return tag(
        "g",
        tag("text", name, x="0", y=str(top + 16)),
        tag("text", interval_text(comparison), x="100%", y=str(top + 16), text_anchor="end", class_="value"),
        _rect(low, middle - 3, high - low, 6, "interval"),
        tag("circle", cx=_p(dot), cy=str(middle), r="5", class_="dot") if 0 <= dot <= 100 else None,
        _arrow("0", middle, "◀", "start") if ends[0] < -limit else None,
        _arrow("100%", middle, "▶", "end") if ends[1] > limit else None,
    )


def _arrow(x: str, middle: int, sign: str, side: str) -> Markup:
    """What marks an interval that goes on beyond the axis."""
    return tag("text", sign, x=x, y=str(middle + 6), text_anchor=side, class_="arrow")


def _bar(share: float, start: float, end: float, low: float, high: float) -> Markup:
    left, right = _x(start, low, high), _x(end, low, high)
    height = max(1.0, share * PLOT)
    return _rect(left, LABELS + PLOT - height, (right - left) * 0.9, height, "bar")


def percentile_marks(found: Sequence[tuple[str, float]], low: float, high: float) -> list[Markup]:
    """Lines with their names above: rightwards from the top down, leftwards from the last to the first."""
    places = [(name, value, _x(min(value, high), low, high)) for name, value in found]
    rightwards = [each for each in places if each[2] <= 60]
    ordered = [*rightwards, *reversed(places[len(rightwards) :])]
    lines = [_line(x, 15 * row, LABELS + PLOT, "mark") for row, (_, _, x) in enumerate(ordered)]
    names = [
        tag(
            "text",
            f"{name} {number_text(value, 2)} ms",
            x=_p(x),
            y=str(11 + 15 * row),
            dx="5" if x <= 60 else "-5",
            text_anchor="start" if x <= 60 else "end",
        )
        for row, (name, value, x) in enumerate(ordered)
    ]
    return [*lines, *names]


def _axis(low: float, high: float, y: float, unit: str) -> list[Markup]:
    ticks = [_tick(value, low, high, y, unit) for value in tick_values(low, high)]
    return [tag("line", x1="0", x2="100%", y1=f"{y:g}", y2=f"{y:g}", class_="axis"), *ticks]


def _tick(value: float, low: float, high: float, y: float, unit: str) -> Markup:
    x = _x(value, low, high)
    side = "start" if x < 4 else "end" if x > 96 else "middle"
    return tag("text", f"{value:g} {unit}".replace("-", "−"), x=_p(x), y=f"{y + 16:g}", text_anchor=side, class_="tick")


def tick_values(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers within [low, high], about so many."""
    rough = (high - low) / about
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [round(float(index * step), 10) for index in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _x(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) * 100


def _p(x: float) -> str:
    return f"{x:.2f}%"


def _rect(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    return tag("rect", x=_p(x), y=f"{y:.1f}", width=_p(width), height=f"{height:.1f}", class_=kind)


def _line(x: float, top: float, bottom: float, kind: str) -> Markup:
    return tag("line", x1=_p(x), x2=_p(x), y1=f"{top:g}", y2=f"{bottom:g}", class_=kind)


def _svg(height: int, label: str, *children: Markup | None) -> Markup:
    return tag("svg", *children, width="100%", height=str(height), role="img", aria_label=label, class_="chart")
