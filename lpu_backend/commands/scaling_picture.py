"""The picture of strong scaling: tokens a second above, where a token's time goes below, a column a number of chips."""

from collections.abc import Iterator, Sequence
from typing import Protocol
from xml.sax.saxutils import escape

from lpu_backend.compiler.compiled_program import UnitCycles

_COLUMN, _BAR, _LEFT, _PLOT = 84, 46, 70, 180
_TOP, _GAP, _BOTTOM = 84, 56, 44
_UNITS = ("matrix", "vector", "network", "waiting")
_LIGHT = ("#7a3fa0", "#c2324b", "#157f8d", "#9aa3b0")
_DARK = ("#c38be6", "#f0728a", "#4cc5d4", "#76808e")
_US = 1e6


class Point(Protocol):
    """What a column shows."""

    @property
    def chips(self) -> int: ...

    @property
    def tokens_per_second(self) -> float: ...

    @property
    def cycles(self) -> int: ...

    @property
    def units(self) -> UnitCycles: ...


def draw_scaling(name: str, points: Sequence[Point], clock_hz: int) -> str:
    """An SVG for light and dark pages."""
    width = max(_LEFT + _COLUMN * len(points) + 24, 480)
    height = _TOP + 2 * _PLOT + _GAP + _BOTTOM
    about = "; ".join(f"{point.chips:,} chips: {point.tokens_per_second:,.1f} tokens/s" for point in points)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title about">',
            f'<title id="title">{escape(name)}: strong scaling</title>',
            f'<desc id="about">{escape(about)}</desc>',
            f"<style>{_write_style()}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            _write(20, 30, f"{name} on more chips", "title"),
            *_draw_legend(),
            *_draw_speeds(points, width),
            *_draw_times(points, width, clock_hz),
            "</svg>\n",
        ]
    )


def _draw_legend() -> Iterator[str]:
    for place, unit in enumerate(_UNITS):
        x = 20 + 90 * place
        yield f'<rect class="{unit}" x="{x}" y="46" width="11" height="11" rx="2"/>'
        yield _write(x + 16, 55.5, unit)


def _draw_speeds(points: Sequence[Point], width: int) -> Iterator[str]:
    base, most = _TOP + _PLOT, max(point.tokens_per_second for point in points)
    yield _write(20, _TOP - 8, "tokens a second for each user", "soft")
    yield f'<line class="axis" x1="{_LEFT}" x2="{width - 20}" y1="{base}" y2="{base}"/>'
    for x, point in _list_columns(points):
        tall = point.tokens_per_second / most * (_PLOT - 20)
        yield f'<rect class="speed" x="{x}" y="{base - tall:.1f}" width="{_BAR}" height="{tall:.1f}"/>'
        yield _write(x + _BAR / 2, base - tall - 5, f"{point.tokens_per_second:,.0f}", "middle")


def _draw_times(points: Sequence[Point], width: int, clock_hz: int) -> Iterator[str]:
    base, most = _TOP + 2 * _PLOT + _GAP, max(point.cycles for point in points)
    yield _write(20, _TOP + _PLOT + _GAP - 8, "µs a token, by what works", "soft")
    yield f'<line class="axis" x1="{_LEFT}" x2="{width - 20}" y1="{base}" y2="{base}"/>'
    for x, point in _list_columns(points):
        y = float(base)
        for unit, cycles in point.units.as_dict().items():
            tall = cycles / most * (_PLOT - 20)
            y -= tall
            yield f'<rect class="{unit}" x="{x}" y="{y:.1f}" width="{_BAR}" height="{tall:.1f}"/>'
        yield _write(x + _BAR / 2, y - 5, f"{point.cycles / clock_hz * _US:,.0f}", "middle")
        yield _write(x + _BAR / 2, base + 16, f"{point.chips:,}", "middle")
    yield _write((_LEFT + width) / 2, base + 34, "chips", "soft middle")


def _list_columns(points: Sequence[Point]) -> Iterator[tuple[int, Point]]:
    for place, point in enumerate(points):
        yield _LEFT + place * _COLUMN + (_COLUMN - _BAR) // 2, point


def _write(x: float, y: float, text: str, classes: str = "") -> str:
    return f'<text class="ink {classes}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _write_style() -> str:
    def colour(page: str, ink: str, soft: str, speed: str, units: Sequence[str]) -> str:
        rules = [f".page{{fill:{page}}}.ink{{fill:{ink}}}.soft{{fill:{soft}}}.axis{{stroke:{soft}}}"]
        rules += [
            f".speed{{fill:{speed}}}",
            *(f".{unit}{{fill:{fill}}}" for unit, fill in zip(_UNITS, units, strict=True)),
        ]
        return "".join(rules)

    dark = colour("#14171c", "#eceff4", "#a4adba", "#6aaef2", _DARK)
    return (
        "text{font-family:Inter,'Helvetica Neue',Helvetica,Arial,'DejaVu Sans',sans-serif;font-size:11px}"
        ".title{font-size:18px;font-weight:600}.middle{text-anchor:middle}"
        + colour("#ffffff", "#1b1f26", "#5b6370", "#2a6fbb", _LIGHT)
        + f"@media (prefers-color-scheme:dark){{{dark}}}"
    )
