"""How functions of this package are compiled."""

import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import types

from lpu_backend.runtime import kernel_ops

logger = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compiled with whoever calls it. Lets go of the interpreter's lock."""
    compile_later: Any = numba.njit  # its stub does not know of wrappers, which take long to compile
    without_wrappers = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(Function, compile_later(nogil=True, error_model="numpy", **without_wrappers)(function))


def compiled_and_kept(signature: Any) -> Callable[[Function], Function]:
    """Compiled at once for these types alone, or taken from disk, where it is kept for this kind of CPU.

    What is kept is found by the function's own file and the values that it closes over. It holds all that the function
    calls too: so it must close over `digest_sources()`.
    """

    def keep(function: Function) -> Function:
        try:
            return cast(Function, numba.njit(signature, nogil=True, error_model="numpy", cache=True)(function))
        except RuntimeError as error:  # no folder to keep it in can be written
            logger.warning("compiled kernels are not kept: %s", error)
            return cast(Function, numba.njit(signature, nogil=True, error_model="numpy")(function))

    return keep


def digest_sources() -> int:
    """Of all files whose text decides what is compiled here."""
    runtime = Path(__file__).parents[1]
    files = [*runtime.glob("kernels/*.py"), runtime / "kernel_ops.py", runtime / "page_pool.py"]
    arithmetic = runtime.parent / "arithmetic"
    files += [arithmetic / name for name in ("functions.py", "gelu.py", "grids.py")]
    hasher = sha256()
    for file in sorted(files):
        hasher.update(file.read_bytes())
    return int.from_bytes(hasher.digest()[:7], "little")


def _array(number: Any, dimensions: int = 1) -> Any:
    return types.Array(number, dimensions, "C")


def _named(kind: Any, *fields: Any) -> Any:
    return types.NamedTuple(fields, kind)  # type: ignore[no-untyped-call]


WHOLE, NUMBERS, CODES, FLOATS = (_array(number) for number in (types.int64, types.int16, types.int8, types.float32))
TABLE, FLOAT_TABLE = _array(types.int64, 2), _array(types.float32, 2)
PROGRAM = _named(kernel_ops.Program, TABLE, TABLE, CODES, FLOATS)
ARENA = _named(kernel_ops.Arena, types.int64, FLOATS, NUMBERS, FLOATS)
PLACES = _named(
    kernel_ops.Places,
    *(WHOLE, WHOLE, _array(types.int32), FLOAT_TABLE, FLOAT_TABLE, types.int64, CODES, FLOATS, types.float32),
)
SCRATCH = _named(
    kernel_ops.Scratch, FLOAT_TABLE, _array(types.int16, 2), _array(types.int32, 2), _array(types.float64, 2), TABLE
)
RUN = types.void(PROGRAM, ARENA, PLACES, SCRATCH, types.int64, types.int64, WHOLE)
