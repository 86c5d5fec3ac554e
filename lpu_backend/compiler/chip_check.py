"""The verifier of a schedule: one chip is written out, every layer of it, and checked without data.

The checker knows nothing of templates. Windows of the network are left out here, and what they bring is taken to be
there; `window_check` verifies them, chip by chip.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lpu_backend.checker import list_hazards
from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.emission import Placed, write_queues
from lpu_backend.compiler.regions import list_gathered, make_tile_regions, make_value_region
from lpu_backend.hazards import Hazard
from lpu_backend.isa.program import Program, Region


def check_chip(placed: Sequence[Placed], chip: ChipSpec) -> list[Hazard]:
    """Hazards of one chip that runs these templates in turn; empty if there are none."""
    regions = {region.name: region for each in placed for region in _list_regions(each, chip)}
    alone = [replace(each, template=replace(each.template, windows=())) for each in placed]
    queues = write_queues(alone, 0, chip, is_aligned=False)
    # What a queue holds at once is a matter of fetching text, which is not scheduled.
    longest = max((len(queue) for queue in queues.values()), default=0)
    roomy = replace(chip, queue_instructions=max(chip.queue_instructions, longest))
    return list_hazards(Program("one chip", (queues,), tuple(regions.values())), roomy)


def _list_regions(placed: Placed, chip: ChipSpec) -> Iterator[Region]:
    """What is there before the program, or comes from other chips."""
    gathered = list_gathered(placed)
    for value in placed.template.program.values:
        if value.scope != "step" or value.name in gathered:
            yield make_value_region(placed, value, chip, 0, "input")
    for tiles in placed.template.program.tiles:
        yield from make_tile_regions(placed, tiles, chip, 0)
