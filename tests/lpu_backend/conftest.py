"""Fixtures of the backend's tests."""

import json
from pathlib import Path
from typing import Any

import pytest

from lpu_backend.checkpoint_model import CheckpointModel, read_model
from tests.lpu_backend.tiny_checkpoint import (
    CHAT_TEMPLATE,
    CONFIG,
    WriteCheckpoint,
    make_tensors,
    save_tensors,
    train_tokenizer,
)


@pytest.fixture(scope="session")
def tokenizer_json() -> str:
    return str(train_tokenizer().to_str())


@pytest.fixture
def write_checkpoint(tmp_path: Path, tokenizer_json: str) -> WriteCheckpoint:
    """Write a checkpoint folder; keyword arguments change fields of config.json (None removes one)."""

    def write(*, dtype: str = "F32", seed: int = 1, **changes: Any) -> Path:
        config = {k: v for k, v in {**CONFIG, **changes}.items() if v is not None}
        folder = tmp_path / "checkpoint"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "tokenizer.json").write_text(tokenizer_json)
        tokenizer_config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|begin|>",
            "eos_token": {"content": "<|end|>", "__type": "AddedToken"},
            "chat_template": CHAT_TEMPLATE,
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
        save_tensors(folder / "model.safetensors", make_tensors(config, seed), dtype)
        return folder

    return write


@pytest.fixture
def checkpoint(write_checkpoint: WriteCheckpoint) -> Path:
    return write_checkpoint()


@pytest.fixture
def model(checkpoint: Path) -> CheckpointModel:
    return read_model(checkpoint)
