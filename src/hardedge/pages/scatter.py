"""Scatter plots: quality upwards, cost to the right; for a page, or as an SVG file of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hardedge.pages.markup import Markup, tag

HEIGHT, TOP, BOTTOM = 310, 64, 46  # px
LEFT, RIGHT = 8.0, 97.0  # percent of the width
FILE_WIDTH, FILE_HEIGHT = 720, HEIGHT + 22
# of the file: a page has style.css
_STYLE: Final = Markup(
    "svg{font:12px sans-serif;background:#fff}.tick{fill:#666}.axis{stroke:#ddd}.front,.spread{stroke:#36c}"
    ".limit{stroke:#c33;stroke-dasharray:5 4}.dot{fill:#fff;stroke:#36c;stroke-width:1.5}.chosen{fill:#36c}"
)

Place = tuple[float, float]
Tick = tuple[float, str]


@dataclass(frozen=True)
class Axes:
    """What a plot's edges stand for."""

    left: float
    right: float
    low: float
    high: float

    def x(self, cost: float) -> float:
        """In percent of the width."""
        return LEFT + (cost - self.left) / (self.right - self.left) * (RIGHT - LEFT)

    def y(self, quality: float) -> float:
        """In px from the top."""
        return TOP + (self.high - quality) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def grid(self, across: str, up: str, costs: Iterable[Tick], qualities: Iterable[Tick]) -> list[Markup]:
        """Ticks and their lines, and what the axes are."""
        bottom = HEIGHT - BOTTOM
        rows = []
        for value, text in qualities:
            rows.append(self.line((self.left, value), (self.right, value), "axis"))
            rows.append(tag("text", text, x="0", y=f"{self.y(value):.1f}", dy="4", class_="tick"))
        for value, text in costs:
            place = f"{self.x(value):.2f}%"
            rows.append(tag("text", text, x=place, y=f"{bottom + 18}", text_anchor="middle", class_="tick"))
        name = tag("text", across, x=f"{RIGHT}%", y=f"{bottom + 38}", text_anchor="end", class_="tick")
        return [*rows, tag("text", up, x="0", y="12", class_="tick"), name]

    def line(self, one: Place, two: Place, kind: str) -> Markup:
        ends = {"x1": f"{self.x(one[0]):.2f}%", "x2": f"{self.x(two[0]):.2f}%"}
        return tag("line", **ends, y1=f"{self.y(one[1]):.1f}", y2=f"{self.y(two[1]):.1f}", class_=kind)

    def dot(self, place: Place, kind: str, radius: float) -> Markup:
        x, y = place
        return tag("circle", cx=f"{self.x(x):.2f}%", cy=f"{self.y(y):.1f}", r=f"{radius:.1f}", class_=kind)


def svg_file(title: str, *children: Markup) -> str:
    """A plot that a browser opens by itself."""
    place = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {FILE_WIDTH} {FILE_HEIGHT}"}
    return f"{tag('svg', tag('title', title), tag('style', _STYLE), *children, **place)}\n"
