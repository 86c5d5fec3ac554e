"""Bar charts drawn by the server: rectangles in a plain coordinate system, stretched by the page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH = 300
HEIGHT = 100
GAP_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    peak_text: str
    first_day: str
    last_day: str
    bars: tuple[Bar, ...]
    width: int = WIDTH
    height: int = HEIGHT


def draw_chart(*, title: str, days: Sequence[str], values: Sequence[int], as_text: Callable[[int], str]) -> Chart:
    """One bar a day, the tallest as tall as the chart; a day that is not zero stays visible. Needs at least one day."""
    peak = max(values)
    slot = WIDTH / len(values)
    bars = tuple(
        _draw_bar(index * slot, slot, value / peak if peak else 0.0, f"{day}: {as_text(value)}")
        for index, (day, value) in enumerate(zip(days, values, strict=True))
    )
    return Chart(title=title, peak_text=as_text(peak), first_day=days[0], last_day=days[-1], bars=bars)


def _draw_bar(left: float, slot: float, share: float, label: str) -> Bar:
    height = max(share * HEIGHT, 1.0) if share else 0.0
    gap = slot * GAP_SHARE
    return Bar(
        x=round(left + gap / 2, 2),
        y=round(HEIGHT - height, 2),
        width=round(slot - gap, 2),
        height=round(height, 2),
        label=label,
    )
