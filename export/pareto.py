"""The plot of tune: mIoU against the share of multiply-adds in INT8, as SVG."""

from collections.abc import Callable, Sequence
from html import escape

from hardedge.export.tuning import Step

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 70, 20, 30, 50
NO_LATENCY = "share of the multiply-adds in INT8, percent (no latency: measured by deploy on the device)"

Place = Callable[[float, float], tuple[float, float]]


def pareto(steps: Sequence[Step], chosen: int) -> str:
    """A dot a step with its 90 % interval, the chosen one filled; those that no other beats in both are joined."""
    ends = [end for step in steps for end in (step.agreement.interval.low, step.agreement.interval.high)]
    low, high = min(*ends, 0.0), max(*ends, 0.0)
    margin = 0.05 * ((high - low) or 1.0)
    place = _place(low - margin, high + margin)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        "<title>mIoU against the share of multiply-adds in INT8</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *(_level(value, place) for value in sorted({low, 0.0, high})),
        *(_tick(percent, place, low - margin) for percent in (0, 25, 50, 75, 100)),
        f'<polyline points="{_points(front(steps), place)}" fill="none" stroke="#36c"/>',
        *(_dot(step, step.kept == chosen, place) for step in steps),
        f'<text x="{LEFT}" y="18">mIoU minus FP32, points (90 % interval)</text>',
        f'<text x="{(LEFT + WIDTH) // 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(NO_LATENCY)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def front(steps: Sequence[Step]) -> list[Step]:
    """The steps that no other beats in both share and mIoU, by falling share."""
    best: list[Step] = []
    for step in sorted(steps, key=lambda step: (-step.int8_share, -step.agreement.miou)):
        if not best or step.agreement.miou > best[-1].agreement.miou:
            best.append(step)
    return best


def _place(low: float, high: float) -> Place:
    def place(share: float, difference: float) -> tuple[float, float]:
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        return x, TOP + (high - difference) / (high - low) * (HEIGHT - TOP - BOTTOM)

    return place


def _points(steps: Sequence[Step], place: Place) -> str:
    places = [place(step.int8_share, step.agreement.difference) for step in steps]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _dot(step: Step, chosen: bool, place: Place) -> str:
    found = step.agreement
    x, y = place(step.int8_share, found.difference)
    (_, least), (_, most) = place(0, found.interval.low), place(0, found.interval.high)
    text = f"{step.kept} nodes in FP16: {100 * step.int8_share:.1f} % in INT8, {found.difference:+.2f} points"
    return (
        f'<g><title>{text}</title><line x1="{x:.1f}" x2="{x:.1f}" y1="{least:.1f}" y2="{most:.1f}" stroke="#36c"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" stroke="#36c" fill="{"#36c" if chosen else "white"}"/></g>'
    )


def _level(value: float, place: Place) -> str:
    _, y = place(0, value)
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:+.2f}</text>'
    )


def _tick(percent: int, place: Place, lowest: float) -> str:
    x, y = place(percent / 100, lowest)
    return f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{percent}</text>'
