"""Which line of the timing table an instruction belongs to."""

from lpu_backend.isa.instructions import (
    TRANSCENDENTAL_OPS,
    ActivationBuffer,
    Binary,
    Convert,
    Instruction,
    MemPair,
    Unary,
)


def name_operation(instruction: Instruction) -> str:
    """The instruction's name in OPERATION_TIMINGS; of a pair, that of its first access."""
    match instruction:
        case Unary(op=op):
            return "Transcendental" if op in TRANSCENDENTAL_OPS else "Pointwise"
        case Binary():
            return "Pointwise"
        case Convert():
            return "Convert"
        case ActivationBuffer(dtype=dtype):
            return f"ABC.{dtype.value}"
        case MemPair(first=first):
            return first.mnemonic
        case _:
            return instruction.mnemonic
