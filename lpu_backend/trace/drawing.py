"""The occupancy picture: an SVG of one panel a chip, cycles from left to right, slices from west (top) to east."""

from collections.abc import Iterator
from xml.sax.saxutils import escape

from lpu_backend.chip import plan_floor
from lpu_backend.trace.marks import draw_bands, draw_cells, draw_rate
from lpu_backend.trace.occupancy import Occupancy
from lpu_backend.trace.panel import LEFT, Panel, draw_axis, draw_floor, write_text
from lpu_backend.trace.style import name_class, write_style

_PLOT_WIDTH, _LEAST_WIDTH, _WIDEST_COLUMN = 1_200, 860, 24.0
_RIGHT, _HEADER_HEIGHT = 30, 92


def draw_occupancy(occupancy: Occupancy, program_name: str, chips: int, cycles: int) -> str:
    """The SVG of a run of `cycles` cycles on `chips` chips, a panel each; a column is 1, 2, 4, 8 ... cycles."""
    chip = occupancy.chip
    rows = plan_floor(chip).width
    columns = max(1, -(-cycles // occupancy.cycles_per_column))
    column_width = min(_WIDEST_COLUMN, _PLOT_WIDTH / columns)
    row_height = 6.0 if chips == 1 else 4.0 if chips <= 4 else 3.0
    panels, top = [], float(_HEADER_HEIGHT)
    for number in range(chips):
        caption = f"Chip {number}" if chips > 1 else ""
        panels.append(Panel(top, caption, row_height, column_width, rows, columns))
        top = panels[-1].bottom
    width = max(panels[0].right + _RIGHT, _LEAST_WIDTH)
    parts = [*_draw_head(occupancy, program_name, chips, cycles, (width, top))]
    for number, panel in enumerate(panels):
        parts += _draw_panel(occupancy, number, panel)
    return "\n".join([*parts, "</svg>\n"])


def _draw_head(
    occupancy: Occupancy, program_name: str, chips: int, cycles: int, size: tuple[float, float]
) -> Iterator[str]:
    chip, (width, height) = occupancy.chip, size
    time_us, clock_mhz = cycles / chip.clock_hz * 1e6, chip.clock_hz / 1e6
    facts = f"{cycles:,} cycles, {time_us:,.3f} µs at {clock_mhz:,.0f} MHz; {occupancy.dispatched:,} instructions"
    described = (
        f"Occupancy of {chips} chip(s): {facts}. Cycles run from left to right, slices from west at the top to east."
    )
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-labelledby="title about">'
    )
    yield f'<title id="title">{escape(program_name)}: slice occupancy</title>'
    yield f'<desc id="about">{escape(described)}</desc>'
    yield f"<style>{write_style()}</style>"
    yield f'<rect class="page" width="{width:.0f}" height="{height:.0f}"/>'
    yield write_text(LEFT, 30, program_name, "title ink")
    yield write_text(LEFT, 50, facts, "soft")
    yield from _draw_legend(occupancy)


def _draw_legend(occupancy: Occupancy) -> Iterator[str]:
    x = float(LEFT)
    for activity in occupancy.list_activities():
        yield f'<rect class="{name_class(activity)}" x="{x:.0f}" y="64" width="11" height="11" rx="2"/>'
        yield write_text(x + 16, 73, activity, "ink")
        x += 32 + _estimate_width(activity)
    if occupancy.flows is None:
        binned = f"a column is {occupancy.cycles_per_column:,} cycles, paler where fewer of them are busy"
        yield write_text(x, 73, binned, "soft")
        return
    for direction, name, slant in (("E", "vectors going east", "64h6l8 11h-6z"), ("W", "going west", "75h6l8 -11h-6z")):
        yield f'<g class="bands"><path class="band-{direction}" d="M{x:.0f} {slant}"/></g>'
        yield write_text(x + 18, 73, name, "ink")
        x += 36 + _estimate_width(name)


def _estimate_width(text: str) -> float:
    """Pixels of a label, near enough to set the next one beside it."""
    return sum(8.2 if letter.isupper() else 5.6 for letter in text)


def _draw_panel(occupancy: Occupancy, number: int, panel: Panel) -> Iterator[str]:
    if panel.caption:
        yield write_text(LEFT, panel.top + 13, panel.caption, "ink strong")
    yield from draw_rate(occupancy.count_dispatches(number), panel)
    yield from draw_floor(occupancy.chip, panel)
    yield from draw_axis(occupancy.cycles_per_column, panel)
    if occupancy.flows is not None:
        yield from draw_bands(occupancy.flows.list_bands(number), panel)
    yield from draw_cells(occupancy.list_busy(number), panel)
