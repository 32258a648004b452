"""Drawing charts as SVG text, by hand: a board has no plotting package, and colours come from the page's style sheet,
so that one drawing serves light, dark and paper.

Lengths are units of the view box; classes: s0..s5 the colours of series, axis, grid, tick, name, front, limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

SERIES = 6
_MARKS = ("circle", "square", "diamond", "triangle", "down", "cross")


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten apart) within [low, high]."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


class Scale:
    """Values [low, high] to lengths [start, end]; a range of no width is widened."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        if high <= low:
            low, high = low - (abs(low) or 1) * 0.05, high + (abs(high) or 1) * 0.05
        self.low, self.high, self.start, self.end = low, high, start, end

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


class Chart:
    """A rectangle with axes; elements are added in the order they are painted."""

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], x_name: str, y_name: str,
        size: tuple[int, int] = (460, 290), left: int = 54, bottom: int = 44, y_ticks: bool = True,
    ) -> None:  # fmt: skip
        self.width, self.height = size
        self.x = Scale(*x, left, self.width - 14)
        self.y = Scale(*y, self.height - bottom, 12)
        self._parts: list[str] = []
        self._axes(x_name, y_name, y_ticks)

    def _axes(self, x_name: str, y_name: str, y_ticks: bool) -> None:
        top, floor, left, right = self.y.end, self.y.start, self.x.start, self.x.end
        for value in ticks(self.x.low, self.x.high):
            self.line([(self.x.at(value), top), (self.x.at(value), floor)], "grid")
            self.text(self.x.at(value), floor + 16, f"{value:g}", "tick", "middle")
        for value in ticks(self.y.low, self.y.high) if y_ticks else []:
            self.line([(left, self.y.at(value)), (right, self.y.at(value))], "grid")
            self.text(left - 6, self.y.at(value) + 4, f"{value:g}", "tick", "end")
        self.line([(left, floor), (right, floor)], "axis")
        self.text((left + right) / 2, self.height - 8, x_name, "name", "middle")
        middle = (top + floor) / 2
        if y_name:
            self._parts.append(
                f'<text class="name" text-anchor="middle" transform="translate(13 {middle:g}) rotate(-90)">'
                f"{escape(y_name)}</text>"
            )

    def line(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """A line through points given in lengths."""
        joined = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._parts.append(f'<polyline class="{kind}" fill="none" points="{joined}"/>')

    def area(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        joined = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._parts.append(f'<polygon class="{kind}" points="{joined}"/>')

    def bar(self, x0: float, x1: float, y: float, height: float, kind: str) -> None:
        """A lying bar between two lengths."""
        self._parts.append(
            f'<rect class="{kind}" x="{min(x0, x1):g}" y="{y:g}" width="{max(abs(x1 - x0), 0.5):g}" '
            f'height="{height:g}"/>'
        )

    def text(self, x: float, y: float, text: str, kind: str, anchor: str = "start", most: int = 60) -> None:
        """Text of at most `most` letters; the whole of a longer one shows when pointed at."""
        shown = text if len(text) <= most else text[: most - 1] + "…"
        title = f"<title>{escape(text)}</title>" if shown != text else ""
        self._parts.append(
            f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(shown)}{title}</text>'
        )

    def mark(self, x: float, y: float, series: int, filled: bool, title: str) -> None:
        """The mark of a series at a point given in lengths; what it stands for shows when pointed at."""
        kind = f"s{series % SERIES} {'full' if filled else 'hollow'}"
        self._parts.append(f'<path class="{kind}" d="{_mark(series, x, y)}"><title>{escape(title)}</title></path>')

    def svg(self, title: str) -> str:
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(title)}">'
            f"{''.join(self._parts)}</svg>"
        )


def _mark(series: int, x: float, y: float, r: float = 5.5) -> str:
    shape = _MARKS[series % len(_MARKS)]
    if shape == "circle":
        return f"M{x - r:g},{y:g}a{r},{r} 0 1,0 {2 * r},0a{r},{r} 0 1,0 {-2 * r},0z"
    corners: dict[str, Sequence[tuple[float, float]]] = {
        "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
        "diamond": [(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)],
        "triangle": [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
        "down": [(0, 1.15), (1.1, -0.85), (-1.1, -0.85)],
        "cross": [(-1, -1), (0, -0.4), (1, -1), (0.4, 0), (1, 1), (0, 0.4), (-1, 1), (-0.4, 0)],
    }
    return "M" + "L".join(f"{x + dx * r:g},{y + dy * r:g}" for dx, dy in corners[shape]) + "z"


def legend_mark(series: int) -> str:
    """The mark of a series by itself, for a legend in the page."""
    path = f'<path class="s{series % SERIES} full" d="{_mark(series, 8, 8)}"/>'
    return f'<svg class="key" viewBox="0 0 16 16">{path}</svg>'
