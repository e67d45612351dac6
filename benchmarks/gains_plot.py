"""A forest plot: differences with their intervals, one under the other, as an SVG that stands by itself."""

from collections.abc import Mapping
from xml.sax.saxutils import escape

from hardedge.statistics.paired_by_seed import SeedDifference

WIDTH, LEFT, RIGHT, ROW, HEAD, FOOT = 760, 230, 200, 26, 34, 40
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.small{font-size:11px;fill:#555}"
    "rect.page{fill:#fff}line{stroke:#bbb}line.zero{stroke:#444}line.interval{stroke:#1b6ca8;stroke-width:3}"
    "circle{fill:#1b6ca8}.open line.interval{stroke:#999}.open circle{fill:#999}"
)


def forest(differences: Mapping[str, SeedDifference], wanted: Mapping[str, int]) -> str:
    """The plot, in points of mIoU over cross-entropy; grey where pairs are still missing."""
    limit = _limit(differences)
    bottom = HEAD + ROW * max(1, len(differences))
    drawn = [_row(index, row, each, wanted[row], limit) for index, (row, each) in enumerate(differences.items())]
    if not drawn:
        drawn = [_text(LEFT, HEAD + 17, "no pair of trainings is finished yet")]
    said = "; ".join(f"{row} {_words(each)}" for row, each in differences.items()) or "none yet"
    head = _text(0, 18, "mIoU over cross-entropy, in points: mean and 95 % interval of pairs (grey: pairs missing)")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 0 {WIDTH + 24} {bottom + FOOT}" role="img" '
            f'aria-label="{escape(said)}">',
            f"<style>{STYLE}</style>",
            f'<rect class="page" x="-12" width="{WIDTH + 24}" height="{bottom + FOOT}"/>',
            head,
            *_axis(limit, bottom),
            *drawn,
            "</svg>\n",
        ]
    )


def _limit(differences: Mapping[str, SeedDifference]) -> int:
    """Where the axis ends on both sides, in whole points; wider intervals are cut off there."""
    ends = sorted(abs(end) for each in differences.values() for end in (each.low, each.high))
    return max(2, min(10, round(ends[-1] + 1))) if ends else 2


def _x(value: float, limit: int) -> float:
    inside = max(-limit, min(limit, value))
    return LEFT + (WIDTH - LEFT - RIGHT) * (inside + limit) / (2 * limit)


def _row(index: int, row: str, difference: SeedDifference, wanted: int, limit: int) -> str:
    middle = HEAD + ROW * index + ROW // 2
    low, high, dot = (_x(value, limit) for value in (difference.low, difference.high, difference.mean))
    kind = "open" if difference.pairs < wanted else "done"
    pairs = f"{difference.pairs} of {wanted} pairs" if kind == "open" else f"{difference.pairs} pairs"
    return (
        f'<g class="{kind}">{_text(0, middle + 4, row)}'
        f'<line class="interval" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<circle cx="{dot:.1f}" cy="{middle}" r="5"/>'
        f"{_text(WIDTH - RIGHT + 12, middle + 4, _words(difference))}"
        f"{_text(150, middle + 4, pairs, 'small')}</g>"
    )


def _axis(limit: int, bottom: int) -> list[str]:
    step = 1 if limit <= 5 else 2
    lines = []
    for value in range(-limit + limit % step, limit + 1, step):
        x = _x(value, limit)
        kind = ' class="zero"' if value == 0 else ""
        lines.append(f'<line{kind} x1="{x:.1f}" x2="{x:.1f}" y1="{HEAD}" y2="{bottom}"/>')
        lines.append(_text(x, bottom + 18, f"{value:+d}" if value else "0", "small", "middle"))
    return lines


def _words(difference: SeedDifference) -> str:
    return f"{difference.mean:+.1f} [{difference.low:+.1f}, {difference.high:+.1f}]"


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'
