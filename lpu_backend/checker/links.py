"""Links between chips: Sends far enough apart, and every Receive after its vector has arrived for certain.

A link's latency jitters. A Receive is checked against the largest, the receiving end's room against the smallest.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from lpu_backend.checker.issues import Issue, IssueTable
from lpu_backend.chip import ChipSpec
from lpu_backend.hazards import Hazard, HazardKind
from lpu_backend.isa.instructions import Receive, Send
from lpu_backend.isa.program import Program

End = tuple[int, int]
"""(chip, link)."""


class _Transfer(NamedTuple):
    """A Send or a Receive: the cycle in which its vector enters or leaves the link."""

    cycle: int
    issue: Issue
    iteration: int

    def refuse(self, detail: str, cycle: int | None = None) -> Hazard:
        return self.issue.hazard(HazardKind.LINK, self.cycle if cycle is None else cycle, detail, self.iteration)


def list_link_hazards(program: Program, table: IssueTable, chip: ChipSpec) -> Iterator[Hazard]:
    """LINK, for every link and direction of a program."""
    sends = _list_transfers(table, Send, chip.timing("Send").skew)
    receives = _list_transfers(table, Receive, 0)
    peers: dict[End, End] = {}
    for link in program.links:
        one, other = (link.chip_a, link.link_a), (link.chip_b, link.link_b)
        peers |= {one: other, other: one}
    for transfers in (sends, receives):
        for end in transfers.keys() - peers.keys():
            yield from (transfer.refuse("this link leads to no chip") for transfer in transfers[end])
    for sender, receiver in peers.items():
        yield from _list_early_sends(sends[sender], chip)
        yield from _list_early_receives(sends[sender], receives[receiver], chip)
        yield from _list_overflows(sends[sender], receives[receiver], chip)


def _list_transfers(table: IssueTable, kind: type[Send | Receive], delay_cycles: int) -> dict[End, list[_Transfer]]:
    """The Sends or the Receives of each end, in order."""
    transfers: dict[End, list[_Transfer]] = defaultdict(list)
    for issue in table:
        if isinstance(issue.instruction, kind):
            transfers[issue.chip, issue.queue.part].extend(
                _Transfer(cycle + delay_cycles, issue, iteration)
                for iteration, cycle in enumerate(issue.dispatch_cycles())
            )
    return transfers


def _list_early_sends(sends: list[_Transfer], chip: ChipSpec) -> Iterator[Hazard]:
    interval_cycles = chip.c2c_vector_interval_cycles
    for before, send in pairwise(sends):
        if send.cycle - before.cycle < interval_cycles:
            apart_cycles = send.cycle - before.cycle
            yield send.refuse(f"{apart_cycles} cycles after the last vector, a link takes one each {interval_cycles}")


def _list_early_receives(sends: list[_Transfer], receives: list[_Transfer], chip: ChipSpec) -> Iterator[Hazard]:
    for send, receive in zip(sends, receives, strict=False):
        certain_cycle = send.cycle + chip.c2c_max_latency_cycles
        if receive.cycle < certain_cycle:
            yield receive.refuse(f"the vector of {send.issue.describe(send.iteration)} may arrive in {certain_cycle}")
    for receive in receives[len(sends) :]:
        yield receive.refuse(f"only {len(sends)} vectors are sent")


def _list_overflows(sends: list[_Transfer], receives: list[_Transfer], chip: ChipSpec) -> Iterator[Hazard]:
    """A vector that arrives in the cycle of a Receive needs room beside the one that leaves."""
    taken_cycles = [receive.cycle for receive in receives]
    for place, send in enumerate(sends):
        arrival_cycle = send.cycle + chip.c2c_min_latency_cycles
        waiting = place + 1 - min(bisect_left(taken_cycles, arrival_cycle), place)
        if waiting > chip.c2c_receive_vectors:
            detail = f"{waiting} vectors may wait at its other end, {chip.c2c_receive_vectors} fit"
            yield send.refuse(detail, arrival_cycle)
