"""A model run by the meaning of its vector programs: no places, no cycles."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.attending import StepShape
from lpu_backend.compiler.interpreter import Interpreter
from lpu_backend.compiler.lowering import COSINES, HIDDEN, HIDDEN_SHARD, SINES, Lowered
from lpu_backend.compiler.model_lowering import LayerKind, ModelLowering
from lpu_backend.compiler.step_inputs import make_mask, place_hidden, place_rotations
from lpu_backend.graph.nodes import Attend, ModelGraph, Node
from lpu_backend.runtime.rope import RotationTable

Floats = NDArray[np.float32]


class InterpretedModel:
    """Runs tokens step by step; the cache lives here."""

    def __init__(
        self, graph: ModelGraph, tensors: dict[str, Floats], *, chips: int = 1, chip: ChipSpec = GROQCHIP1
    ) -> None:
        self.lowering = ModelLowering(graph, tensors, chips=chips, chip=chip)
        self._graph, self._tensors, self._chip = graph, tensors, chip
        self._rotations = RotationTable(graph.rope)
        self._cache: dict[tuple[int, str], NDArray[np.int8]] = {}
        self.position = 0

    def advance(self, ids: Sequence[int]) -> Floats:
        """Logits [tokens, vocabulary] of the tokens, which follow those before."""
        embed = self._graph.embed
        rows = self._tensors[embed.table][list(ids)]
        if embed.factor != 1.0:
            rows = rows * np.float32(embed.factor)
        shape = self.lowering.make_shape(self.position, len(ids))
        shard, whole = place_hidden(rows, self.lowering.hidden_layout)
        for kind, ordinal, index in self._list_layers():
            lowered = self.lowering.lower_layer(kind, shape)
            machine = self._prepare(lowered, ordinal, index, shard, whole)
            self._write_positions(machine, kind.nodes, shape)
            machine.run(lowered.program)
            for tiles in lowered.program.tiles:
                if tiles.kind == "state":
                    self._cache[index, tiles.name] = machine.tiles[tiles.name]
            shard = machine.values[HIDDEN_SHARD]
            whole = machine.values.get(HIDDEN, shard)
        head = self.lowering.lower_head(shape)
        machine = self._prepare(head, 0, -1, shard, whole)
        machine.run(head.program)
        self.position += len(ids)
        by_row = machine.values[head.result].reshape(
            machine.values[head.result].shape[0], -1, len(ids), self._chip.lanes
        )
        logits = np.zeros((len(ids), self._graph.vocabulary), np.float32)
        chip, row, lane = np.nonzero(head.layout.channels >= 0)
        logits[:, head.layout.channels[chip, row, lane]] = by_row[chip, row, :, lane].T
        return logits

    def _list_layers(self) -> Iterator[tuple[LayerKind, int, int]]:
        """(kind, place in the kind, layer), in the order of the layers."""
        places = {index: (kind, place) for kind in self.lowering.kinds for place, index in enumerate(kind.layers)}
        for index in sorted(places):
            yield *places[index], index

    def _prepare(self, lowered: Lowered, ordinal: int, index: int, shard: Floats, whole: Floats) -> Interpreter:
        machine = Interpreter(lowered.program, self._chip)
        for name, data in lowered.data.items():
            target = machine.values.get(name, machine.tiles.get(name))
            target[:] = data(ordinal)
        for tiles in lowered.program.tiles:
            if tiles.kind == "state" and (index, tiles.name) in self._cache:
                machine.tiles[tiles.name] = self._cache[index, tiles.name]
        machine.values[HIDDEN_SHARD][:] = shard
        if HIDDEN in machine.values:
            machine.values[HIDDEN][:] = whole
        return machine

    def _write_positions(self, machine: Interpreter, nodes: Sequence[Node], shape: StepShape) -> None:
        for node in nodes:
            if isinstance(node, Attend):
                layout = self.lowering.lay_out_heads(node)
                rotations = self._rotations.get(shape.position, shape.tokens)
                machine.values[COSINES][:], machine.values[SINES][:] = place_rotations(rotations, layout)
                name = "mask" if node.window is None else f"mask of {node.window}"
                machine.values[name][:] = make_mask(shape, layout.rows_per_kind, node.window, self._chip.lanes)
