"""Where everything sits: the slices from west to east, the instruction queues, and the distance between them.

West to east (TSP, floorplan): MXM MXM, SXM, 44 MEM, VXM, 44 MEM, SXM, MXM MXM. Each is one position, and streams
advance one position a cycle. MEM_W0 and MEM_E0 are next to the VXM; MXM_W0 and MXM_E0 are the inner planes.

Queues: 144 are published, 88 of them one a MEM slice and 16 one a VXM ALU. How the other 40 divide is assumed:
three a MXM plane (weights, activations, results), six a SXM, one a link. A link's queue sits with the SXM of its side.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

from lpu_backend.chip.spec import ChipSpec

Unit = Literal[
    "MEM", "VXM", "MXM_WEIGHTS", "MXM_ABC", "MXM_ACC", "SHIFT", "PERMUTE", "DISTRIBUTE", "ROTATE", "TRANSPOSE", "C2C"
]

SXM_UNITS: tuple[tuple[str, Unit], ...] = (
    ("SHIFT0", "SHIFT"),
    ("SHIFT1", "SHIFT"),
    ("PERMUTE", "PERMUTE"),
    ("DISTRIBUTE", "DISTRIBUTE"),
    ("ROTATE", "ROTATE"),
    ("TRANSPOSE", "TRANSPOSE"),
)


@dataclass(frozen=True, slots=True)
class Queue:
    """One instruction queue: `index` in floorplan order, `position` from the west edge, `part` within its unit."""

    name: str
    unit: Unit
    index: int
    position: int
    slice_name: str
    part: int


@dataclass(frozen=True)
class Floorplan:
    """Positions of a chip's slices and its queues by name."""

    positions: dict[str, int]
    queues: dict[str, Queue]

    @property
    def width(self) -> int:
        """Stream registers from edge to edge."""
        return len(self.positions)


@cache
def plan_floor(chip: ChipSpec) -> Floorplan:
    """Slices from MXM_W1 MXM_W0 SXM_W MEM_W43 ... MEM_W0 VXM MEM_E0 ... to SXM_E MXM_E0 MXM_E1, and their queues."""
    each_side = chip.slices_each_side
    planes = chip.mxm_planes // 2
    west = [f"MXM_W{plane}" for plane in reversed(range(planes))] + ["SXM_W"]
    west += [f"MEM_W{place}" for place in reversed(range(each_side))]
    east = [f"MEM_E{place}" for place in range(each_side)] + ["SXM_E"]
    east += [f"MXM_E{plane}" for plane in range(planes)]
    positions = {name: position for position, name in enumerate([*west, "VXM", *east])}

    queues: dict[str, Queue] = {}

    def add(name: str, unit: Unit, slice_name: str, part: int) -> None:
        queues[name] = Queue(name, unit, len(queues), positions[slice_name], slice_name, part)

    for slice_name in positions:
        if slice_name.startswith("MEM"):
            add(slice_name, "MEM", slice_name, 0)
        elif slice_name == "VXM":
            for alu in range(chip.vxm_alus_per_lane):
                add(f"VXM{alu}", "VXM", slice_name, alu)
        elif slice_name.startswith("MXM"):
            add(f"{slice_name}_WEIGHTS", "MXM_WEIGHTS", slice_name, 0)
            add(f"{slice_name}_ABC", "MXM_ABC", slice_name, 0)
            add(f"{slice_name}_ACC", "MXM_ACC", slice_name, 0)
        else:
            for part, (suffix, unit) in enumerate(SXM_UNITS):
                add(f"{slice_name}_{suffix}", unit, slice_name, part)
            links = chip.c2c_links // 2
            for link in range(links) if slice_name == "SXM_W" else range(links, chip.c2c_links):
                add(f"C2C{link}", "C2C", slice_name, link)
    return Floorplan(positions, queues)
