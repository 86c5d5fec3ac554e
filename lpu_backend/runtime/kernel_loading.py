"""Getting the kernels: seconds from disk, up to a minute where they must be compiled, so in the background."""

import logging
import threading
from concurrent.futures import Future
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lpu_backend.runtime.kernels.interpreter import Run


class Kernels(NamedTuple):
    """What is compiled: the function that runs a program of kernels, and those of `kernels/drawing.py`."""

    run: "Run"
    weigh: Any
    pick: Any


logger = logging.getLogger(__name__)


@cache
def start_loading() -> Future[Kernels]:
    """The kernels, once they are there: one set for the whole process.

    If it cannot be compiled, the result is the error, which is logged.
    """
    loaded: Future[Kernels] = Future()
    threading.Thread(target=_load, args=(loaded,), name="kernels", daemon=True).start()
    return loaded


def get_kernels() -> Kernels | None:
    """None while they are not there, or if they cannot be had; asking does not start loading them."""
    if not start_loading.cache_info().currsize:
        return None
    loading = start_loading()
    return loading.result() if loading.done() and loading.exception() is None else None


def _load(loaded: Future[Kernels]) -> None:
    try:
        from lpu_backend.runtime.kernels.drawing import pick, weigh
        from lpu_backend.runtime.kernels.interpreter import run
    except Exception as error:
        logger.exception("kernels cannot be compiled: models are served by numpy, slowly")
        loaded.set_exception(error)
    else:
        loaded.set_result(Kernels(run, weigh, pick))
