"""Which checkpoint folders are served, and what is said of the others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lpu_backend.checkpoint_model
from lpu_backend import CheckpointError, SamplingParams, load_model, load_tokenizer
from lpu_backend.checkpoint_model import read_model
from lpu_backend.config import read_end_of_turn_ids
from tests.lpu_backend.tiny_checkpoint import CONFIG, WriteCheckpoint, make_tensors, save_tensors

GREEDY = SamplingParams(max_completion_tokens=24, temperature=0.0)


def answer_ids(folder: Path) -> list[int]:
    return [step.token_id for step in load_model(folder).generate([5, 6, 7], GREEDY)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "bloom"}, "model_type: 'bloom'"),
        ({"hidden_act": "gelu"}, "hidden_act: 'gelu'"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantization_config"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}, "rope_type: 'dynamic'"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"num_key_value_heads": 3}, "num_key_value_heads: 3 does not divide"),
        ({"num_attention_heads": 6, "num_key_value_heads": 6}, "num_attention_heads: 6 does not divide"),
        ({"head_dim": 15}, "head_dim: 15 is odd"),
        ({"hidden_size": "64"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"rms_norm_eps": 0.0}, "rms_norm_eps"),
    ],
)
def test_it_refuses_an_unsupported_field_by_name(
    changes: dict[str, Any], words: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkpoint / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    monkeypatch.setattr(lpu_backend.checkpoint_model, "read_tensors", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(CheckpointError) as caught:
        load_model(checkpoint)
    assert "config.json" in str(caught.value)
    assert words.split(":")[0] in str(caught.value)
    assert words.split(":")[-1] in str(caught.value)


def remove_a_tensor(folder: Path) -> None:
    tensors = make_tensors(CONFIG)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_tensors(folder / "model.safetensors", tensors, "F32")


def add_a_tensor(folder: Path) -> None:
    tensors = {**make_tensors(CONFIG), "model.layers.0.self_attn.q_norm.weight": np.ones(16, dtype=np.float32)}
    save_tensors(folder / "model.safetensors", tensors, "F32")


def reshape_a_tensor(folder: Path) -> None:
    tensors = {**make_tensors(CONFIG), "model.norm.weight": np.ones(63, dtype=np.float32)}
    save_tensors(folder / "model.safetensors", tensors, "F32")


def store_doubles(folder: Path) -> None:
    save_tensors(folder / "model.safetensors", make_tensors(CONFIG), "F64")


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def leave_only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def name_a_missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')


def name_a_shard_outside_the_folder(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../model.safetensors"}}')


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove_a_tensor, "model.safetensors: model.layers.1.mlp.up_proj.weight: missing"),
        (add_a_tensor, "model.layers.0.self_attn.q_norm.weight: unknown tensor"),
        (reshape_a_tensor, r"model.norm.weight: shape \[63\], expected \[64\]"),
        (store_doubles, "type F64 is not supported"),
        (truncate, "not a valid safetensors file"),
        (leave_only_a_pickle, "pytorch_model.bin: pickled weights"),
        (remove_weights, "model.safetensors: the folder has no such file"),
        (name_a_missing_shard, "has no file 'gone.safetensors'"),
        (name_a_shard_outside_the_folder, "has no file '../model.safetensors'"),
    ],
)
def test_it_refuses_damaged_weights_by_name(
    damage: Callable[[Path], None], words: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(checkpoint)
    monkeypatch.setattr(lpu_backend.checkpoint_model, "read_tensors", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(CheckpointError, match=words):
        load_model(checkpoint)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_it_names_a_file_that_is_missing_or_not_json(name: str, checkpoint: Path) -> None:
    (checkpoint / name).write_text("{")
    with pytest.raises(CheckpointError, match=name):
        load_tokenizer(checkpoint)
    (checkpoint / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_tokenizer(checkpoint)


def test_it_refuses_a_tokenizer_whose_decoder_it_does_not_know(checkpoint: Path) -> None:
    path = checkpoint / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "decoder": {"type": "WordPiece"}}))
    with pytest.raises(CheckpointError, match="decoder: 'WordPiece'"):
        load_tokenizer(checkpoint)


def test_it_refuses_a_tokenizer_larger_than_the_vocabulary(write_checkpoint: WriteCheckpoint) -> None:
    with pytest.raises(CheckpointError, match="vocab_size"):
        load_tokenizer(write_checkpoint(vocab_size=300))


def test_the_tokenizer_loads_without_weights(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    assert load_tokenizer(checkpoint).context_window == CONFIG["max_position_embeddings"]


def test_a_sharded_checkpoint_answers_as_the_single_file(checkpoint: Path) -> None:
    expected = answer_ids(checkpoint)
    tensors = make_tensors(CONFIG)
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_tensors(checkpoint / file, {name: tensors[name] for name in part}, "F32")
        weight_map |= dict.fromkeys(part, file)
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert answer_ids(checkpoint) == expected


def test_a_tied_checkpoint_may_repeat_its_embedding(checkpoint: Path) -> None:
    expected = answer_ids(checkpoint)
    tensors = make_tensors(CONFIG)
    save_tensors(
        checkpoint / "model.safetensors", {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"]}, "F32"
    )
    assert answer_ids(checkpoint) == expected


@pytest.mark.parametrize(
    ("in_config", "in_generation_config", "expected"),
    [(1, None, {1}), ([1, 2], None, {1, 2}), (1, [3, 4], {3, 4}), (None, 5, {5}), (None, None, set())],
)
def test_end_of_turn_ids_come_from_the_generation_config_first(
    in_config: Any, in_generation_config: Any, expected: set[int], write_checkpoint: WriteCheckpoint
) -> None:
    folder = write_checkpoint(eos_token_id=in_config)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": in_generation_config}))
    assert read_end_of_turn_ids(folder) == expected


def test_the_program_hash_names_weights_and_configuration(write_checkpoint: WriteCheckpoint) -> None:
    first = read_model(write_checkpoint()).program_hash
    assert len(first) == 64
    assert read_model(write_checkpoint()).program_hash == first
    assert read_model(write_checkpoint(seed=2)).program_hash != first
    assert read_model(write_checkpoint(rms_norm_eps=1e-6)).program_hash != first
