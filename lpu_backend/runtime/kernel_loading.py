"""Getting the kernels: seconds from disk, up to a minute where they must be compiled, so in the background."""

import logging
import threading
from concurrent.futures import Future
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lpu_backend.runtime.kernels.interpreter import Run

logger = logging.getLogger(__name__)


@cache
def start_loading() -> "Future[Run]":
    """The function that runs a program of kernels, once it is there: one for the whole process.

    If it cannot be compiled, the result is the error, which is logged.
    """
    loaded: Future[Run] = Future()
    threading.Thread(target=_load, args=(loaded,), name="kernels", daemon=True).start()
    return loaded


def _load(loaded: "Future[Run]") -> None:
    try:
        from lpu_backend.runtime.kernels.interpreter import run
    except Exception as error:
        logger.exception("kernels cannot be compiled: models are served by numpy, slowly")
        loaded.set_exception(error)
    else:
        loaded.set_result(run)
