"""Threads that meet after every operation."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lpu_backend.runtime.kernel_ops import ARRIVED, TURNS, Whole
from lpu_backend.runtime.kernels.jit import compiled

_SPINS = 1_000
"""Looks before a thread offers its core to others: some microseconds."""
_yield_core: Any = types.ExternalFunction("sched_yield", types.int32())


def _add(typing_context: Any, numbers: Any, index: Any, number: Any) -> Any:
    """Add to an element, and return what it was: all threads see the additions, and all before, in one order."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", builder.gep(data, [args[1]]), args[2], "seq_cst")

    return types.int64(numbers, types.intp, types.int64), generate


def _read(typing_context: Any, numbers: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load_atomic(builder.gep(data, [args[1]]), "seq_cst", align=ir.IntType(64).width // 8)

    return types.int64(numbers, types.intp), generate


_add_atomically: Any = intrinsic(_add)
_read_atomically: Any = intrinsic(_read)


@compiled
def wait_for_all(arrivals: Whole, threads: int) -> None:
    """Until all have come here. The last one opens the next turn."""
    if threads == 1:
        return
    turn = _read_atomically(arrivals, TURNS)
    if _add_atomically(arrivals, ARRIVED, 1) == threads - 1:
        _add_atomically(arrivals, ARRIVED, -threads)
        _add_atomically(arrivals, TURNS, 1)
        return
    looks = 0
    while _read_atomically(arrivals, TURNS) == turn:
        looks += 1
        if looks > _SPINS:
            _yield_core()
