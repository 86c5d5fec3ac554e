"""From config.json alone to a graph: what each family computes, how large published models are, what is refused."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lpu_backend import CheckpointError
from lpu_backend.graph.families import FAMILIES, make_graph
from lpu_backend.graph.nodes import Attend, Embed, Experts, Linear, ModelGraph, RmsNorm, Rotate, SoftCap
from lpu_backend.graph.tensors import list_expected_shapes, list_nodes, make_random_tensors
from tests.lpu_backend.small_models import SMALL_MODELS

LLAMA_2_70B = {
    "model_type": "llama",
    "vocab_size": 32_000,
    "hidden_size": 8192,
    "intermediate_size": 28_672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "max_position_embeddings": 4096,
}
LLAMA_31_405B = {
    "model_type": "llama",
    "vocab_size": 128_256,
    "hidden_size": 16_384,
    "intermediate_size": 53_248,
    "num_hidden_layers": 126,
    "num_attention_heads": 128,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131_072,
    "rope_theta": 500_000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
MISTRAL_7B = {
    "model_type": "mistral",
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32_768,
    "sliding_window": 4096,
}
MIXTRAL_8X7B = {**MISTRAL_7B, "model_type": "mixtral", "sliding_window": None, "num_local_experts": 8}
QWEN2_7B = {
    "model_type": "qwen2",
    "vocab_size": 152_064,
    "hidden_size": 3584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "sliding_window": 131_072,
    "use_sliding_window": False,
}
QWEN3_8B = {
    "model_type": "qwen3",
    "vocab_size": 151_936,
    "hidden_size": 4096,
    "intermediate_size": 12_288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
GEMMA_2_9B = {
    "model_type": "gemma2",
    "vocab_size": 256_000,
    "hidden_size": 3584,
    "intermediate_size": 14_336,
    "num_hidden_layers": 42,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
}
QWEN3_235B = {
    "model_type": "qwen3_moe",
    "vocab_size": 151_936,
    "hidden_size": 4096,
    "intermediate_size": 12_288,
    "num_hidden_layers": 94,
    "num_attention_heads": 64,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "moe_intermediate_size": 1536,
    "norm_topk_prob": True,
}
FALCON_180B = {
    "model_type": "falcon",
    "vocab_size": 65_024,
    "hidden_size": 14_848,
    "num_hidden_layers": 80,
    "num_attention_heads": 232,
    "num_kv_heads": 8,
    "new_decoder_architecture": True,
    "tie_word_embeddings": False,
}


def find(graph: ModelGraph, name: str) -> Any:
    return next(node for node in list_nodes(graph) if node.name == name)


# As their cards on the Hugging Face hub count them, from the weights' files.
@pytest.mark.parametrize(
    ("config", "weights"),
    [
        (LLAMA_2_70B, 68_976_648_192),
        (LLAMA_31_405B, 405_853_388_800),
        (MISTRAL_7B, 7_241_732_096),
        (MIXTRAL_8X7B, 46_702_792_704),
        (QWEN2_7B, 7_615_616_512),
        (QWEN3_8B, 8_190_735_360),
        (GEMMA_2_9B, 9_241_705_984),
        (QWEN3_235B, 235_093_634_560),
        (FALCON_180B, 179_522_565_120),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_a_published_model_has_as_many_weights_as_it_says(config: dict[str, Any], weights: int) -> None:
    assert sum(math.prod(shape) for shape in list_expected_shapes(make_graph(config)).values()) == weights


@pytest.mark.parametrize(("layers", "experts", "ten_millions"), [(36, 128, 11_683), (24, 32, 2_091)])
def test_gpt_oss_has_as_many_weights_as_its_model_card_says(layers: int, experts: int, ten_millions: int) -> None:
    sizes = {"vocab_size": 201_088, "hidden_size": 2880, "intermediate_size": 2880, "num_attention_heads": 64}
    depths = {"num_hidden_layers": layers, "num_local_experts": experts, "num_key_value_heads": 8}
    graph = make_graph({"model_type": "gpt_oss", **sizes, **depths})
    assert round(sum(map(math.prod, list_expected_shapes(graph).values())) / 1e7) == ten_millions
    assert len(graph.rope.frequencies) == 32
    assert graph.rope.factor == pytest.approx(1 + math.log(32) / 10)


@pytest.mark.parametrize("family", FAMILIES)
def test_nodes_read_earlier_values_as_wide_as_they_expect(family: str) -> None:
    graph = make_graph(SMALL_MODELS[family])
    channels: dict[str, int] = {}
    for node in list_nodes(graph):
        widths = [channels[name] for name in node.inputs]
        if isinstance(node, Linear):
            assert widths == [node.matrix.inputs]
        elif isinstance(node, Attend):
            assert widths == [node.query_heads * node.head_dim, *[node.kv_heads * node.head_dim] * 2]
        elif isinstance(node, Experts):
            assert widths == [node.router.inputs]
        elif not isinstance(node, Embed):
            assert set(widths) == {node.channels}
        assert node.name not in channels
        channels[node.name] = node.channels
    assert channels[graph.head[-1].name] == graph.vocabulary


@pytest.mark.parametrize("family", FAMILIES)
def test_names_of_a_layers_nodes_begin_with_its_number(family: str) -> None:
    for index, layer in enumerate(make_graph(SMALL_MODELS[family]).layers):
        assert all(node.name.startswith(f"layers.{index}.") for node in layer)


@pytest.mark.parametrize("family", FAMILIES)
def test_random_tensors_are_those_that_are_expected_and_repeat(family: str) -> None:
    graph = make_graph(SMALL_MODELS[family])
    tensors, again = make_random_tensors(graph, 3), make_random_tensors(graph, 3)
    assert {name: tensor.shape for name, tensor in tensors.items()} == list_expected_shapes(graph)
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}
    assert all(np.array_equal(tensors[name], again[name]) for name in tensors)
    centre = 0.0 if family == "gemma2" else 1.0
    norm = "transformer.ln_f.weight" if family == "falcon" else "model.norm.weight"
    assert tensors[norm].mean() == pytest.approx(centre, abs=0.1)


def windows_of(config: dict[str, Any]) -> list[int | None]:
    graph = make_graph(config)
    return [node.window for node in list_nodes(graph) if isinstance(node, Attend)]


def test_windows_are_where_the_family_has_them() -> None:
    assert windows_of(SMALL_MODELS["llama"]) == [None] * 3
    assert windows_of(SMALL_MODELS["mistral"]) == [24] * 3
    assert windows_of({**SMALL_MODELS["mistral"], "sliding_window": None}) == [None] * 3
    assert windows_of({**SMALL_MODELS["mistral"], "sliding_window": 640}) == [None] * 3
    assert windows_of(SMALL_MODELS["qwen2"]) == [None, 24, 24]
    assert windows_of({**SMALL_MODELS["qwen2"], "use_sliding_window": False}) == [None] * 3
    assert windows_of(SMALL_MODELS["gemma2"]) == [24, None, 24]
    assert windows_of(SMALL_MODELS["gpt_oss"]) == [24, None, 24]
    types = ["full_attention", "sliding_attention", "full_attention"]
    assert windows_of({**SMALL_MODELS["gemma2"], "layer_types": types}) == [None, 24, None]


def test_gemma_is_scaled_capped_and_normalised_its_own_way() -> None:
    graph = make_graph(SMALL_MODELS["gemma2"])
    attend = find(graph, "layers.0.attention")
    assert (attend.scale, attend.softcap) == (1 / math.sqrt(24), 5.0)
    assert graph.embed.factor == 8.0
    assert {node.offset for node in list_nodes(graph) if isinstance(node, RmsNorm)} == {1.0}
    assert graph.head[-1] == SoftCap("capped_logits", ("logits",), 512, 3.0)
    assert find(graph, "layers.1.residual").inputs == ("layers.1.attention_residual", "layers.1.mlp_post_norm")


def test_heads_of_qwen3_are_normalised_before_they_are_rotated() -> None:
    graph = make_graph(SMALL_MODELS["qwen3"])
    assert find(graph, "layers.2.key_norm") == RmsNorm(
        "layers.2.key_norm", ("layers.2.key",), 64, 32, "model.layers.2.self_attn.k_norm.weight", 1e-5
    )
    assert find(graph, "layers.2.key_rotated") == Rotate("layers.2.key_rotated", ("layers.2.key_norm",), 2, 32)


def test_layers_of_qwen3_moe_have_experts_but_where_it_says_so() -> None:
    graph = make_graph({**SMALL_MODELS["qwen3_moe"], "num_hidden_layers": 4, "decoder_sparse_step": 2})
    assert [any(isinstance(node, Experts) for node in layer) for layer in graph.layers] == [False, False, False, True]


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("llama", {"model_type": "opt"}, "model_type: 'opt'"),
    ("llama", {"model_type": None}, "model_type"),
    ("gemma2", {"hidden_activation": "relu"}, "hidden_activation: 'relu'"),
    ("gemma2", {"attn_logit_softcapping": 0.0}, "attn_logit_softcapping"),
    ("gemma2", {"query_pre_attn_scalar": 0}, "query_pre_attn_scalar"),
    ("gemma2", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
    ("gemma2", {"layer_types": ["full_attention"] * 2 + ["chunked_attention"]}, "layer_types: 'chunked_attention'"),
    ("gemma2", {"layer_types": ["full_attention"]}, "layer_types: 1 for 3 layers"),
    ("mixtral", {"num_experts_per_tok": 5}, "num_experts_per_tok: more than the 4"),
    ("qwen3_moe", {"num_experts_per_tok": 9}, "num_experts_per_tok: more than the 8"),
    ("mixtral", {"hidden_act": "gelu"}, "hidden_act: 'gelu'"),
    ("qwen2", {"rope_scaling": {"rope_type": "longrope", "factor": 4.0}}, "rope_type: 'longrope'"),
    ("gpt_oss", {"quantization_config": {"quant_method": "mxfp4"}}, "quantization_config"),
    ("gpt_oss", {"swiglu_limit": 5.0}, "swiglu_limit: only 7.0"),
    ("gpt_oss", {"num_experts_per_tok": 5}, "num_experts_per_tok: more than the 4"),
    ("qwen3", {"rope_scaling": {"rope_type": "yarn", "mscale": 0.7}}, "mscale"),
    ("falcon", {"new_decoder_architecture": False}, "new_decoder_architecture"),
    ("falcon", {"alibi": True}, "alibi"),
    ("falcon", {"bias": True}, "bias"),
    ("falcon", {"activation": "relu"}, "activation: 'relu'"),
    ("qwen3", {"head_dim": 15}, "head_dim: 15 is odd"),
    ("mistral", {"sliding_window": 0}, "sliding_window"),
]


@pytest.mark.parametrize(("family", "changes", "words"), REFUSALS, ids=lambda value: str(value)[:40])
def test_what_cannot_be_served_is_refused_by_name(family: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        make_graph({**SMALL_MODELS[family], **changes})
    for part in ("config.json", *words.split(": ")):
        assert part in str(caught.value)


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES.keys())
def test_a_field_of_a_wrong_type_is_named(make: Callable[[dict[str, Any]], ModelGraph]) -> None:
    with pytest.raises(CheckpointError, match="hidden_size"):
        make({**SMALL_MODELS["llama"], "hidden_size": "64"})
