"""The threads that run a pass together."""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

import numpy as np

from lpu_backend.runtime.kernel_ops import ARRIVALS, Whole

Part = Callable[[int, int, Whole], None]
"""Of a thread's number, how many they are, and the array in which they count."""


class Crew:
    """The calling thread and `threads` - 1 others, which wait for work until this object goes."""

    def __init__(self, threads: int) -> None:
        self.process_id = os.getpid()
        self._threads = threads
        self._arrivals = np.zeros(ARRIVALS, np.int64)
        self._queues: list[SimpleQueue[Part | None]] = [SimpleQueue() for _ in range(threads - 1)]
        for number, queue in enumerate(self._queues, start=1):
            args = (queue, number, threads, self._arrivals)
            threading.Thread(target=_help, args=args, name=f"kernels {number}", daemon=True).start()

    def run(self, part: Part) -> None:
        """All threads' parts. They must meet at the end."""
        for queue in self._queues:
            queue.put(part)
        part(0, self._threads, self._arrivals)

    def __del__(self) -> None:
        for queue in self._queues:
            queue.put(None)


def _help(queue: "SimpleQueue[Part | None]", number: int, threads: int, arrivals: Whole) -> None:
    while (part := queue.get()) is not None:
        part(number, threads, arrivals)
