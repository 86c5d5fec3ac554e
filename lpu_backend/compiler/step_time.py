"""How long a step of a compiled program takes, what each unit does in it, and what users and chips get of it."""

from typing import Literal, NamedTuple

from lpu_backend.compiler.compiled_program import CompiledProgram, CompiledStage, UnitCycles

StepKind = Literal["decode", "prefill"]


def count_step_cycles(program: CompiledProgram, kind: StepKind = "decode") -> int:
    """From the hidden rows of a step's tokens to the last one's logits: every layer, every hand-over, the head."""
    return sum_units(program, kind).total + _overhead_cycles(program)


def sum_units(program: CompiledProgram, kind: StepKind = "decode") -> UnitCycles:
    """The schedule's cycles by unit; handing rows from stage to stage is network. No calibration is in it."""
    hand_over = program.hand_over_cycles if kind == "decode" else program.prefill_hand_over_cycles
    total = UnitCycles(0, 0, sum(hand_over), 0)
    for part in program.parts:
        step = part.decode if kind == "decode" else part.prefill
        total = total.plus(step.units.times(max(1, len(part.layers))))
    return total


def _overhead_cycles(program: CompiledProgram) -> int:
    return program.layer_overhead_cycles * program.model.layers


def count_slowest_stage_cycles(program: CompiledProgram) -> int:
    """Cycles between two tokens that leave a full pipeline."""
    return max(_count_stage_cycles(program, place, stage) for place, stage in enumerate(program.stages))


def _count_stage_cycles(program: CompiledProgram, place: int, stage: CompiledStage) -> int:
    layers = range(stage.first_layer, stage.first_layer + stage.layers)
    cycles = sum(program.part_of(layer).decode.cycles + program.layer_overhead_cycles for layer in layers)
    cycles += program.head.decode.cycles if stage.has_head else 0
    return cycles + (program.hand_over_cycles[place] if place < len(program.hand_over_cycles) else 0)


class Rates(NamedTuple):
    """Tokens a second: of one user, whoever else there is, and of all `users` that fit at once."""

    tokens_per_second_per_user: float
    tokens_per_second: float
    users: int


def find_rates(program: CompiledProgram, clock_hz: int) -> Rates:
    """Decode at the position that the program was scheduled for."""
    alone = clock_hz / count_step_cycles(program)
    all_users = min(program.users * alone, clock_hz / count_slowest_stage_cycles(program))
    return Rates(alone, all_users, program.users)
