"""Streams: who drives a register, and what a sample gets."""

import re
from collections.abc import Iterator, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from lpu_backend.checker import check_program, list_hazards
from lpu_backend.chip import plan_floor
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import MemPair, Read, Repeat, Rotate, Select, Transpose, Unary, Write
from lpu_backend.isa.operands import DataType, Stream
from tests.lpu_backend.checker_programs import SMALL, Found, Queues, at, east, find, program, region, west

SLICES = ("MEM_W3", "MEM_W1", "MEM_W0", "MEM_E0", "MEM_E2")
INPUTS = [region(name, rows=32) for name in SLICES]
Accesses = Mapping[str, Mapping[int, Read | Write]]
MISSING, CONFLICT = HazardKind.OPERAND_MISSING, HazardKind.STREAM_CONFLICT


def check(queues: Queues) -> Found:
    return find(program(queues, regions=INPUTS))


def test_a_vector_flows_east_one_register_a_cycle() -> None:
    read = {"MEM_W0": [Read(0, east(0))]}
    assert check(read | {"MEM_E0": at({7: Write(0, east(0))})}) == []
    assert check(read | {"MEM_E0": at({6: Write(0, east(0))})}) == [(MISSING, 6, "MEM_E0")]
    assert check(read | {"MEM_E0": at({8: Write(0, east(0))})}) == [(MISSING, 8, "MEM_E0")]


def test_a_vector_flows_west_one_register_a_cycle() -> None:
    read = {"MEM_E0": [Read(0, west(0))]}
    assert check(read | {"MEM_W0": at({7: Write(0, west(0))})}) == []
    assert check(read | {"MEM_W0": at({6: Write(0, west(0))})}) == [(MISSING, 6, "MEM_W0")]


def test_a_vector_does_not_flow_against_its_stream() -> None:
    found = check({"MEM_E0": [Read(0, east(0))], "MEM_W0": at({7: Write(0, east(0))})})
    assert found == [(MISSING, 7, "MEM_W0")]


def test_streams_of_the_two_directions_are_apart() -> None:
    assert check({"MEM_W0": [Read(0, west(0))], "MEM_E0": at({7: Write(0, east(0))})}) == [(MISSING, 7, "MEM_E0")]


def test_a_slice_samples_what_it_drives_in_the_same_cycle() -> None:
    assert check({"MEM_W0": at({0: Read(0, east(0)), 5: Write(9, east(0))})}) == []


def test_a_drive_overwrites_what_passes_and_a_sample_gets_the_nearest() -> None:
    read = Read(0, east(0))
    queues = {"MEM_W1": [read], "MEM_W0": at({1: read}), "MEM_E2": [read], "MEM_E0": at({8: Write(0, east(0))})}
    schedule = check_program(program(queues, regions=INPUTS), SMALL)
    (feed,) = schedule.flow.feeds.tolist()
    assert schedule.table.issues[schedule.flow.drives.issue[feed]].queue.name == "MEM_W0"


def test_two_drives_of_one_register_in_one_cycle_conflict() -> None:
    unary = Unary("Copy", DataType.INT8, east(0), east(1))
    queues = {"MEM_W0": at({0: [Read(0, east(0)), Repeat(1, 12)]}), "VXM0": at({5: unary})}
    assert check(queues | {"VXM5": at({5: unary})}) == [(CONFLICT, 9, "VXM5")]
    assert check(queues | {"VXM5": at({17: unary})}) == []
    pair = MemPair(Read(0, east(0)), Read(8191, east(0)))
    assert check({"MEM_W0": [pair]}) == [(CONFLICT, 5, "MEM_W0"), (HazardKind.UNWRITTEN, 0, "MEM_W0")][::-1]


def test_a_wider_type_takes_its_whole_group() -> None:
    reads = {f"MEM_W{place}": at({3 - place: Read(0, east(3 - place))}) for place in (0, 1, 3)}
    copy = {"VXM0": at({8: Unary("Copy", DataType.INT32, east(0), east(4))})}
    assert check(reads | copy) == [(MISSING, 9, "VXM0")]


def test_an_operand_that_is_named_twice_is_missed_once() -> None:
    assert check({"SXM_E_SHIFT0": [Select(east(0), east(0), 8, east(1))]}) == [(MISSING, 1, "SXM_E_SHIFT0")]


def test_a_rotation_drives_a_stream_for_each_of_its_results() -> None:
    queues = {"MEM_E2": [Read(0, east(31))], "SXM_E_ROTATE": at({6: Rotate(3, east(31), east(0))})}
    drives = check_program(program(queues, regions=INPUTS), SMALL).flow.drives
    assert sorted(zip(drives.stream.tolist(), drives.cycle.tolist(), strict=True)) == [
        *((stream, 10) for stream in range(9)),
        (31, 5),
    ]


def test_a_transpose_samples_sixteen_streams() -> None:
    found = check({"SXM_E_TRANSPOSE": [Transpose(east(0), east(16))]})
    assert found == [(MISSING, 1, "SXM_E_TRANSPOSE")] * 16


def test_the_detail_says_by_how_much_the_nearest_vector_misses_and_whose_it_is() -> None:
    queues = {"MEM_W0": [Read(0, east(0)), Repeat(3, 10)], "MEM_E0": at({15: Write(0, east(0))})}
    (hazard,) = list_hazards(program(queues, regions=INPUTS), SMALL)
    assert hazard.detail == (
        "no vector on E0; the nearest passes this register 2 cycles too late, from MEM_W0 `Read 0x0, E0` of cycle 10"
    )
    queues["MEM_E0"] = at({8: Write(0, east(0))})
    (hazard,) = list_hazards(program(queues, regions=INPUTS), SMALL)
    assert "1 cycle too early, from MEM_W0 `Read 0x0, E0` of cycle 0" in hazard.detail


def test_the_nearest_vector_is_of_the_same_stream_and_from_upstream_or_the_slice_itself() -> None:
    queues: Queues = {
        "MEM_W1": at({1: [Read(0, east(1)), Read(0, east(0))]}),
        "MEM_W0": at({10: Read(0, east(0)), 20: Read(0, east(1))}),
        "MEM_E0": at({3: Read(1, east(0)), 12: Write(0, east(0))}),
        "MEM_E2": at({7: Read(0, east(0))}),
    }
    (hazard,) = list_hazards(program(queues, regions=INPUTS), SMALL)
    assert hazard.detail.endswith("2 cycles too early, from MEM_W1 `Read 0x0, E0` of cycle 2")
    queues |= {"MEM_E0": at({6: Read(1, east(0)), 12: Write(0, east(0))})}
    (hazard,) = list_hazards(program(queues, regions=INPUTS), SMALL)
    assert hazard.detail.endswith("1 cycle too early, from MEM_E0 `Read 0x1, E0` of cycle 6")


def test_the_detail_says_when_no_vector_comes_this_way() -> None:
    queues = {"MEM_E2": [Read(0, east(0))], "MEM_E0": at({8: Write(0, east(0))})}
    (hazard,) = list_hazards(program(queues, regions=INPUTS), SMALL)
    assert hazard.detail == "no vector on E0; none ever passes this register"


_STREAMS = st.sampled_from([east(0), west(0)])
_ACCESSES = st.builds(lambda kind, stream: kind(0, stream), st.sampled_from([Read, Write]), _STREAMS)
_QUEUES = st.dictionaries(
    st.sampled_from(SLICES), st.dictionaries(st.integers(0, 12), _ACCESSES, max_size=8), min_size=1, max_size=5
)


def list_missing(accesses: Accesses) -> Iterator[tuple[HazardKind, int, str]]:
    """The registers played cycle by cycle: each moves its vector on, Reads drive, then Writes sample."""
    floorplan = plan_floor(SMALL)
    order = sorted(accesses, key=lambda name: floorplan.queues[name].index)
    held: set[tuple[Stream, int]] = set()
    for cycle in range(20):
        held = {(stream, place + (1 if stream.direction == "E" else -1)) for stream, place in held}
        for name in order:
            if isinstance(access := accesses[name].get(cycle - 5), Read):
                held.add((access.stream, floorplan.positions[name]))
        for name in order:
            access = accesses[name].get(cycle)
            if isinstance(access, Write) and (access.stream, floorplan.positions[name]) not in held:
                yield MISSING, cycle, name


def least_miss_cycles(accesses: Accesses, cycle: int, name: str) -> int | None:
    """By how much the nearest vector misses a Write, taken from every Read of its stream upstream."""
    positions = plan_floor(SMALL).positions
    stream = accesses[name][cycle].stream
    sign = 1 if stream.direction == "E" else -1
    return min(
        (
            abs(read_cycle + 5 + sign * (positions[name] - positions[reader]) - cycle)
            for reader, of_queue in accesses.items()
            for read_cycle, access in of_queue.items()
            if isinstance(access, Read) and access.stream == stream
            if sign * (positions[name] - positions[reader]) >= 0
        ),
        default=None,
    )


@settings(max_examples=150, deadline=None)
@given(_QUEUES)
def test_random_accesses_agree_with_registers_played_cycle_by_cycle(accesses: Accesses) -> None:
    queues = {name: at(dict(sorted(of_queue.items()))) for name, of_queue in accesses.items()}
    assert check(queues) == list(list_missing(accesses))


@settings(max_examples=150, deadline=None)
@given(_QUEUES)
def test_random_misses_are_described_by_the_nearest_vector(accesses: Accesses) -> None:
    queues = {name: at(dict(sorted(of_queue.items()))) for name, of_queue in accesses.items()}
    for hazard in list_hazards(program(queues, regions=INPUTS), SMALL):
        miss = re.search(r"(\d+) cycles? too", hazard.detail)
        assert (int(miss[1]) if miss else None) == least_miss_cycles(accesses, hazard.cycle, hazard.queue)
