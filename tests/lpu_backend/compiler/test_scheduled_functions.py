"""General programs, scheduled and run on the emulator: a small BERT, part by part, as its vector programs mean."""

import contextlib
from typing import Any

import numpy as np

from lpu_backend.compiler.function_lowering import FunctionLowering, LoweredPart
from lpu_backend.graph.bert import make_bert
from tests.lpu_backend.compiler.scheduled_run import SMALL, ScheduledRun

BERT: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 16,
}


def run_part(part: LoweredPart) -> ScheduledRun:
    """With the constants that do not depend on weights, and random rows and tiles for all others."""

    class Run(ScheduledRun):
        def _fill(self, random: np.random.Generator) -> None:
            super()._fill(random)
            for name, data in part.data.items():
                held = self.meaning.values.get(name, self.meaning.tiles.get(name))
                assert held is not None
                with contextlib.suppress(KeyError):  # a tensor that is not there
                    held[:] = data(0)

    return Run(part.program)


def test_every_part_of_a_bert_runs_as_it_means_in_the_scheduled_cycles() -> None:
    lowering = FunctionLowering(make_bert(BERT, 8), chip=SMALL)
    for kind in lowering.kinds:
        run_part(lowering.lower_part(kind)).assert_alike()
