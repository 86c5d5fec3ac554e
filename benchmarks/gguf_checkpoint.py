"""A Llama checkpoint as a GGUF file, which llama.cpp reads, without a tokenizer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_OUTER_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_BLOCK = 32


def write_gguf(folder: Path, file: Path, *, quantised: bool) -> None:
    """Float32, or Q8_0 where the inputs are whole blocks of 32 and float16 where they are not."""
    import gguf

    config = json.loads((folder / "config.json").read_text())
    writer: Any = gguf.GGUFWriter(file, "llama")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")
    for name, tensor in load_file(folder / "model.safetensors").items():
        part = name.split(".")[-2]
        rows = _pair_up(tensor, {"q_proj": heads, "k_proj": kv_heads}[part]) if part in ("q_proj", "k_proj") else tensor
        data, kind = _encode(gguf, rows, quantised=quantised)
        writer.add_tensor(_rename(name), data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _rename(name: str) -> str:
    if name in _OUTER_NAMES:
        return _OUTER_NAMES[name]
    _, _, layer, *middle, _ = name.split(".")
    return f"blk.{layer}.{_NAMES['.'.join(middle)]}.weight"


def _pair_up(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """llama.cpp turns neighbours, where the checkpoint turns halves."""
    paired = weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2)
    return np.ascontiguousarray(paired.reshape(weight.shape))


def _encode(gguf: Any, tensor: NDArray[np.float32], *, quantised: bool) -> tuple[NDArray[Any], Any]:
    kinds = gguf.GGMLQuantizationType
    if not quantised or tensor.ndim == 1:
        return tensor, kinds.F32
    if tensor.shape[1] % _BLOCK:
        return tensor.astype(np.float16), kinds.F16
    return gguf.quants.quantize(tensor, kinds.Q8_0), kinds.Q8_0
