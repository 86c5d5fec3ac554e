"""BERT-base on one chip: its parts for 128 tokens, scheduled as those of other programs are."""

from typing import Any

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.function_lowering import FunctionLowering
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.placing import Part, place_parts
from lpu_backend.compiler.scheduling import schedule_program
from lpu_backend.graph.bert import make_bert

_TOKENS = 128
_BERT_BASE: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 30_522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3_072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
"""Fields of config.json as published with google-bert/bert-base-uncased."""


def measure_bert_us(chip: ChipSpec) -> float:
    """Microseconds from the embeddings' rows to the last layer's, weights in SRAM. CompileError."""
    lowering = FunctionLowering(make_bert(_BERT_BASE, _TOKENS), chip=chip)
    cycles = 0
    for kind in lowering.kinds:
        program = lowering.lower_part(kind).program
        (placement,) = place_parts([Part(program, program.name)], chip)
        cycles += len(kind.layers) * schedule_program(program, placement, GroupShape(1), chip).cycles
    return cycles * 1e6 / chip.clock_hz
