"""A tiny checkpoint with random weights and a tokenizer trained on the spot: no torch, no files to keep."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from lpu_backend.graph.families import make_graph
from lpu_backend.graph.tensors import list_expected_shapes

VOCABULARY_TOKENS = 512
CONTEXT_WINDOW_TOKENS = 640
SPECIAL_TOKENS = ["<|begin|>", "<|end|>", "<|user|>", "<|assistant|>"]
END_ID = 1

CHAT_TEMPLATE = """{{ bos_token }}{% for message in messages %}
{% if message.role not in ('system', 'user', 'assistant') %}
{{ raise_exception('unknown role') }}
{% endif %}
<|{{ message.role }}|>{{ message.content }}{{ eos_token }}
{% endfor %}
{% if add_generation_prompt %}<|assistant|>{% endif %}"""

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCABULARY_TOKENS,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_WINDOW_TOKENS,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": END_ID,
}

CORPUS = [
    "The scheduler knows every cycle before the first token is made.",
    "Ein Chip ohne Zwischenspeicher: jedes Byte hat seinen Platz, überall.",
    "日本語の文字は三バイトです。Привет, мир! Emoji: 🙂🚀🙂",
] * 20

Tensors = dict[str, NDArray[np.float32]]
WriteCheckpoint = Callable[..., Path]


def train_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken("straße und weg", normalized=False)])
    return tokenizer


def make_tensors(config: dict[str, Any], seed: int = 1) -> Tensors:
    random = np.random.default_rng(seed)
    shapes = list_expected_shapes(make_graph(config))
    tensors = {name: random.normal(0, 0.15, shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: t + 1 if "norm" in name else t for name, t in tensors.items()}


def save_tensors(path: Path, tensors: Tensors, dtype: str) -> None:
    """Write the safetensors format by hand: numpy has no bfloat16 for the library's writer to take."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, tensor in tensors.items():
        data = _pack(tensor, dtype)
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + body)


def _pack(tensor: NDArray[np.float32], dtype: str) -> bytes:
    if dtype == "BF16":
        return (tensor.view(np.uint32) >> 16).astype("<u2").tobytes()
    return tensor.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype]).tobytes()
