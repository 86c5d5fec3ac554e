"""Agreement with transformers, the reference implementation of the checkpoint format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpu_backend.checkpoint_model import CheckpointModel, read_model
from lpu_backend.runtime.float_numerics import FloatNumerics
from lpu_backend.runtime.kv_cache import KvCache
from tests.lpu_backend.small_models import SMALL_MODELS
from tests.lpu_backend.tiny_checkpoint import VOCABULARY_TOKENS, WriteCheckpoint

torch = pytest.importorskip("torch", reason="torch, the reference, is in requirements-training.txt")
transformers = pytest.importorskip(
    "transformers", reason="transformers, the reference, is in requirements-training.txt"
)
torch.set_num_threads(1)  # models so small only wait for a second thread

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
]

TOLERANCE = 1e-4
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CHANGES: dict[str, dict[str, Any]] = {
    "grouped queries, tied": {},
    "untied": {"tie_word_embeddings": False},
    "one head per key": {"num_key_value_heads": None},
    "bfloat16 file": {"dtype": "BF16", "tie_word_embeddings": False},
    "float16 file": {"dtype": "F16"},
    "wide heads": {"head_dim": 32},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "llama3 rope": {"rope_theta": 500_000.0, "rope_scaling": LLAMA3_ROPE},
    "linear rope": {"rope_scaling": {"type": "linear", "factor": 4.0}},
    "spelling of transformers 5": {
        "rope_theta": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 777.0},
    },
}


def prompt_of(tokens: int) -> list[int]:
    return [int(i) for i in np.random.default_rng(tokens).integers(0, VOCABULARY_TOKENS, tokens)]


def load_reference(folder: Path) -> Any:
    load = transformers.AutoModelForCausalLM.from_pretrained
    return load(folder, dtype=torch.float32, attn_implementation="eager").eval()


def reference_logits(reference: Any, ids: Sequence[int]) -> Any:
    with torch.no_grad():
        return reference(torch.tensor([list(ids)])).logits[0].numpy()


def our_logits(model: CheckpointModel, ids: Sequence[int], cache: KvCache) -> Any:
    return model.runtime.compute_logits(model.runtime.extend(ids, cache))


def save_as_transformers_does(folder: Path, config: dict[str, Any]) -> None:
    """Random weights in bfloat16 and in several files, in place of those of the folder."""
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**config))
    centre = 0.0 if config["model_type"] == "gemma2" else 1.0
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(centre if "norm" in name else 0.0, 0.15)
    (folder / "model.safetensors").unlink()
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="100KB")


def check_logits_and_greedy_tokens(model: CheckpointModel, reference: Any, tokens: int, answer_tokens: int) -> None:
    ids, cache = prompt_of(tokens), model.runtime.make_cache()
    ours = our_logits(model, ids, cache)
    np.testing.assert_allclose(ours, reference_logits(reference, ids), rtol=0, atol=TOLERANCE)
    answer: list[int] = []
    row = ours[-1]
    for _ in range(answer_tokens):
        answer.append(int(row.argmax()))
        row = model.runtime.advance(answer[-1:], cache)
    expected = reference_logits(reference, ids + answer)
    assert answer == expected[tokens - 1 : -1].argmax(axis=1).tolist()
    np.testing.assert_allclose(row, expected[-1], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_logits_and_64_greedy_tokens_agree_with_transformers(
    changes: dict[str, Any], write_checkpoint: WriteCheckpoint
) -> None:
    folder = write_checkpoint(**changes)
    model, reference = read_model(folder, FloatNumerics()), load_reference(folder)
    for tokens in (1, 17, 200):
        check_logits_and_greedy_tokens(model, reference, tokens, 64)


@pytest.mark.parametrize("family", SMALL_MODELS)
def test_checkpoints_of_every_family_agree_with_transformers(family: str, checkpoint: Path) -> None:
    save_as_transformers_does(checkpoint, SMALL_MODELS[family])
    assert len(list(checkpoint.glob("*.safetensors"))) > 1
    model, reference = read_model(checkpoint, FloatNumerics()), load_reference(checkpoint)
    for tokens in (1, 70):
        check_logits_and_greedy_tokens(model, reference, tokens, 32)
