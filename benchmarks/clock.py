"""The clock that rates are measured by."""

import time


class Clock:
    """Wall time; or, for one thread on a machine that others use too, the time that this process had a core."""

    uses_processor_time = False

    def read_s(self) -> float:
        return time.process_time() if self.uses_processor_time else time.perf_counter()


CLOCK = Clock()
