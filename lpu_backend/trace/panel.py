"""One chip's panel of the picture: where things lie, the floor with the slices' names, and the axis of cycles."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from xml.sax.saxutils import escape

from lpu_backend.chip import ChipSpec, plan_floor

LEFT = 92
RATE_HEIGHT = 34
_CAPTION_HEIGHT, _GAP, _AXIS_HEIGHT = 22, 8, 44
_TICK_WIDTH = 80
_TICK_SLICES = 10


@dataclass(frozen=True)
class Panel:
    """Where one chip's panel lies: pixels of its plot, a row and a column."""

    top: float
    caption: str
    row_height: float
    column_width: float
    rows: int
    columns: int

    @property
    def rate_bottom(self) -> float:
        return self.top + (_CAPTION_HEIGHT if self.caption else 0) + RATE_HEIGHT

    @property
    def floor_top(self) -> float:
        return self.rate_bottom + _GAP

    @property
    def floor_bottom(self) -> float:
        return self.floor_top + self.rows * self.row_height

    @property
    def bottom(self) -> float:
        return self.floor_bottom + _AXIS_HEIGHT

    @property
    def right(self) -> float:
        return LEFT + self.columns * self.column_width

    def x(self, column: float) -> float:
        return LEFT + column * self.column_width

    def y(self, row: float) -> float:
        return self.floor_top + row * self.row_height


class _Label(NamedTuple):
    text: str
    first_row: int
    last_row: int


def draw_floor(chip: ChipSpec, panel: Panel) -> Iterator[str]:
    """The background, with the rows that are not memory set off, and the names of the slices."""
    yield write_rectangle(panel, "floor", 0, panel.rows)
    for label in _list_labels(chip):
        middle = panel.y((label.first_row + label.last_row + 1) / 2)
        if label.text.startswith("MEM"):
            yield f'<text class="ink middle" transform="translate(20 {middle:.1f}) rotate(-90)">{label.text}</text>'
            continue
        is_switch = label.text.startswith("SXM")  # in a column of its own: next to the MXM's it has no room
        yield write_rectangle(panel, "switch" if is_switch else "unit", label.first_row, label.last_row + 1)
        yield write_text(LEFT - (50 if is_switch else 8), middle + 4, label.text, "ink end")
    for name, position in plan_floor(chip).positions.items():
        if name.startswith("MEM") and int(name[5:]) % _TICK_SLICES == 0 and name[5:] != "0":
            yield write_text(LEFT - 8, panel.y(position + 0.5) + 3.5, name[4:], "small soft end")


def _list_labels(chip: ChipSpec) -> Iterator[_Label]:
    """The rows of the units, west to east."""
    positions = plan_floor(chip).positions
    groups: dict[str, list[int]] = {}
    for name, position in positions.items():
        group = name if name == "VXM" else name[:5].replace("_", " ")
        groups.setdefault(group, []).append(position)
    for group, rows in groups.items():
        yield _Label(group, min(rows), max(rows))


def draw_axis(cycles_per_column: int, panel: Panel) -> Iterator[str]:
    """Ticks at round cycles, through the floor."""
    cycles = panel.columns * cycles_per_column
    step = _choose_step(cycles, max(2, int((panel.right - LEFT) // _TICK_WIDTH)))
    bottom = panel.floor_bottom
    for cycle in range(0, cycles + 1, step):
        x = panel.x(cycle / cycles_per_column)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{panel.floor_top:.1f}" y2="{bottom:.1f}"/>'
        yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom:.1f}" y2="{bottom + 4:.1f}"/>'
        yield write_text(x, bottom + 16, f"{cycle:,}", "small soft middle")
    yield f'<line class="axis" x1="{LEFT}" x2="{panel.right:.1f}" y1="{bottom:.1f}" y2="{bottom:.1f}"/>'
    yield write_text((LEFT + panel.right) / 2, bottom + 31, "cycle", "soft middle")


def _choose_step(cycles: int, ticks: int) -> int:
    """The smallest of 1, 2, 5, 10, 20 ... with at most this many ticks."""
    scale = 1
    while True:
        for step in (scale, 2 * scale, 5 * scale):
            if cycles <= step * ticks:
                return step
        scale *= 10


def write_rectangle(panel: Panel, class_name: str, first_row: int, after_row: int) -> str:
    """Rows of the floor in their whole width."""
    y, height, width = panel.y(first_row), (after_row - first_row) * panel.row_height, panel.right - LEFT
    return f'<rect class="{class_name}" x="{LEFT}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def write_text(x: float, y: float, text: str, classes: str) -> str:
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
