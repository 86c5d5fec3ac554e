"""One engine and the thread that alone calls it: jobs join and leave between the steps of its batch."""

import logging
from collections.abc import Callable, Sequence
from threading import Condition

from inference.publishing import Made
from inference.runs import Run
from inference.sampling_params import params_of
from lpu_backend import ChatModel, Engine, Generation, Produced

logger = logging.getLogger(__name__)


class EngineLoop:
    """Takes jobs from any thread; `tick` computes one step of all that have come together."""

    def __init__(
        self,
        model: ChatModel,
        max_batch: int,
        *,
        on_made: Callable[[Sequence[Made]], None],
        on_fault: Callable[[Run, Exception], None],
    ) -> None:
        self.model = model
        self._max_batch, self._on_made, self._on_fault = max_batch, on_made, on_fault
        self._engine: Engine = model.make_engine(max_batch)
        self._changed = Condition()
        self._joining: list[Run] = []
        self._leaving: list[Run] = []
        self._is_stopping = False
        # By the generation's identity: (what keeps it alive, whose it is, which choice of it).
        self._generations: dict[int, tuple[Generation, Run, int]] = {}

    def join(self, run: Run) -> None:
        with self._changed:
            self._joining.append(run)
            self._changed.notify()

    def leave(self, run: Run) -> None:
        """It is forgotten before the next step; nothing happens where it is not computed any more."""
        with self._changed:
            self._leaving.append(run)
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._is_stopping = True
            self._changed.notify()

    def run(self) -> None:
        """The thread's life."""
        while self._await_work():
            try:
                self.tick()
            except Exception as error:
                self._start_anew(error)

    def tick(self) -> bool:
        """Whether anything was computed."""
        self._change_batch()
        if not self._generations:
            return False
        try:
            produced = self._engine.tick()
        except Exception as error:
            self._start_anew(error)
            return True
        made = [each for one in produced if (each := self._take(one)) is not None]
        self._on_made(made)
        return True

    def _take(self, produced: Produced) -> Made | None:
        generation, steps, fault = produced
        if id(generation) not in self._generations:
            return None
        _, run, choice = self._generations[id(generation)]
        if fault is not None:
            self._forget(run)
            self._on_fault(run, fault)
            return None
        if choice == 0:
            run.cached_tokens = min(generation.cached_tokens, run.job.prompt_tokens)
        if steps and steps[-1].finish_reason is not None:
            del self._generations[id(generation)]
        return Made(run, choice, steps)

    def _await_work(self) -> bool:
        with self._changed:
            while not (self._joining or self._leaving or self._generations or self._is_stopping):
                self._changed.wait()
            return not self._is_stopping

    def _change_batch(self) -> None:
        with self._changed:
            joining, self._joining = self._joining, []
            leaving, self._leaving = self._leaving, []
        for run in joining:
            try:
                self._submit(run)
            except Exception as error:
                self._forget(run)
                self._on_fault(run, error)
        for run in leaving:
            self._forget(run)

    def _submit(self, run: Run) -> None:
        """Every choice that has not ended, each from its next token on."""
        for index, choice in enumerate(run.choices):
            if choice.finish_reason:
                continue
            params = params_of(run.job, run.prompt, index)
            choice.generation = self._engine.submit(
                run.prompt.prompt_ids,
                params,
                made_ids=choice.made_ids,
                wants_digest=run.wants_digest and not choice.made,  # of logits that were computed elsewhere it has none
            )
            self._generations[id(choice.generation)] = (choice.generation, run, index)

    def _forget(self, run: Run) -> None:
        for generation in [each for each, owner, _ in self._generations.values() if owner is run]:
            del self._generations[id(generation)]
            self._engine.cancel(generation)

    def _start_anew(self, error: Exception) -> None:
        """An engine that failed as a whole is not to be trusted: all that it computed fails with it."""
        runs = {run for _, run, _ in self._generations.values()}
        self._generations.clear()
        self._engine = self.model.make_engine(self._max_batch)
        for run in runs:
            self._on_fault(run, error)
