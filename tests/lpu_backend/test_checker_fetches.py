"""Instructions that a queue fetches from SRAM."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from lpu_backend.checker import check_program, list_hazards
from lpu_backend.chip import ChipSpec
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.encoding import encode
from lpu_backend.isa.instructions import (
    Config,
    Ifetch,
    Instruction,
    MemPair,
    Nop,
    Notify,
    Read,
    Repeat,
    Scatter,
    Shift,
    Sync,
    Unary,
    Write,
)
from lpu_backend.isa.operands import DataType, Immediate
from lpu_backend.isa.program import Region, Text
from tests.lpu_backend.checker_programs import SMALL, Found, Instructions, Queues, at, east, find, program, region

FETCHED = (Read(0, east(9)), Read(1, east(9)), Read(2, east(9)))
TEXT = Text("text", "MEM_W0", 32, FETCHED)
INPUTS = [region("MEM_E0", rows=8), region("MEM_W1", rows=99)]
READS: Instructions = [Read(32, east(0), step=1), Repeat(1, 1)]
"""MEM_W0's reads of two vectors, at MEM_E0 two cycles after they are driven."""
FETCH = at({6: Ifetch(east(0)), 7: Nop(3)})
"""MEM_E0's fetch, which samples in cycles 7 and 8; its text joins in cycle 10."""
QUEUES: Queues = {"MEM_W0": READS, "MEM_E0": FETCH}


def check(
    queues: Queues, texts: Sequence[Text] = (TEXT,), regions: Sequence[Region] = INPUTS, chip: ChipSpec = SMALL
) -> Found:
    return find(program(queues, regions=regions, texts=texts), chip)


def dispatched(
    queues: Queues, texts: Sequence[Text] = (TEXT,), regions: Sequence[Region] = INPUTS
) -> list[tuple[int, Instruction]]:
    """What MEM_E0 dispatches after its first instruction, and when."""
    schedule = check_program(program(queues, regions=regions, texts=texts), SMALL)
    return [(d.cycle, d.instruction) for d in schedule.dispatches() if d.queue.name == "MEM_E0"][1:]


def test_fetched_text_joins_after_the_functional_delay() -> None:
    assert dispatched(QUEUES) == list(zip((10, 11, 12), FETCHED, strict=True))


def test_the_last_vector_that_a_fetch_takes_counts_for_the_time() -> None:
    chip = replace(SMALL, ifetch_vectors=3)
    queues: Queues = {"MEM_W0": [Read(32, east(0)), Repeat(2, 1)], "MEM_E0": FETCH}
    zeros = Region("zeros", "constant", DataType.UINT8, 1, SMALL.lanes, ("MEM_W0",), 32, data=bytes(SMALL.lanes))
    assert check_program(program(queues, regions=[zeros]), chip).cycles == 9 + SMALL.tiles


def test_a_queue_that_runs_dry_before_its_text_joins_underflows() -> None:
    dry = {"MEM_W0": READS, "MEM_E0": at({6: Ifetch(east(0)), 7: Nop(2)})}
    assert check(dry) == [(HazardKind.QUEUE_UNDERFLOW, 9, "MEM_E0")]
    longer = {"MEM_W0": READS, "MEM_E0": at({6: Ifetch(east(0)), 7: Nop(5)})}
    assert [cycle for cycle, _ in dispatched(longer)] == [12, 13, 14]


def test_fetched_text_needs_room_in_the_queue() -> None:
    chip = replace(SMALL, queue_instructions=4)
    text = Text("text", "MEM_W0", 32, FETCHED + FETCHED[:1])
    assert check(QUEUES, [text], chip=chip) == []
    waiting: Queues = {"MEM_W0": READS, "MEM_E0": [*FETCH, Config(1)]}
    assert check(waiting, [text], chip=chip) == [(HazardKind.QUEUE_OVERFLOW, 10, "MEM_E0")]


def test_words_of_zero_are_skipped() -> None:
    padded = np.zeros((2, SMALL.lanes), dtype=np.uint8)
    padded[0, 16:] = np.frombuffer(encode(FETCHED[0]), dtype=np.uint8)
    padded[1, :16] = np.frombuffer(encode(FETCHED[1]), dtype=np.uint8)
    constant = Region("c", "constant", DataType.UINT8, 2, SMALL.lanes, ("MEM_W0",), 32, data=padded.tobytes())
    assert dispatched(QUEUES, [], [*INPUTS, constant]) == [(10, FETCHED[0]), (11, FETCHED[1])]


def test_text_in_a_wide_constant_is_found_in_its_byte_plane() -> None:
    words = np.frombuffer(b"".join(encode(instruction) for instruction in FETCHED[:2]), dtype=np.uint8)
    wide = np.zeros((4, SMALL.lanes, 2), dtype=np.uint8)
    wide[1, :, 1] = words
    wide[3, :, 1] = words[::-1].reshape(2, 16)[:, ::-1].ravel()
    slices = ("MEM_E1", "MEM_E2", "MEM_E3", "MEM_W0")
    constant = Region("c", "constant", DataType.UINT16, 4, SMALL.lanes, slices, 32, data=wide.tobytes())
    joined = [FETCHED[0], FETCHED[1], FETCHED[1], FETCHED[0]]
    assert dispatched(QUEUES, [], [*INPUTS, constant]) == list(zip((10, 11, 12, 13), joined, strict=True))


def test_vectors_past_the_end_of_a_text_or_constant_hold_no_text() -> None:
    refused = (HazardKind.BAD_INSTRUCTION, 10, "MEM_E0")
    assert refused in check(QUEUES, [Text("text", "MEM_W0", 32, FETCHED[:2])])
    words = b"".join(encode(instruction) for instruction in FETCHED[:2])
    constant = Region("c", "constant", DataType.UINT8, 1, SMALL.lanes, ("MEM_W0",), 32, data=words)
    assert refused in check(QUEUES, [], [*INPUTS, constant])


def test_a_word_that_is_no_instruction_is_refused_when_it_joins() -> None:
    constant = Region("c", "constant", DataType.UINT8, 2, SMALL.lanes, ("MEM_W0",), 32, data=b"\xff" * 64)
    assert check(QUEUES, [], [*INPUTS, constant]) == [(HazardKind.BAD_INSTRUCTION, 10, "MEM_E0")]


def test_a_fetched_instruction_of_another_unit_is_refused_in_its_cycle() -> None:
    text = Text("text", "MEM_W0", 32, (FETCHED[0], Shift(east(0), 1, east(1))))
    assert check({**QUEUES, "MEM_W0": [READS[0]] * 2}, [text]) == [
        (HazardKind.BAD_INSTRUCTION, 11, "MEM_E0"),
        (HazardKind.BAD_INSTRUCTION, 13, "MEM_E0"),
    ]


def test_a_fetched_repeat_repeats_the_instruction_before_it() -> None:
    text = Text("text", "MEM_W0", 32, (Read(0, east(9), step=3), Repeat(2, 2)) * 2)
    assert [cycle for cycle, _ in dispatched(QUEUES, [text])] == [10, 12, 14, 15, 17, 19]


def test_the_text_of_a_repeat_may_join_right_after_its_instruction() -> None:
    text = Text("text", "MEM_W0", 32, (Repeat(2, 4), FETCHED[2], FETCHED[2]))
    queues = {"MEM_W0": READS, "MEM_E0": at({6: Ifetch(east(0)), 7: Nop(2), 9: FETCHED[0]})}
    assert [cycle for cycle, _ in dispatched(queues, [text])] == [9, 13, 17, 18, 19]


def test_a_fetch_that_finds_no_vector_lacks_its_operand() -> None:
    late = {"MEM_W0": READS, "MEM_E0": at({7: Ifetch(east(0)), 8: Nop(3)})}
    assert check(late) == [(HazardKind.OPERAND_MISSING, 9, "MEM_E0")]


def test_a_fetch_gets_the_nearest_drive() -> None:
    other = Text("other", "MEM_W1", 100, (FETCHED[2],))
    queues: Queues = {**QUEUES, "MEM_W1": [Read(100, east(0)), Read(0, east(0))]}
    assert dispatched({**queues, "MEM_E0": at({6: Ifetch(east(0)), 7: Nop(3)})}, [TEXT, other])[0] == (10, FETCHED[0])
    other_stream: Queues = {
        "MEM_W0": [Read(32, east(1), step=1), Repeat(1, 1)],
        "VXM0": at({2: [Unary("Copy", DataType.INT8, Immediate(0), east(0)), Repeat(1, 1)]}),
        "MEM_E0": at({6: [Ifetch(east(1)), Nop(3)]}),
    }
    assert dispatched(other_stream)[0] == (10, FETCHED[0])
    overtaken: Queues = {
        "MEM_W1": [Read(100, east(0)), Repeat(1, 1)],
        "MEM_W0": at({1: READS}),
        "MEM_E0": at({7: Ifetch(east(0)), 8: Nop(3)}),
    }
    assert dispatched(overtaken, [TEXT, other])[0] == (11, FETCHED[0])


def test_text_that_the_program_may_have_written_is_refused() -> None:
    data: Queues = {"MEM_W1": [Read(0, east(1)), Repeat(30, 1)]}
    fetch = at({26: Ifetch(east(0)), 27: Nop(3)})
    refused = [(HazardKind.BAD_INSTRUCTION, 30, "MEM_E0")]
    write = Write(33, east(1))
    assert check({"MEM_W0": at({10: write, 20: READS}), "MEM_E0": fetch, **data}) == refused
    assert check({"MEM_W0": at({20: READS, 22: write}), "MEM_E0": fetch, **data}) == []
    assert check({"MEM_W0": at({10: replace(write, address=34), 20: READS}), "MEM_E0": fetch, **data}) == []
    short: Instructions = [replace(write, address=29, step=2), Repeat(1, 1)]
    assert check({"MEM_W0": at({10: short, 20: READS}), "MEM_E0": fetch, **data}) == []
    stepping: Instructions = [replace(write, address=29, step=2), Repeat(2, 1)]
    assert check({"MEM_W0": at({10: stepping, 20: READS}), "MEM_E0": fetch, **data}) == refused
    pair = MemPair(write, Read(4096, east(2)))
    assert refused[0] in check({"MEM_W0": at({10: pair, 20: READS}), "MEM_E0": fetch, **data})
    scatter = {"MEM_W0": at({10: Scatter(east(1), east(2)), 20: READS}), "MEM_E0": fetch}
    assert refused[0] in check(scatter | data)


@pytest.mark.parametrize(
    ("written", "fetch_cycle", "is_refused"),
    [(42, 16, False), (42, 26, False), (42, 36, True), (52, 26, False), (52, 36, False)],
)
def test_a_read_is_of_text_until_a_write_of_an_earlier_cycle(written: int, fetch_cycle: int, is_refused: bool) -> None:
    pair = MemPair(Read(32, east(0)), Write(written, east(1), step=-10))
    queues: Queues = {
        "MEM_W1": [Read(0, east(1)), Repeat(60, 1)],
        "MEM_W0": at({10: [pair, Repeat(2, 10)]}),
        "MEM_E0": at({fetch_cycle: [Ifetch(east(0)), Nop(3)]}),
    }
    found = check(queues, chip=replace(SMALL, ifetch_vectors=1))
    assert ((HazardKind.BAD_INSTRUCTION, fetch_cycle + 4, "MEM_E0") in found) == is_refused


@pytest.mark.parametrize("kind", ["input", "output"])
def test_text_that_is_the_programs_data_is_refused(kind: str) -> None:
    found = check(QUEUES, [], [*INPUTS, region("MEM_W0", 32, rows=2, kind=kind)])
    assert (HazardKind.BAD_INSTRUCTION, 10, "MEM_E0") in found


def test_text_that_no_read_drives_is_refused_with_its_producer() -> None:
    shifts: Instructions = [Shift(east(0), 1, east(1)), Repeat(1, 1)]
    queues = {"SXM_W_SHIFT0": shifts, "MEM_E0": at({28: [Ifetch(east(1)), Nop(3)]})}
    refusals = [h for h in list_hazards(program(queues), SMALL) if h.kind is HazardKind.BAD_INSTRUCTION]
    assert [hazard.detail for hazard in refusals] == [
        "SXM_W_SHIFT0 `Shift E0, 1 -> E1` of cycle 0 drives it: only text that is read can be checked"
    ]


def test_unpowered_tiles_give_no_instructions() -> None:
    reader = {"MEM_W0": [Config(1), *READS], "MEM_E0": at({7: [Ifetch(east(0)), Nop(3)]})}
    assert dispatched(reader) == [(11, FETCHED[0]), (12, FETCHED[2])]
    fetcher = {"MEM_W0": READS, "MEM_E0": [Config(1), *at({5: [Ifetch(east(0)), Nop(3)]})]}
    assert dispatched(fetcher)[1:] == [(10, FETCHED[0]), (11, FETCHED[2])]


def test_fetched_barriers_release_queues_that_wait() -> None:
    text = Text("text", "MEM_W0", 32, (Notify(), Sync(), FETCHED[0]))
    queues: Queues = {**QUEUES, "MEM_W2": [Sync(), Config(1)]}
    schedule = check_program(program(queues, regions=INPUTS, texts=[text]), SMALL)
    ends = {d.queue.name: d.cycle for d in schedule.dispatches()}
    assert ends["MEM_W2"] == ends["MEM_E0"] == 10 + SMALL.barrier_cycles


def test_fetched_text_fetches_more_text() -> None:
    second = Text("second", "MEM_W0", 40, (FETCHED[2],))
    first = Text("text", "MEM_W0", 32, (Ifetch(east(0)), Nop(3)))
    reads: Instructions = [Read(32, east(0)), Read(40, east(0)), Nop(2), Read(40, east(0)), Repeat(1, 1)]
    found = dispatched({"MEM_W0": reads, "MEM_E0": FETCH}, [first, second])
    assert [instruction for _, instruction in found] == [Ifetch(east(0)), FETCHED[2], FETCHED[2], FETCHED[2]]


def test_a_program_that_fetches_itself_for_ever_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpu_backend.checker.fetches.MAX_FETCHES", 50)
    chip = replace(SMALL, ifetch_vectors=3)
    loop: Instructions = (Read(32, east(0), step=1), Repeat(2, 1), Nop(1), Ifetch(east(0)), Nop(3))
    found = check({"MEM_W0": loop}, [Text("text", "MEM_W0", 32, loop)], chip=chip)
    assert found == [(HazardKind.BAD_INSTRUCTION, 8 * 51, "MEM_W0")]
