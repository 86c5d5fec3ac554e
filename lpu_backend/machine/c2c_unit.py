"""C2C: vectors over links."""

from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import Receive, Send
from lpu_backend.machine.chip import ChipState
from lpu_backend.machine.issue import Issue
from lpu_backend.machine.link import Clock, LinkEnd


def send(clock: Clock, chip: ChipState, issue: Issue, instruction: Send, cycle: int) -> None:
    """A vector from a stream onto the link."""
    end, interval = _link_end(chip, issue, cycle), chip.spec.c2c_vector_interval_cycles
    if end.last_send_cycle is not None and cycle - end.last_send_cycle < interval:
        detail = f"the link takes a vector every {interval} cycles; the last one went {cycle - end.last_send_cycle} ago"
        raise chip.refuse(HazardKind.LINK, issue, cycle, detail)
    end.last_send_cycle = cycle
    end.outward.send(clock.hac(cycle), chip.sample(issue, instruction.stream, cycle))


def receive(clock: Clock, chip: ChipState, issue: Issue, instruction: Receive, cycle: int) -> None:
    """The oldest vector of the link onto a stream."""
    inward, hac = _link_end(chip, issue, cycle).inward, clock.hac(cycle)
    waiting = inward.waiting(hac)
    if waiting > chip.spec.c2c_receive_vectors:
        raise chip.refuse(HazardKind.LINK, issue, cycle, f"{waiting} vectors came in before this one was taken")
    if not waiting:
        late = (
            f"it arrives {inward.flights[0].arrival_hac - hac} cycles later" if inward.flights else "none is under way"
        )
        raise chip.refuse(HazardKind.LINK, issue, cycle, f"no vector has arrived; {late}")
    vector = inward.flights.popleft().vector
    chip.drive(issue, instruction.stream, issue.cycle + chip.spec.timing("Receive").func, vector)


def _link_end(chip: ChipState, issue: Issue, cycle: int) -> LinkEnd:
    end = chip.links.get(issue.queue.part)
    if end is None:
        raise chip.refuse(HazardKind.LINK, issue, cycle, "this link is not connected")
    return end
