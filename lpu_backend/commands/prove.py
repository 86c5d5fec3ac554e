"""`prove CONFIG`: a small model compiled and run instruction by instruction, beside what is served."""

import argparse
import hashlib
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lpu_backend.chip import GROQCHIP1
from lpu_backend.commands.command import Command, UsageError, add_seed, write_line
from lpu_backend.compiler.emulated_model import EmulatedModel
from lpu_backend.config import read_graph
from lpu_backend.graph.configs import load_config
from lpu_backend.graph.families import make_graph
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.graph.tensors import list_expected_shapes, make_random_tensors
from lpu_backend.runtime.chip_numerics import ChipNumerics
from lpu_backend.runtime.graph_model import GraphModel
from lpu_backend.tensors import WEIGHTS_FILE, check_weight_files, list_weight_files, read_tensors

_MOST_WEIGHTS = 50_000_000
"""The emulator computes every instruction; what is larger takes minutes a token."""
_QUEUE_INSTRUCTIONS = 1 << 16
"""Fetching instructions is not scheduled, so a queue is given room for all of its own."""

Tensors = Mapping[str, NDArray[np.float32]]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="a checkpoint folder, or a config.json: then random weights")
    parser.add_argument("--chips", type=int, default=1, choices=range(1, 9), metavar="N", help="1 to 8; 1 if left out")
    parser.add_argument("--prefill", type=int, default=5, metavar="N", help="tokens of the first step (default 5)")
    parser.add_argument("--decode", type=int, default=3, metavar="N", help="steps of one token after it (default 3)")
    add_seed(parser)


def _run(options: argparse.Namespace) -> int:
    graph, tensors = _read(options.config, options.seed)
    steps = [options.prefill, *[1] * options.decode]
    if min(steps) < 1 or sum(steps) > graph.context_window:
        raise UsageError(f"steps of 1 to {graph.context_window} tokens in all, not {sum(steps)}")
    chip = replace(GROQCHIP1, queue_instructions=_QUEUE_INSTRUCTIONS)
    served = GraphModel(graph, dict(tensors), ChipNumerics(graph.context_window))
    emulated = EmulatedModel(graph, dict(tensors), chips=options.chips, chip=chip)
    cache, random = served.make_cache(), np.random.default_rng(options.seed)
    differ = 0
    for tokens in steps:
        ids = random.integers(0, graph.vocabulary, tokens).tolist()
        expected = served.compute_logits(served.extend(ids, cache))
        began = time.monotonic()
        step = emulated.advance(ids)
        took_s = time.monotonic() - began
        are_equal = np.array_equal(step.logits.view(np.uint32), expected.view(np.uint32))
        is_right = are_equal and step.cycles == step.scheduled_cycles
        differ += not is_right
        bits = "equal what is served, bit for bit" if are_equal else "DIFFER from what is served"
        write_line(
            f"{tokens} token(s): {step.cycles:,} cycles, scheduled {step.scheduled_cycles:,}; {expected.size:,} logits "
            f"{bits}; emulated in {took_s:.1f} s"
        )
    write_line(f"{len(steps) - differ} of {len(steps)} steps as compiled, on {options.chips} chip(s)")
    return int(differ > 0)


def _read(config: str, seed: int) -> tuple[ModelGraph, Tensors]:
    """A checkpoint's weights where there are some, else random ones of the shapes that its config asks for."""
    folder = Path(config)
    has_weights = (folder / WEIGHTS_FILE).is_file()
    graph = read_graph(folder) if has_weights else make_graph(load_config(config))
    weights = sum(int(np.prod(shape)) for shape in list_expected_shapes(graph).values())
    if weights > _MOST_WEIGHTS:
        raise UsageError(f"{weights:,} weights are more than are emulated here: {_MOST_WEIGHTS:,}")
    if not has_weights:
        return graph, make_random_tensors(graph, seed)
    files = list_weight_files(folder)
    check_weight_files(files, graph)
    return graph, read_tensors(files, hashlib.sha256())


COMMAND = Command("prove", "run a compiled model on the emulator, beside what is served", _add_arguments, _run)
