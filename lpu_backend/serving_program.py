"""What the emulated chips run for a served model: its name, its chips, and the cycles of any request.

The cycles are those of compiled schedules (`compiler/request_times.py`). They are found beside the checkpoint, or in a
folder of programs that were compiled before; else they are compiled when they are first asked for.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock

from lpu_backend.chip import GROQCHIP1
from lpu_backend.compiler.partition import Partition
from lpu_backend.compiler.request_times import (
    RequestTimes,
    compile_request_times,
    divide_model,
    find_times,
    make_key,
    save_times,
)
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.types import EmulatedTime

MODE_SCHEDULE = "schedule"
TIMES_FILE = "request_times.json"
Report = Callable[[int, int], None]

# Of several that want the times of a model, one compiles them and the others wait.
_compiling = Lock()


@cache
def divide_served_model(graph: ModelGraph, chips: int | None) -> tuple[Partition, int]:
    """How a model with its whole context lies on its chips, and the fewest that hold it. CompileError."""
    return divide_model(graph, chips, graph.context_window)


class ServingProgram:
    """A model on `chips` chips. `folder` is the checkpoint's; compiled times are kept in `programs`, if given."""

    def __init__(self, program_hash: str, graph: ModelGraph, chips: int, folder: Path, programs: Path | None) -> None:
        self.program_hash, self.chips = program_hash, chips
        self._graph, self._folder, self._programs = graph, folder, programs
        self._times: RequestTimes | None = None

    def prepare(self, report: Report | None = None) -> RequestTimes:
        """Find the times, or compile them. CompileError; OSError if they cannot be kept."""
        if self._times is None:
            with _compiling:
                self._times = self._find() or self._compile(report)
        return self._times

    def emulate(self, *, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> EmulatedTime:
        """Time of one request; an answer of no tokens counts its prefill and no speed."""
        times, made_tokens = self.prepare(), max(completion_tokens, 1)
        cycles = times.count_cycles(prompt_tokens, made_tokens)
        seconds = cycles / GROQCHIP1.clock_hz
        return EmulatedTime(
            chips=self.chips,
            cycles=cycles,
            seconds=seconds,
            tokens_per_second=completion_tokens / seconds,
            program_hash=self.program_hash,
            mode=MODE_SCHEDULE,
            saved_cycles=max(0, cycles - times.count_cycles(prompt_tokens, made_tokens, cached_tokens)),
        )

    def _find(self) -> RequestTimes | None:
        paths = [self._folder / TIMES_FILE, *([] if self._programs is None else [self._kept])]
        return find_times(self._key, iter(paths))

    def _compile(self, report: Report | None) -> RequestTimes:
        times = compile_request_times(self._graph, self.chips, self._graph.context_window, report=report)
        if self._programs is not None:
            save_times(times, self._kept)
        return times

    @property
    def _key(self) -> str:
        return make_key(self._graph, self.chips, self._graph.context_window)

    @property
    def _kept(self) -> Path:
        assert self._programs is not None  # noqa: S101  asked for only then
        return self._programs / f"{self._key}.json"
