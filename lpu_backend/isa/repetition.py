"""What a Repeat dispatches: the same instruction, its stepped field further on."""

from lpu_backend.isa.instructions import Accumulate, Instruction, LoadWeights, MemPair, Read, Write


def iterate(instruction: Instruction, iteration: int) -> Instruction:
    """The instruction as iteration `iteration` of a Repeat dispatches it; 0 is the instruction itself."""
    match instruction:
        case Read(address, stream, step) if step:
            return Read(address + iteration * step, stream, step)
        case Write(address, stream, step) if step:
            return Write(address + iteration * step, stream, step)
        case MemPair(first, second):
            return MemPair(_iterate_access(first, iteration), _iterate_access(second, iteration))
        case LoadWeights(stream, row, step) if step:
            return LoadWeights(stream, row + iteration * step, step)
        case Accumulate(mode, slot, destination, step) if step:
            return Accumulate(mode, slot + iteration * step, destination, step)
    return instruction


def _iterate_access(access: Read | Write, iteration: int) -> Read | Write:
    moved = access.address + iteration * access.step
    return (
        Read(moved, access.stream, access.step)
        if isinstance(access, Read)
        else Write(moved, access.stream, access.step)
    )
