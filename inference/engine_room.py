"""What a worker process computes: an engine per loaded model, one thread that publishes, one that settles; and which
jobs it holds, from their claim until they have left."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from threading import Condition, Thread

from inference.dispatch import renew_leases
from inference.engine_loop import EngineLoop
from inference.models import Deployment
from inference.publishing import Publisher
from inference.runs import Run
from inference.settling import Settler
from inference.types import Held
from lpu_backend import ChatModel

ENGINE_BATCH = 64  # answers that one engine computes at once on this host, where the deployment does not say fewer


class EngineRoom:
    """Without threads, `drive` does their work: one step after the other, on the caller's."""

    def __init__(self, *, has_threads: bool = True) -> None:
        self._has_threads = has_threads
        self._changed = Condition()
        self._held: dict[str, tuple[Held, str]] = {}
        self._runs: dict[str, Run] = {}
        self._attended: Counter[str] = Counter()
        self._loops: dict[int, EngineLoop] = {}
        self.is_open = True
        self.settler = Settler(self._forget)
        self.publisher = Publisher(self.settler, self._withdraw)
        if has_threads:
            _start("publisher", self.publisher.run)
            _start("settler", self.settler.run)

    def hold(self, model_id: str, held: Iterable[Held]) -> None:
        """Renews their leases from now on."""
        with self._changed:
            self._held |= {each.request_id: (each, model_id) for each in held}

    def release(self, held: Sequence[Held]) -> None:
        self._forget(held)

    def begin(self, run: Run) -> None:
        """Computes a job that is held."""
        with self._changed:
            self._runs[run.job.pk] = run
            loop = self._loop_of(run)
        if run.is_complete:
            self.publisher.leave(run, partial(self.settler.complete, run))
        else:
            loop.join(run)

    def count(self, model_id: str) -> int:
        """The jobs of a model that are held."""
        with self._changed:
            return sum(model == model_id for _, model in self._held.values())

    def list_models(self) -> set[str]:
        """Whose jobs are held."""
        with self._changed:
            return {model for _, model in self._held.values()}

    @contextmanager
    def attending(self, model_id: str, most: int) -> Iterator[bool]:
        """Yields whether the block is to look after the model's queue: one does at a time, and for so many models."""
        with self._changed:
            is_first = self._attended[model_id] == 0 and len(+self._attended) < most
            self._attended[model_id] += is_first
        try:
            yield is_first
        finally:
            with self._changed:
                self._attended[model_id] -= is_first

    def wait(self, is_over: Callable[[], bool], timeout_s: float) -> bool:
        """Until it is over, looking whenever a job has left."""
        with self._changed:
            return self._changed.wait_for(is_over, timeout_s)

    def renew(self) -> None:
        """Renews every lease; called once a second, whatever the jobs are busy with. A job that another worker took
        after a pause is left to it."""
        with self._changed:
            # Under the lock, so that no lease is renewed after it was given back.
            lost = renew_leases(held for held, _ in self._held.values())
            runs = [self._runs[request_id] for request_id in lost if request_id in self._runs]
        for run in runs:
            self.publisher.leave(run, partial(self.settler.lose, run.job))

    def put_back_all(self, model_id: str) -> None:
        """Every job of the model goes on elsewhere."""
        with self._changed:
            runs = [run for run in self._runs.values() if run.job.model_id == model_id]
        for run in runs:
            self.publisher.leave(run, partial(self.settler.put_back, run.job))

    def close(self) -> None:
        """Nothing more is claimed; what is held goes on."""
        with self._changed:
            self.is_open = False
            self._changed.notify_all()

    def keep_engines(self, is_wanted: Callable[[ChatModel], bool]) -> None:
        """Lets go of idle engines whose models were unloaded."""
        with self._changed:
            busy = {id(run.model) for run in self._runs.values()}
            for key, loop in list(self._loops.items()):
                if key not in busy and not is_wanted(loop.model):
                    self._loops.pop(key).stop()

    def drive(self) -> None:
        """For a room without threads: until nothing is left to compute, publish and settle."""
        is_busy = True
        while is_busy:
            ticked = [loop.tick() for loop in self._loops.values()]
            published = self.publisher.publish(is_forced=True)
            is_busy = any((*ticked, published, self.settler.settle()))

    def stop(self) -> None:
        """Ends the threads."""
        self.close()
        for loop in self._loops.values():
            loop.stop()
        self.publisher.stop()
        self.settler.stop()

    def _loop_of(self, run: Run) -> EngineLoop:
        """By the model itself: two deployments of one folder are two."""
        loop = self._loops.get(id(run.model))
        if loop is None:
            loop = EngineLoop(
                run.model, engine_batch(run.job.deployment), on_made=self.publisher.hand_over, on_fault=self._fail
            )
            self._loops[id(run.model)] = loop
            if self._has_threads:
                _start(f"engine-{run.job.model_id}", loop.run)
        return loop

    def _fail(self, run: Run, error: Exception) -> None:
        self.publisher.leave(run, partial(self.settler.fail, run.job, because=error))

    def _withdraw(self, run: Run) -> None:
        with self._changed:
            loop = self._loops.get(id(run.model))
        if loop is not None:
            loop.leave(run)

    def _forget(self, held: Sequence[Held]) -> None:
        with self._changed:
            for each in held:
                self._held.pop(each.request_id, None)
                self._runs.pop(each.request_id, None)
            self._changed.notify_all()


def engine_batch(deployment: Deployment | None) -> int:
    bound = deployment.max_batch if deployment else 0
    return min(bound, ENGINE_BATCH) if bound else ENGINE_BATCH


@cache
def get_room() -> EngineRoom:
    """This process' own."""
    return EngineRoom()


def _start(name: str, work: Callable[[], None]) -> None:
    Thread(target=work, name=name, daemon=True).start()
