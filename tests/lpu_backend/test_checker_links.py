"""Links between chips."""

from collections.abc import Sequence
from dataclasses import replace

from lpu_backend.checker import check_program
from lpu_backend.chip import ChipSpec
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import Read, Receive, Repeat, Send, Write
from lpu_backend.isa.program import Link
from tests.lpu_backend.checker_programs import SMALL, Found, Instructions, Queues, at, east, find, program, region, west

INTERVAL, LEAST, LARGEST = SMALL.c2c_vector_interval_cycles, SMALL.c2c_min_latency_cycles, SMALL.c2c_max_latency_cycles
DATA: Queues = {"MEM_W3": [Read(0, west(0)), Repeat(9000, 1)]}
"""A vector on W0 at SXM_W, where C2C0 is, from cycle 6 on."""
LINKS = [Link(0, 0, 1, 8)]


def check(sender: Instructions, receiver: Instructions, links: Sequence[Link] = LINKS, chip: ChipSpec = SMALL) -> Found:
    checked = program({"C2C0": sender, **DATA}, {"C2C8": receiver}, regions=[region("MEM_W3")], links=links)
    return [hazard for hazard in find(checked, chip) if hazard[0] is HazardKind.LINK]


def test_a_receive_waits_for_the_largest_latency() -> None:
    send = at({9: Send(west(0))})
    assert check(send, at({10 + LARGEST: Receive(west(1))})) == []
    early = 9 + LARGEST
    assert check(send, at({early: Receive(west(1))})) == [(HazardKind.LINK, early, "C2C8")]


def test_a_link_works_both_ways() -> None:
    receiver = {"C2C0": at({10 + LARGEST: Receive(west(1))})}
    sender = {"C2C8": at({9: Send(east(0))}), "MEM_E3": [Read(0, east(0)), Repeat(20, 1)]}
    checked = program(receiver, sender, regions=[region("MEM_E3", chip=1)], links=LINKS)
    assert find(checked) == []


def test_vectors_are_received_in_the_order_in_which_they_are_sent() -> None:
    sends = at({9: [Send(west(0)), Repeat(1, 100)]})
    second = 110 + LARGEST
    assert check(sends, at({300: Receive(west(1)), second: Receive(west(1))})) == []
    assert check(sends, at({300: [Receive(west(1)), Receive(west(1))]})) == [(HazardKind.LINK, 301, "C2C8")]


def test_more_receives_than_sends_are_refused() -> None:
    found = check(at({9: Send(west(0))}), at({300: Receive(west(1)), 900: Receive(west(1))}))
    assert found == [(HazardKind.LINK, 900, "C2C8")]


def test_a_send_waits_for_the_links_interval() -> None:
    assert check(at({9: [Send(west(0)), Repeat(5, INTERVAL)]}), []) == []
    assert check(at({9: [Send(west(0)), Repeat(1, INTERVAL - 1)]}), []) == [(HazardKind.LINK, 9 + INTERVAL, "C2C0")]


def test_a_link_without_a_peer_takes_and_gives_nothing() -> None:
    found = check(at({9: Send(west(0))}), at({400: Receive(west(1))}), links=[Link(0, 1, 1, 9)])
    assert found == [(HazardKind.LINK, 10, "C2C0"), (HazardKind.LINK, 400, "C2C8")]


def test_what_waits_at_the_receiving_end_has_room_there() -> None:
    chip = replace(SMALL, c2c_receive_vectors=2)
    sends = at({9: [Send(west(0)), Repeat(2, INTERVAL)]})
    third = 10 + 2 * INTERVAL + LEAST
    first_receive = third - 1
    assert first_receive >= 10 + LARGEST
    assert check(sends, at({first_receive: Receive(west(1))}), chip=chip) == []
    assert check(sends, at({third: Receive(west(1))}), chip=chip) == [(HazardKind.LINK, third, "C2C0")]
    assert check(at({9: [Send(west(0)), Repeat(1, INTERVAL)]}), [], chip=chip) == []


def test_a_sent_vector_is_sampled_and_a_received_one_driven() -> None:
    receiver = {"C2C8": at({400: Receive(west(1))}), "MEM_E3": at({403: Write(9, west(1))})}
    checked = program({"C2C0": at({9: Send(west(0))}), **DATA}, receiver, regions=[region("MEM_W3")], links=LINKS)
    assert check_program(checked, SMALL).dispatched == 9001 + 3
    unsent = program({"C2C0": [Send(west(0))]}, links=LINKS)
    assert find(unsent) == [(HazardKind.OPERAND_MISSING, 1, "C2C0")]
