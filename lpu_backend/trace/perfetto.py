"""A run as a JSON trace for Perfetto (ui.perfetto.dev) and chrome://tracing.

One process a chip, one thread an instruction queue that dispatched something, west to east. **One cycle is shown as one
nanosecond**: the format counts microseconds, so a cycle is 0.001. At the GroqChip's 900 MHz a cycle really takes
1.11 ns; whole nanoseconds keep the cycle readable, and each event has it among its arguments as well.
"""

import json
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

from lpu_backend.assembly import format_instruction
from lpu_backend.chip import GROQCHIP1, ChipSpec, Queue
from lpu_backend.isa.instructions import Deskew, Instruction, MemPair, Notify, RuntimeDeskew, Sync
from lpu_backend.isa.operations import name_operation
from lpu_backend.machine import Dispatch

_THREADS_PER_CHIP = 1_000  # Perfetto takes thread ids for unique over all processes, and a thread whose id is its
# process's for the main one. Ids in floorplan order also sort a viewer that leaves thread_sort_index aside.


class PerfettoTrace:
    """Observer that writes each dispatch to `path` as it comes. A context manager: leaving it completes the file.

    An event lasts as long as its unit is busy with the instruction: 1 cycle, or 2 for ABC.fp16. A Sync lasts until the
    barrier that releases it, a Deskew or RuntimeDeskew until its counter is there.
    """

    def __init__(self, path: Path, program_name: str, chip: ChipSpec = GROQCHIP1) -> None:
        self._chip = chip
        self._threads: set[tuple[int, int]] = set()
        self._syncs: list[Dispatch] = []
        self._releases: dict[int, list[int]] = {}
        self._file = path.open("w", encoding="utf-8")
        about = json.dumps({"program": program_name, "chip": chip.name, "time": "1 ns is 1 cycle"})
        self._file.write(f'{{"displayTimeUnit":"ns","otherData":{about},"traceEvents":[\n')
        self._separator = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sync in self._syncs:
            self._write_event(sync, self._count_parked_cycles(sync))
        self._file.write("\n]}\n")
        self._file.close()

    def __call__(self, dispatch: Dispatch) -> None:
        """Take one dispatch (an `Observer` of the machine)."""
        if (dispatch.chip, dispatch.queue.index) not in self._threads:
            self._introduce(dispatch.chip, dispatch.queue)
        if isinstance(dispatch.instruction, Sync):
            self._syncs.append(dispatch)  # how long it parks its queue shows only with a later Notify
            return
        if isinstance(dispatch.instruction, Notify):
            released_cycle = dispatch.cycle + self._chip.barrier_cycles
            self._releases.setdefault(dispatch.chip, []).append(released_cycle)
        self._write_event(dispatch, self._count_busy_cycles(dispatch))

    def _count_busy_cycles(self, dispatch: Dispatch) -> int:
        match dispatch.instruction:
            case RuntimeDeskew(cycles=cycles):
                return cycles
            case Deskew():
                period_cycles = self._chip.hac_period_cycles
                return period_cycles - dispatch.cycle % period_cycles
        return self._chip.timing(name_operation(dispatch.instruction)).interval

    def _count_parked_cycles(self, sync: Dispatch) -> int:
        releases = [cycle for cycle in self._releases.get(sync.chip, ()) if cycle > sync.cycle]
        return min(releases) - sync.cycle if releases else 1

    def _introduce(self, chip: int, queue: Queue) -> None:
        """Name the thread of a queue, and the process of its chip, the first time that they appear."""
        process, thread = _place(chip, queue)
        if not any(seen == chip for seen, _ in self._threads):
            self._write_metadata(process, thread, "process_name", {"name": f"chip {chip}"})
            self._write_metadata(process, thread, "process_sort_index", {"sort_index": chip})
        self._threads.add((chip, queue.index))
        self._write_metadata(process, thread, "thread_name", {"name": queue.name})
        self._write_metadata(process, thread, "thread_sort_index", {"sort_index": queue.index})

    def _write_metadata(self, process: int, thread: int, name: str, arguments: dict[str, str | int]) -> None:
        event = {"ph": "M", "pid": process, "tid": thread, "name": name, "args": arguments}
        self._write(json.dumps(event, separators=(",", ":")))

    def _write_event(self, dispatch: Dispatch, busy_cycles: int) -> None:
        process, thread = _place(dispatch.chip, dispatch.queue)
        name, text = _quote(dispatch.instruction)
        self._write(
            f'{{"ph":"X","pid":{process},"tid":{thread},"ts":{_format_ns(dispatch.cycle)},'
            f'"dur":{_format_ns(busy_cycles)},"name":{name},"args":{{"instruction":{text},"cycle":{dispatch.cycle}}}}}'
        )

    def _write(self, event: str) -> None:
        self._file.write(self._separator + event)
        self._separator = ",\n"


def _place(chip: int, queue: Queue) -> tuple[int, int]:
    """Process and thread id of a queue."""
    return chip + 1, (chip + 1) * _THREADS_PER_CHIP + queue.index


def _format_ns(cycles: int) -> str:
    """Microseconds of the trace, exact in decimals: no rounding of a division shows."""
    return f"{cycles // 1_000}.{cycles % 1_000:03}"


@lru_cache(maxsize=65_536)
def _quote(instruction: Instruction) -> tuple[str, str]:
    """Mnemonic and full text as JSON strings."""
    text = format_instruction(instruction)
    if isinstance(instruction, MemPair):
        return json.dumps(f"{instruction.first.mnemonic} | {instruction.second.mnemonic}"), json.dumps(text)
    return json.dumps(text.split(maxsplit=1)[0]), json.dumps(text)
