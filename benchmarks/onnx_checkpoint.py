"""A Llama checkpoint as an ONNX graph with a KV cache, in the fused operations that onnxruntime has for decoders."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from lpu_backend.config import read_graph

_CONTRIBUTED = "com.microsoft"


class _Builder:
    """Nodes and weights, in order."""

    def __init__(self, folder: Path) -> None:
        import onnx

        self.onnx: Any = onnx
        self.config = json.loads((folder / "config.json").read_text())
        self.tensors = load_file(folder / "model.safetensors")
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def keep(self, name: str, values: NDArray[Any]) -> str:
        self.weights.append(self.onnx.numpy_helper.from_array(values.copy(order="C"), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def multiply(self, source: str, name: str) -> str:
        weight = self.keep(name, self.tensors[name].T)
        return self.add("MatMul", [source, weight], [f"{name} out"])

    def norm(self, source: str, name: str) -> str:
        weight = self.keep(name, self.tensors[name])
        epsilon = self.config.get("rms_norm_eps", 1e-6)
        return self.add("SimplifiedLayerNormalization", [source, weight], [f"{name} out"], axis=-1, epsilon=epsilon)

    def add_layer(self, index: int, source: str) -> str:
        prefix = f"model.layers.{index}"
        normed = self.norm(source, f"{prefix}.input_layernorm.weight")
        heads = [self.multiply(normed, f"{prefix}.self_attn.{part}_proj.weight") for part in "qkv"]
        attended = self.add(
            "GroupQueryAttention",
            [*heads, f"past_key_{index}", f"past_value_{index}", "last_positions", "tokens", "cosines", "sines"],
            [f"{prefix} attended", f"key_{index}", f"value_{index}"],
            _CONTRIBUTED,
            num_heads=self.config["num_attention_heads"],
            kv_num_heads=self.config["num_key_value_heads"],
            do_rotary=1,
        )
        projected = self.multiply(attended, f"{prefix}.self_attn.o_proj.weight")
        middle = self.add("Add", [source, projected], [f"{prefix} middle"])
        normed = self.norm(middle, f"{prefix}.post_attention_layernorm.weight")
        gate, up = (self.multiply(normed, f"{prefix}.mlp.{part}_proj.weight") for part in ("gate", "up"))
        sigmoid = self.add("Sigmoid", [gate], [f"{prefix} sigmoid"])
        silu = self.add("Mul", [gate, sigmoid], [f"{prefix} silu"])
        gated = self.add("Mul", [silu, up], [f"{prefix} gated"])
        down = self.multiply(gated, f"{prefix}.mlp.down_proj.weight")
        return self.add("Add", [middle, down], [f"{prefix} out"])


def write_onnx(folder: Path, file: Path) -> None:
    """Ids [batch, tokens] and the layers' past keys and values to logits of the last token and the present ones."""
    builder = _Builder(folder)
    onnx, config = builder.onnx, builder.config
    frequencies = np.array(read_graph(folder).rope.frequencies, np.float64)
    angles = np.arange(config["max_position_embeddings"])[:, None] * frequencies
    builder.keep("cosines", np.cos(angles).astype(np.float32))
    builder.keep("sines", np.sin(angles).astype(np.float32))
    table = builder.keep("embedding", builder.tensors["model.embed_tokens.weight"])
    source = builder.add("Gather", [table, "ids"], ["embedded"])
    for index in range(config["num_hidden_layers"]):
        source = builder.add_layer(index, source)
    last = builder.add("Gather", [source, builder.keep("last", np.array(-1))], ["last row"], axis=1)
    builder.multiply(builder.norm(last, "model.norm.weight"), "lm_head.weight")

    kinds, helper = onnx.TensorProto, onnx.helper
    head_dim, kv_heads = config["hidden_size"] // config["num_attention_heads"], config["num_key_value_heads"]
    caches = [f"{part}_{index}" for index in range(config["num_hidden_layers"]) for part in ("key", "value")]
    inputs = [
        helper.make_tensor_value_info("ids", kinds.INT64, ["batch", "tokens"]),
        helper.make_tensor_value_info("last_positions", kinds.INT32, ["batch"]),
        helper.make_tensor_value_info("tokens", kinds.INT32, []),
        *(_describe_cache(onnx, f"past_{name}", "past", kv_heads, head_dim) for name in caches),
    ]
    outputs = [
        helper.make_tensor_value_info("lm_head.weight out", kinds.FLOAT, ["batch", config["vocab_size"]]),
        *(_describe_cache(onnx, name, "present", kv_heads, head_dim) for name in caches),
    ]
    graph = helper.make_graph(builder.nodes, "llama", inputs, outputs, builder.weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_CONTRIBUTED, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save_model(model, file, save_as_external_data=True, location=f"{file.name}.data")


def _describe_cache(onnx: Any, name: str, length: str, kv_heads: int, head_dim: int) -> Any:
    return onnx.helper.make_tensor_value_info(
        name, onnx.TensorProto.FLOAT, ["batch", kv_heads, f"{length} tokens", head_dim]
    )
