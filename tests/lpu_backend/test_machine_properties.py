"""The machine, the checker and the naive machine on random programs: one contract, three readings that must agree."""

from typing import NamedTuple

from hypothesis import given, settings

from lpu_backend.checker import check_program
from lpu_backend.hazards import HazardError, HazardKind
from lpu_backend.machine import Machine
from tests.lpu_backend.naive_chip import NaiveHazardError, run_naively
from tests.lpu_backend.random_chains import SMALL
from tests.lpu_backend.random_programs import RandomProgram, random_programs

DEPENDS_ON_DATA = {HazardKind.PERMUTATION}
"""Of programs without Gather and Scatter: what the checker cannot see."""
REFUSED_IN_ADVANCE = {HazardKind.STREAM_CONFLICT, HazardKind.ALU_RESULT}


class Outcome(NamedTuple):
    """What a program left in memory and how long it took; or its first hazard, `kinds` being all of that cycle."""

    cycles: int
    memory: dict[str, bytes]
    kinds: frozenset[HazardKind] = frozenset()


def run_machine(case: RandomProgram) -> Outcome:
    try:
        machine = Machine(case.program, SMALL)
        for name, rows in case.inputs.items():
            machine.write(name, rows)
        run = machine.run()
    except HazardError as error:
        return Outcome(error.hazard.cycle, {}, frozenset({error.hazard.kind}))
    return Outcome(run.cycles, {name: machine.read(name).tobytes() for name in case.inputs})


def run_naive(case: RandomProgram) -> Outcome:
    try:
        memory, cycles = run_naively(case.program, case.inputs, SMALL)
    except NaiveHazardError as error:
        return Outcome(error.cycle, {}, error.kinds)
    return Outcome(cycles, {name: rows.tobytes() for name, rows in memory.items()})


def check(case: RandomProgram) -> Outcome:
    try:
        return Outcome(check_program(case.program, SMALL).cycles, {})
    except HazardError as error:
        return Outcome(error.hazard.cycle, {}, frozenset({error.hazard.kind}))


def is_same_refusal(machine: Outcome, naive: Outcome) -> bool:
    """The machine refuses for one of the kinds of the first cycle with a hazard.

    A DEADLOCK has no cycle: it shows when all else is done. Two results for one register are refused as soon as the
    second is on its way, though they meet later than another hazard.
    """
    if machine.kinds & naive.kinds and (machine.cycles == naive.cycles or machine.kinds == {HazardKind.DEADLOCK}):
        return True
    return machine.kinds <= REFUSED_IN_ADVANCE and machine.cycles > naive.cycles


@given(random_programs())
@settings(max_examples=200, deadline=None)
def test_the_machine_does_what_the_naive_machine_does(case: RandomProgram) -> None:
    machine, naive = run_machine(case), run_naive(case)
    if naive.kinds:
        assert machine.kinds
        assert is_same_refusal(machine, naive)
    else:
        assert machine == naive


@given(random_programs())
@settings(max_examples=200, deadline=None)
def test_the_checker_accepts_what_the_machine_runs(case: RandomProgram) -> None:
    """And tells its cycles. Where addresses depend on data it may also refuse what would have gone well."""
    checked, machine = check(case), run_machine(case)
    if case.gathers:
        assert checked.kinds or not machine.kinds - {HazardKind.PERMUTATION, HazardKind.UNWRITTEN, HazardKind.ADDRESS}
    elif not checked.kinds:
        assert machine.kinds <= DEPENDS_ON_DATA
        assert machine.kinds or machine.cycles == checked.cycles
    else:
        assert machine.kinds


@given(random_programs())
@settings(max_examples=40, deadline=None)
def test_a_program_does_the_same_twice(case: RandomProgram) -> None:
    assert run_machine(case) == run_machine(case)
