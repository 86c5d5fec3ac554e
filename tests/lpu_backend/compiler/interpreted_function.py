"""The graph of a function run by the meaning of its vector programs: no places, no cycles."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.function_lowering import FunctionLowering, LoweredPart
from lpu_backend.compiler.interpreter import Interpreter
from lpu_backend.compiler.layouts import Layout, lay_out_dense
from lpu_backend.compiler.lowering import HIDDEN, HIDDEN_SHARD
from lpu_backend.compiler.step_inputs import place_hidden
from lpu_backend.graph.folding import Tensors
from lpu_backend.graph.function_graph import FunctionGraph
from lpu_backend.graph.nodes import Embed

Floats = NDArray[np.float32]


def run_interpreted(
    graph: FunctionGraph,
    tensors: Tensors,
    inputs: Mapping[str, NDArray[np.float32] | NDArray[np.int64]],
    *,
    chips: int = 1,
    chip: ChipSpec = GROQCHIP1,
) -> dict[str, Floats]:
    """Outputs by name, [tokens, channels]."""
    lowering = FunctionLowering(graph, tensors, chips=chips, chip=chip)
    places = {part: (kind, place) for kind in lowering.kinds for place, part in enumerate(kind.layers)}
    hidden: dict[str, Floats] = {}
    for part in sorted(places):
        kind, place = places[part]
        lowered = lowering.lower_part(kind)
        machine = Interpreter(lowered.program, chip)
        for name, data in lowered.data.items():
            machine.values.get(name, machine.tiles.get(name))[:] = data(place)
        for name, rows in hidden.items():
            if name in machine.values:
                machine.values[name][:] = rows
        if part == 0:
            _place_inputs(machine, graph, tensors, inputs, chips)
        machine.run(lowered.program)
        hidden = {name: machine.values[name] for name in (HIDDEN, HIDDEN_SHARD) if name in machine.values}
    return {name: _collect(machine, lowered, name, graph.tokens_of[name]) for name in graph.outputs}


def _place_inputs(
    machine: Interpreter,
    graph: FunctionGraph,
    tensors: Tensors,
    inputs: Mapping[str, NDArray[np.float32] | NDArray[np.int64]],
    chips: int,
) -> None:
    rows = {each.name: inputs[each.name] for each in graph.inputs if each.channels is not None}
    for node in graph.parts[0]:
        if isinstance(node, Embed):
            rows[node.name] = tensors[node.table][inputs[node.inputs[0]]]
    for name, given in rows.items():
        lanes = machine.values[name].shape[2]
        machine.values[name][:] = place_hidden(given, lay_out_dense(given.shape[1], chips, lanes))[0]


def _collect(machine: Interpreter, lowered: LoweredPart, name: str, tokens: int) -> Floats:
    held = lowered.held[name]
    return gather_rows(machine.values[held.shard], held.layout, tokens)


def gather_rows(shards: Floats, layout: Layout, tokens: int) -> Floats:
    """Each chip's rows [chips, rows x tokens, lanes] as [tokens, channels]."""
    by_row = shards.reshape(shards.shape[0], -1, tokens, shards.shape[2])
    chip, row, lane = np.nonzero(layout.channels >= 0)
    channels = layout.channels[chip, row, lane]
    rows = np.zeros((tokens, int(channels.max()) + 1), np.float32)
    rows[:, channels] = by_row[chip, row, :, lane].T
    return rows
