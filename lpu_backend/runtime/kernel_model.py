"""The forward pass that serves: a graph's steps as one program of compiled kernels."""

import os
import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lpu_backend.graph.folding import Tensors
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.runtime.chip_softmax import choose_steps
from lpu_backend.runtime.code_linear import ServingNumerics
from lpu_backend.runtime.graph_model import GraphModel
from lpu_backend.runtime.kernel_layout import Room, Stock, Value
from lpu_backend.runtime.kernel_loading import start_loading
from lpu_backend.runtime.kernel_ops import IS_WIDE, Arena, Floats, Places, Program
from lpu_backend.runtime.kernel_planning import KernelPlan
from lpu_backend.runtime.page_pool import PagePool, TokenRun
from lpu_backend.runtime.workspace import Workspace

if TYPE_CHECKING:
    from lpu_backend.runtime.kernels.interpreter import Run


class _Pass(NamedTuple):
    """A program, the room that it needs, and where its result is."""

    program: Program
    room: Room
    result: Value


class KernelModel(GraphModel):
    """As a GraphModel in the chip's numerics, bit for bit."""

    def __init__(self, graph: ModelGraph, tensors: Tensors, threads: int = 1) -> None:
        super().__init__(graph, tensors, ServingNumerics(graph.context_window))
        self._threads = threads
        self._count_steps = np.float32(choose_steps(graph.context_window))
        stock = Stock()
        layers, head = self._plan_layers(stock), self._plan_head(stock)
        self._most_outputs = stock.most_outputs
        numbers = stock.join()
        self._layer_pass, self._head_pass = (
            _Pass(Program(plan.ops, *numbers), plan.room, plan.result) for plan in (layers, head)
        )
        self._local = threading.local()
        self._loading = start_loading()
        # A pass by numpy must not lose its steps to another thread that finds the kernels there.
        self._numpy_steps = threading.Lock()

    def wait_for_kernels(self) -> None:
        """Until passes are run by kernels: before, numpy computes the same bits. Raises what kept kernels away."""
        self._loading.result()

    @property
    def weight_bytes(self) -> int:
        """Of all matrices, which every pass reads but for experts that no token goes to."""
        return self._layer_pass.program.codes.nbytes

    @property
    def wide_matrices(self) -> int:
        """Those whose sums fp32 may not hold, so that they take twice the work."""
        return int(np.count_nonzero(self._layer_pass.program.matrices[:, IS_WIDE]))

    def compute_logits(self, hidden: Floats) -> Floats:
        while (run := self._get_kernels()) is None:
            with self._numpy_steps:
                if self._head:
                    return super().compute_logits(hidden)
        workspace = self._get_workspace()
        arena = workspace.fit(self._head_pass.room, len(hidden))
        arena.values[: hidden.size] = hidden.ravel()
        return self._run(run, self._head_pass, arena, _NO_PLACES, workspace)

    def _compute_layers(self, runs: Sequence[TokenRun], pool: PagePool) -> Floats:
        while (run := self._get_kernels()) is None:
            with self._numpy_steps:
                if self._layers:
                    return super()._compute_layers(runs, pool)
        workspace = self._get_workspace()
        rows = self._embed(runs)
        arena = workspace.fit(self._layer_pass.room, len(rows))
        arena.values[: rows.size] = rows.ravel()
        workspace.fit_context(max(run.end_position for run in runs))
        return self._run(run, self._layer_pass, arena, self._place(runs, pool), workspace)

    def _get_kernels(self) -> "Run | None":
        """None while they are not there. Once they are, the steps that numpy ran are let go."""
        if not self._loading.done() or self._loading.exception() is not None:
            return None
        if self._layers:
            with self._numpy_steps:
                self._layers, self._head = [], ()
        return self._loading.result().run

    def _run(self, run: "Run", computed: _Pass, arena: Arena, places: Places, workspace: Workspace) -> Floats:
        scratch = workspace.fit_context(0)
        workspace.crew.run(partial(run, computed.program, arena, places, scratch))
        base, stride, offset, width = computed.result
        result: Floats = arena.values[arena.rows * base :][: arena.rows * stride].reshape(arena.rows, stride)
        return result[:, offset : offset + width].copy()

    def _plan_layers(self, stock: Stock) -> KernelPlan:
        plan, source = KernelPlan(stock, self.graph.hidden), self.graph.embed.name
        for nodes, steps in zip(self.graph.layers, self._layers, strict=True):
            plan.add_steps(steps, source, nodes[-1].name, is_layer=True)
            source = nodes[-1].name
        return plan

    def _plan_head(self, stock: Stock) -> KernelPlan:
        plan, nodes = KernelPlan(stock, self.graph.hidden), self.graph.head
        plan.add_steps(self._head, nodes[0].inputs[0], nodes[-1].name, is_layer=False)
        return plan

    def _place(self, runs: Sequence[TokenRun], pool: PagePool) -> Places:
        counts = [len(run.token_ids) for run in runs]
        starts = np.cumsum([0, *(len(run.pages) for run in runs[:-1])])
        rotations = self._rotate(runs)
        return Places(
            np.concatenate([np.arange(run.first_position, run.end_position) for run in runs]),
            np.repeat(starts, counts),
            np.concatenate([run.pages for run in runs], dtype=np.int32),
            np.ascontiguousarray(rotations[0, :, 0, 0]),
            np.ascontiguousarray(rotations[1, :, 0, 1]),
            pool.pages,
            pool.codes.reshape(-1),
            pool.scales.reshape(-1),
            self._count_steps,
        )

    def _get_workspace(self) -> Workspace:
        """Of the calling thread, made anew in a process that was forked off: threads stay behind."""
        workspace: Workspace | None = getattr(self._local, "workspace", None)
        if workspace is None or workspace.crew.process_id != os.getpid():
            workspace = self._local.workspace = Workspace(self._threads, self._most_outputs)
        return workspace


def _make_no_places() -> Places:
    """The head looks at no other tokens."""
    whole, floats = np.empty(0, np.int64), np.empty(0, np.float32)
    tables = np.empty((0, 0), np.float32)
    return Places(whole, whole, np.empty(0, np.int32), tables, tables, 0, np.empty(0, np.int8), floats, np.float32(0.0))


_NO_PLACES = _make_no_places()
