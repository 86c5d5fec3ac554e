"""The result register of one VXM ALU."""

from lpu_backend.isa.operands import DataType
from lpu_backend.machine.vectors import Elements

KEPT_RESULTS = 40


class AluRegister:
    """Holds the latest result that is ready, and those under way: latencies differ by operation."""

    def __init__(self) -> None:
        self._results: dict[int, tuple[DataType, Elements]] = {}

    def put(self, ready_cycle: int, dtype: DataType, elements: Elements) -> bool:
        """A result that enters the register at `ready_cycle`. False if another one enters in that cycle."""
        if ready_cycle in self._results:
            return False
        if len(self._results) >= KEPT_RESULTS:
            # Half of these is more than can be under way, so the newest that is ready stays.
            for cycle in sorted(self._results)[: KEPT_RESULTS // 2]:
                del self._results[cycle]
        self._results[ready_cycle] = (dtype, elements)
        return True

    def get(self, cycle: int) -> tuple[DataType, Elements] | None:
        """What the register holds in a cycle. Cycles must not decrease from call to call."""
        ready = [entered for entered in self._results if entered <= cycle]
        if not ready:
            return None
        newest = max(ready)
        for entered in ready:
            if entered != newest:
                del self._results[entered]
        return self._results[newest]
