"""Draw how time and memory grow, as SVG: two logarithmic panels, a dot per measurement and a line of the fitted law."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 760, 340
TOP, BOTTOM, PANEL = 50, 280, 280
COLOUR = "#1f6f8b"


@dataclass(frozen=True, slots=True)
class Curve:
    """One panel: what was measured at which size, and the law ``fixed + rate · size ** exponent`` through it."""

    title: str
    sizes: Sequence[float]
    values: Sequence[float]
    fixed: float
    rate: float
    exponent: float

    def law(self, size: float) -> float:
        """Return what the law says at `size`."""
        return float(self.fixed + self.rate * size**self.exponent)


def figure(title: str, size_name: str, curves: Sequence[Curve]) -> str:
    """Draw `curves` beside each other."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    parts = [f'{head} font-size="13">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    parts.append(_text(WIDTH / 2, 20, title, "middle"))
    for number, curve in enumerate(curves):
        parts += _panel(curve, 70 + number * (PANEL + 90), size_name)
    return "\n".join([*parts, "</svg>", ""])


def _panel(curve: Curve, left: float, size_name: str) -> list[str]:
    sizes, values = _decades(curve.sizes), _decades([v for v in curve.values if v > 0])

    def x(size: float) -> float:
        return left + PANEL * (math.log10(size) - sizes[0]) / (sizes[-1] - sizes[0])

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (math.log10(max(value, 10 ** values[0])) - values[0]) / (
            values[-1] - values[0]
        )

    parts = []
    for power in values:
        level = y(10**power)
        parts.append(f'<path d="M{left} {level:.1f}H{left + PANEL}" stroke="#ddd"/>')
        parts.append(_text(left - 6, level + 4, _number(power), "end"))
    parts += [_text(x(10**power), BOTTOM + 18, _number(power), "middle") for power in sizes]
    first, last = min(curve.sizes), max(curve.sizes)
    path = [first * (last / first) ** (step / 60) for step in range(61)]
    points = " ".join(f"{x(size):.1f},{y(curve.law(size)):.1f}" for size in path)
    parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOUR}" stroke-width="2"/>')
    for size, value in zip(curve.sizes, curve.values, strict=True):
        parts.append(f'<circle cx="{x(size):.1f}" cy="{y(value):.1f}" r="4" fill="{COLOUR}"/>')
    parts.append(_text(left + PANEL / 2, TOP - 10, f"{curve.title}: exponent {curve.exponent:.2f}", "middle"))
    parts.append(_text(left + PANEL / 2, BOTTOM + 40, size_name, "middle"))
    return parts


def _decades(values: Sequence[float]) -> range:
    """Return the powers of ten from below the least of `values` to above the largest."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return range(low, max(high, low + 1) + 1)


def _number(power: int) -> str:
    return f"{10**power:g}" if -3 <= power <= 3 else f'10<tspan dy="-5" font-size="9">{power}</tspan>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333">{words}</text>'
