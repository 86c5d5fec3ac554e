"""Llama checkpoints of random weights, in the shapes that runtimes are compared on."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from lpu_backend.config import read_graph
from lpu_backend.graph.tensors import list_expected_shapes

CONTEXT_TOKENS = 2_048

SHAPES: dict[str, dict[str, int]] = {
    "S": {
        "hidden_size": 256,
        "intermediate_size": 688,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 2_048,
    },
    "M": {
        "hidden_size": 768,
        "intermediate_size": 2_048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "vocab_size": 32_000,
    },
    "L": {
        "hidden_size": 2_048,
        "intermediate_size": 5_632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "vocab_size": 32_000,
    },
}
"""About 5, 125 and 1,100 million weights."""


def write_random_checkpoint(folder: Path, shape: dict[str, int]) -> None:
    """config.json and float32 weights of this shape, untied, from a fixed seed."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "max_position_embeddings": CONTEXT_TOKENS,
        **shape,
    }
    (folder / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    tensors = {
        name: random.standard_normal(sizes, dtype=np.float32) * np.float32(0.02)
        for name, sizes in list_expected_shapes(read_graph(folder)).items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
