"""The plot of tune, as SVG: mIoU against latency where it was measured, else against the share in INT8."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from hardedge.contracts import Interval
from hardedge.export.tune.record import Step, Tuning

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 416, 70, 30, 50, 76
BLUE, GREY, RED = "#36c", "#888", "#c33"
NO_LATENCY = "share of the multiply-adds in INT8, percent"
NO_LATENCY_NOTE = "no latency was measured: hardedge tune --latency TARGET, or hardedge deploy on the device"
CPU_NOTE = "a CPU's INT8 and FP16 kernels: this says nothing of a GPU"

Place = Callable[[float, float], tuple[float, float]]


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
class Axis:
    """The x axis: its label, a line of small print, its ends, its ticks with their text."""

    label: str
    note: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


def pareto_svg(tuning: Tuning) -> str:
    """A dot a step with its 90 % interval, the chosen one filled; those that no other beats in both are joined."""
    dots, axis = dots_of(tuning)
    ends = [end for dot in dots for end in (dot.step.agreement.interval.low, dot.step.agreement.interval.high)]
    low, high = min(*ends, -tuning.goal, 0.0), max(*ends, 0.0)
    margin = 0.06 * ((high - low) or 1.0)
    place = _place(axis, low - margin, high + margin)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>mIoU against {escape(axis.label)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *(_level(value, place, axis) for value in _levels(low, high)),
        _goal(tuning.goal, place, axis),
        *(_tick(value, text, place, low - margin) for value, text in axis.ticks),
        f'<polyline points="{_points(pareto_front(dots), place)}" fill="none" stroke="{BLUE}"/>',
        *(_dot(dot, dot.step.kept == tuning.chosen, place) for dot in dots),
        f'<text x="{LEFT}" y="18">mIoU minus FP32, points, on {tuning.images} images of {escape(tuning.split)} '
        "(90 % interval)</text>",
        f'<text x="{LEFT}" y="34" fill="{GREY}">numbers: nodes in FP16; filled: the chosen mixture; '
        f"dashed: the goal, at most {tuning.goal:g} below</text>",
        _middle(axis.label, HEIGHT - 36, "black"),
        _middle(axis.note, HEIGHT - 14, GREY),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def dots_of(tuning: Tuning) -> tuple[list[Dot], Axis]:
    """The mixtures by latency where all have one, else by their share in INT8; and the axis for it."""
    latencies = {found.kept: found.comparison for found in tuning.latencies}
    if not latencies or set(latencies) != {step.kept for step in tuning.steps}:
        ticks = tuple((percent / 100, f"{percent}") for percent in (0, 25, 50, 75, 100))
        dots = [Dot(step, step.int8_share, None, -step.int8_share) for step in tuning.steps]
        return dots, Axis(NO_LATENCY, NO_LATENCY_NOTE, 0.0, 1.0, ticks)
    dots = [
        Dot(step, latencies[step.kept].ratio, latencies[step.kept].interval, latencies[step.kept].ratio)
        for step in tuning.steps
    ]
    ends = [end for dot in dots if dot.spread for end in (dot.spread.low, dot.spread.high)]
    low, high = min(*ends, 1.0), max(*ends, 1.0)
    margin = 0.05 * (high - low)
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 1e9) if (high - low) / step <= 8)
    ticks = tuple((step * n, f"{step * n:.2f}") for n in range(int((low - margin) / step) + 1, int(high / step) + 1))
    label = f"latency over FP32's on {tuning.target}, batch 1 (less is faster)"
    note = CPU_NOTE if tuning.target == "onnxruntime:cpu" else latencies[tuning.chosen].detail
    return dots, Axis(label, note, low - margin, high + margin, ticks)


def pareto_front(dots: Sequence[Dot]) -> list[Dot]:
    """The dots that no other beats in both cost and mIoU, the cheapest first."""
    best: list[Dot] = []
    for dot in sorted(dots, key=lambda dot: (dot.cost, -dot.y)):
        if not best or dot.y > best[-1].y:
            best.append(dot)
    return best


def _place(axis: Axis, low: float, high: float) -> Place:
    def place(value: float, difference: float) -> tuple[float, float]:
        x = LEFT + (value - axis.low) / ((axis.high - axis.low) or 1.0) * (WIDTH - LEFT - RIGHT)
        return x, TOP + (high - difference) / (high - low) * (HEIGHT - TOP - BOTTOM)

    return place


def _levels(low: float, high: float) -> list[float]:
    """Round values that divide the range into at most eight parts."""
    step = next(step for step in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0) if (high - low) / step <= 8)
    return [step * number for number in range(int(low / step) - 1, int(high / step) + 1) if step * number >= low]


def _points(dots: Sequence[Dot], place: Place) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(dot.x, dot.y) for dot in dots))


def _dot(dot: Dot, chosen: bool, place: Place) -> str:
    found, (x, y) = dot.step.agreement, place(dot.x, dot.y)
    (_, least), (_, most) = place(dot.x, found.interval.low), place(dot.x, found.interval.high)
    share = f"{100 * dot.step.int8_share:.1f} % in INT8"
    cost = f"{dot.x:.3f} of FP32's latency, {share}" if dot.spread else share
    lines = _line(x, least, x, most, BLUE)
    if dot.spread:
        (left, _), (right, _) = place(dot.spread.low, dot.y), place(dot.spread.high, dot.y)
        lines += _line(left, y, right, y, BLUE)
    return (
        f"<g><title>{dot.step.kept} nodes in FP16: {cost}, {found.difference:+.2f} points</title>{lines}"
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" stroke="{BLUE}" fill="{BLUE if chosen else "white"}"/>'
        f'<text x="{x + 8:.1f}" y="{y - 6:.1f}" fill="{GREY}" font-size="10">{dot.step.kept}</text></g>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, color: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def _level(value: float, place: Place, axis: Axis) -> str:
    _, y = place(axis.low, value)
    return _line(LEFT, y, WIDTH - RIGHT, y, "#ddd") + (
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:+.2f}</text>'
    )


def _goal(goal: float, place: Place, axis: Axis) -> str:
    _, y = place(axis.low, -goal)
    return f'<g stroke-dasharray="5 4">{_line(LEFT, y, WIDTH - RIGHT, y, RED)}</g>'


def _tick(value: float, text: str, place: Place, lowest: float) -> str:
    x, y = place(value, lowest)
    return f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{text}</text>'


def _middle(text: str, y: int, color: str) -> str:
    return f'<text x="{(LEFT + WIDTH) // 2}" y="{y}" text-anchor="middle" fill="{color}">{escape(text)}</text>'
