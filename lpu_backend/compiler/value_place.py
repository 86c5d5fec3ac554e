"""Where the rows of a value lie."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ValuePlace:
    """Byte b of row r lies in slice `slices[b * spread + r % spread]` at `address` + r // spread, as in isa.Region.

    All slices are on one side of the VXM.
    """

    slices: tuple[str, ...]
    address: int
