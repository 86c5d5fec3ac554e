"""Published beside emulated, a row a figure."""

from collections.abc import Iterator
from dataclasses import dataclass

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.exceptions import LpuBackendError
from lpu_backend.validation.measurements import Measurements
from lpu_backend.validation.published import PUBLISHED, Published, Use


@dataclass(frozen=True)
class Row:
    """One figure. `published` is a number or a range as printed.

    `error` is relative, and 0 within a range; `emulated` and `error` are None, with the `reason`, where the chip could
    not run the program. `agrees` compares at the digits that are printed.
    """

    name: str
    source: str
    published: float | tuple[float, float]
    emulated: float | None
    unit: str
    error: float | None
    used_for: Use
    agrees: bool
    reason: str = ""


def validate(chip: ChipSpec = GROQCHIP1) -> Iterator[Row]:
    """Each published figure as soon as it has been counted on `chip`."""
    measurements = Measurements(chip)
    for figure in PUBLISHED:
        yield compare(figure, measurements)


def differs(row: Row) -> bool:
    """Whether a row shows the emulator to be wrong: an exact figure that is not the published one."""
    return row.used_for == "exact" and not row.agrees


def compare(figure: Published, measurements: Measurements) -> Row:
    """The row of one figure."""
    printed = figure.printed
    published = float(printed) if isinstance(printed, str) else (float(printed[0]), float(printed[1]))
    try:
        emulated = figure.count(measurements)
    except LpuBackendError as refusal:
        return Row(figure.name, figure.source, published, None, figure.unit, None, figure.used_for, False, str(refusal))
    low, high = (published, published) if isinstance(published, float) else published
    nearest = min(max(emulated, low), high)
    error = (emulated - nearest) / nearest
    decimals = len(printed.partition(".")[2]) if isinstance(printed, str) else 0
    agrees = round(emulated, decimals) == published if isinstance(printed, str) else low <= emulated <= high
    return Row(figure.name, figure.source, published, emulated, figure.unit, error, figure.used_for, agrees)
