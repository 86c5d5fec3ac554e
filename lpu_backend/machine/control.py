"""One chip's instruction control: dispatch, barriers, fetching, and the counters that keep chips together."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from lpu_backend.hazards import HazardError, HazardKind
from lpu_backend.isa import instructions as isa
from lpu_backend.isa.encoding import WORD_BYTES, EncodingError, decode
from lpu_backend.isa.instructions import Instruction
from lpu_backend.isa.operations import name_operation
from lpu_backend.machine import mem_unit, mxm_unit, sxm_unit, vxm_unit
from lpu_backend.machine.c2c_unit import receive, send
from lpu_backend.machine.chip import ChipState
from lpu_backend.machine.issue import Dispatch, Issue, Observer
from lpu_backend.machine.link import Clock
from lpu_backend.machine.scheduler import Phase, Scheduler
from lpu_backend.machine.sequencer import Sequencer

Executor = Callable[[ChipState, Issue, Any, int], None]

EXECUTORS: dict[type[Instruction], Executor] = {
    isa.Read: mem_unit.read,
    isa.Write: mem_unit.write,
    isa.Gather: mem_unit.gather,
    isa.Scatter: mem_unit.scatter,
    isa.MemPair: mem_unit.access_pair,
    isa.Unary: vxm_unit.compute_unary,
    isa.Binary: vxm_unit.compute_binary,
    isa.Convert: vxm_unit.convert,
    isa.LoadWeights: mxm_unit.load_weights,
    isa.InstallWeights: mxm_unit.install_weights,
    isa.ActivationBuffer: mxm_unit.multiply,
    isa.Accumulate: mxm_unit.accumulate,
    isa.Shift: sxm_unit.shift,
    isa.Select: sxm_unit.select,
    isa.Permute: sxm_unit.permute,
    isa.Distribute: sxm_unit.distribute,
    isa.Rotate: sxm_unit.rotate,
    isa.Transpose: sxm_unit.transpose,
}


class ChipControl:
    """Drives one chip through the shared scheduler. `dispatched` counts instructions other than NOPs."""

    def __init__(self, state: ChipState, clock: Clock, scheduler: Scheduler, observer: Observer | None) -> None:
        self._state = state
        self._clock = clock
        self._scheduler = scheduler
        self._observer = observer
        self._parked: dict[str, tuple[Sequencer, Issue]] = {}
        self._executors: Mapping[type[Instruction], Executor] = {
            **EXECUTORS,
            isa.Send: partial(send, clock),
            isa.Receive: partial(receive, clock),
        }
        self._controls: Mapping[type[Instruction], Callable[[Sequencer, Issue], int | None]] = {
            isa.Sync: self._sync,
            isa.Notify: self._notify,
            isa.Ifetch: self._ifetch,
            isa.Deskew: self._deskew,
            isa.RuntimeDeskew: self._runtime_deskew,
        }
        self.dispatched = 0

    def load(self, queues: Mapping[str, tuple[Instruction, ...]]) -> None:
        """Fill the queues. QUEUE_OVERFLOW, BAD_INSTRUCTION."""
        for name, instructions in queues.items():
            queue = self._state.plan.queues[name]
            sequencer = Sequencer(self._state.spec, self._state.index, queue, instructions)
            self._plan_step(sequencer, 0)

    def refuse_parked(self) -> None:
        """At the end of the program. DEADLOCK."""
        for _, issue in self._parked.values():
            raise self._state.refuse(HazardKind.DEADLOCK, issue, issue.cycle, "no Notify ever releases this Sync")

    def _plan_step(self, sequencer: Sequencer, cycle: int) -> None:
        self._scheduler.at(cycle, Phase.DISPATCH, partial(self._step, sequencer))

    def _step(self, sequencer: Sequencer, cycle: int) -> None:
        issue, next_cycle = sequencer.step(cycle)
        if issue is not None:
            self.dispatched += 1
            self._state.note_cycle(cycle)
            if self._observer is not None:
                self._observer(Dispatch(self._state.index, cycle, issue.queue, issue.instruction))
            kind = type(issue.instruction)
            if kind in self._executors:
                self._start(self._executors[kind], issue)
            elif kind in self._controls:
                next_cycle = self._controls[kind](sequencer, issue)
        if next_cycle is not None:
            self._plan_step(sequencer, next_cycle)

    def _start(self, executor: Executor, issue: Issue) -> None:
        skew_cycles = self._state.spec.timing(name_operation(issue.instruction)).skew
        if skew_cycles:
            self._scheduler.at(issue.cycle + skew_cycles, Phase.OPERANDS, partial(self._take_operands, executor, issue))
        else:
            executor(self._state, issue, issue.instruction, issue.cycle)

    def _take_operands(self, executor: Executor, issue: Issue, cycle: int) -> None:
        self._state.note_cycle(cycle)
        executor(self._state, issue, issue.instruction, cycle)

    def _sync(self, sequencer: Sequencer, issue: Issue) -> None:
        self._parked[issue.queue.name] = (sequencer, issue)

    def _notify(self, _sequencer: Sequencer, issue: Issue) -> int:
        self._scheduler.at(issue.cycle + self._state.spec.barrier_cycles, Phase.RELEASE, self._release)
        return issue.cycle + 1

    def _release(self, cycle: int) -> None:
        # Releases come before the dispatches of their cycle, so a Sync of this very cycle waits for the next one.
        parked, self._parked = self._parked, {}
        for sequencer, _ in parked.values():
            self._plan_step(sequencer, cycle)

    def _deskew(self, _sequencer: Sequencer, issue: Issue) -> int:
        period = self._state.spec.hac_period_cycles
        epoch_cycle = (issue.cycle // period + 1) * period
        hac = self._clock.hac(issue.cycle)
        if hac >= epoch_cycle:
            raise self._late(issue, f"the aligned counter is at {hac} already, past the epoch {epoch_cycle}")
        self._clock.align(epoch_cycle)
        return epoch_cycle

    def _runtime_deskew(self, _sequencer: Sequencer, issue: Issue) -> int:
        instruction = issue.instruction
        assert isinstance(instruction, isa.RuntimeDeskew)  # noqa: S101  by the table of controls
        end_cycle = issue.cycle + instruction.cycles
        if self._clock.hac(issue.cycle) > end_cycle:
            raise self._late(issue, "the clock has drifted further than it waits")
        self._clock.align(end_cycle)
        return end_cycle

    def _late(self, issue: Issue, detail: str) -> HazardError:
        return self._state.refuse(HazardKind.LINK, issue, issue.cycle, detail)

    def _ifetch(self, sequencer: Sequencer, issue: Issue) -> int:
        timing = self._state.spec.timing("Ifetch")
        words: list[bytes] = []
        sequencer.fetching += 1
        for vector in range(self._state.spec.ifetch_vectors):
            take = partial(self._take_text, issue, words)
            self._scheduler.at(issue.cycle + timing.skew + vector, Phase.OPERANDS, take)
        join = partial(self._join_text, sequencer, issue, words)
        self._scheduler.at(issue.cycle + timing.func, Phase.RELEASE, join)
        return issue.cycle + 1

    def _take_text(self, issue: Issue, words: list[bytes], cycle: int) -> None:
        self._state.note_cycle(cycle)
        assert isinstance(issue.instruction, isa.Ifetch)  # noqa: S101  by the table of controls
        data = np.ascontiguousarray(self._state.sample(issue, issue.instruction.stream, cycle).data).tobytes()
        words.extend(data[start : start + WORD_BYTES] for start in range(0, len(data), WORD_BYTES))

    def _join_text(self, sequencer: Sequencer, issue: Issue, words: list[bytes], cycle: int) -> None:
        try:
            fetched = [instruction for instruction in map(decode, words) if instruction is not None]
        except EncodingError as error:
            raise self._state.refuse(HazardKind.BAD_INSTRUCTION, issue, cycle, f"fetched text: {error}") from error
        sequencer.fetching -= 1
        sequencer.extend(fetched, cycle)
