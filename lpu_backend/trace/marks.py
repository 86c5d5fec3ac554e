"""What happens in a panel: instructions per cycle above the floor, vectors and busy slices on it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lpu_backend.trace.flows import Band
from lpu_backend.trace.occupancy import Activity
from lpu_backend.trace.panel import LEFT, RATE_HEIGHT, Panel, write_text
from lpu_backend.trace.style import LEVELS, name_class

_FEW_STREAMS, _MANY_STREAMS = 4, 16
_STREAM_CLASSES = ("few", "some", "many")


def draw_rate(rates: NDArray[np.float64], panel: Panel) -> Iterator[str]:
    """Instructions per cycle over time, above the floor."""
    shown = rates[: panel.columns]
    peak = float(shown.max(initial=0.0)) or 1.0
    bottom = panel.rate_bottom
    path = [f"M{LEFT} {bottom:.1f}"]
    for column, rate in enumerate(shown):
        path.append(f"V{bottom - RATE_HEIGHT * rate / peak:.1f}H{panel.x(column + 1):.2f}")
    yield f'<path class="rate" d="{"".join(path)}V{bottom:.1f}z"/>'
    yield write_text(LEFT - 8, bottom - RATE_HEIGHT + 8, f"{peak:,.4g}", "small soft end")
    yield write_text(LEFT - 8, bottom - RATE_HEIGHT + 21, "instructions", "small soft end")
    yield write_text(LEFT - 8, bottom - RATE_HEIGHT + 32, "per cycle", "small soft end")


def draw_bands(bands: list[Band], panel: Panel) -> Iterator[str]:
    """Each run of vectors as a parallelogram: one slice further, one cycle later."""
    paths: dict[str, list[str]] = {}
    for band in bands:
        hops = abs(band.end - band.position)
        left, width = panel.x(band.first_cycle), (band.last_cycle + 1 - band.first_cycle) * panel.column_width
        top, bottom = panel.y(band.position + 0.5), panel.y(band.end + 0.5)
        lean = hops * panel.column_width
        size = _STREAM_CLASSES[(band.streams >= _FEW_STREAMS) + (band.streams >= _MANY_STREAMS)]
        outline = f"M{left:.1f} {top:.1f}h{width:.1f}l{lean:.1f} {bottom - top:.1f}h{-width:.1f}z"
        paths.setdefault(f"band-{band.direction} streams-{size}", []).append(outline)
    yield '<g class="bands">'
    for classes, outlines in paths.items():
        yield from (f'<path class="{classes}" d="{outline}"/>' for outline in outlines)
    yield "</g>"


def draw_cells(busy: dict[int, dict[Activity, NDArray[np.float64]]], panel: Panel) -> Iterator[str]:
    """A rectangle a run of columns of equal activity and intensity, gathered in one path a colour."""
    paths: dict[tuple[Activity, int], list[str]] = {}
    for row, activities in sorted(busy.items()):
        levels = {name: np.ceil(share * LEVELS).astype(int)[: panel.columns] for name, share in activities.items()}
        sharing = np.sum([level > 0 for level in levels.values()], axis=0)
        before = np.zeros_like(sharing)
        for activity, level in levels.items():
            for first, last, intensity, shares, place in _list_runs(level, sharing, before):
                height = (panel.row_height - 0.6) / shares
                top = panel.y(row) + 0.3 + place * height
                width = (last + 1 - first) * panel.column_width
                rectangle = f"M{panel.x(first):.2f} {top:.2f}h{width:.2f}v{height:.2f}h{-width:.2f}z"
                paths.setdefault((activity, intensity), []).append(rectangle)
            before += level > 0
    for (activity, intensity), rectangles in sorted(paths.items()):
        yield f'<path class="{name_class(activity)} level-{intensity}" d="{"".join(rectangles)}"/>'


def _list_runs(
    level: NDArray[np.int64], sharing: NDArray[np.int64], before: NDArray[np.int64]
) -> Iterator[tuple[int, int, int, int, int]]:
    """(first, last, level, activities in the cell, those above this one) of each run of equal columns."""
    cells = np.stack([level, sharing, before], axis=1)
    edges = np.flatnonzero(np.any(cells[1:] != cells[:-1], axis=1)) + 1
    for first, after in zip([0, *edges], [*edges, len(level)], strict=True):
        if level[first]:
            yield int(first), int(after) - 1, int(level[first]), int(sharing[first]), int(before[first])
