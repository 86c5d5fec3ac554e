from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs requirements-training.txt")
pytest.importorskip("transformers", reason="needs requirements-training.txt")

import torch
from tokenizers import Tokenizer

from lpu_backend import load_model
from training.corpus import generate_conversations
from training.dataset import encode_conversations
from training.tokenizer import train_tokenizer
from training.train import Batches, Recipe, Trainer, build_model, train

pytestmark = pytest.mark.slow

TINY = Recipe(
    seed=7,
    steps=4,
    conversations=150,
    vocabulary_tokens=400,
    hidden=32,
    layers=1,
    heads=2,
    kv_heads=1,
    intermediate=48,
    batch_tokens=1024,
    row_tokens=128,
    warmup_steps=1,
)


class InterruptionError(Exception):
    pass


class InterruptedTrainer(Trainer):
    """Falls over before its fourth step."""

    def _take_step(self) -> float:
        if self.step == 3:
            raise InterruptionError
        return super()._take_step()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = (conversation.render() for conversation in generate_conversations(7, 150))
    return train_tokenizer(texts, TINY.vocabulary_tokens)


def make_trainer(kind: type[Trainer], tokenizer: Tokenizer, snapshot: Path) -> Trainer:
    batches = Batches(encode_conversations(generate_conversations(7, 150), tokenizer), TINY)
    return kind(TINY, build_model(TINY, tokenizer), batches, snapshot)


def test_a_trained_folder_is_one_that_the_backend_serves(tmp_path: Path) -> None:
    train(TINY, tmp_path / "model", tmp_path / "snapshot.pt")
    assert load_model(tmp_path / "model").tokenizer.context_window == 1024
    assert (tmp_path / "model" / "training.json").exists()


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path, tokenizer: Tokenizer) -> None:
    whole = make_trainer(Trainer, tokenizer, tmp_path / "whole.pt")
    whole.run()
    interrupted = make_trainer(InterruptedTrainer, tokenizer, tmp_path / "cut.pt")
    with pytest.raises(InterruptionError):
        interrupted.run(report_every_steps=2)
    resumed = make_trainer(Trainer, tokenizer, tmp_path / "cut.pt")
    resumed.resume()
    assert resumed.step == 2
    resumed.run()
    for expected, weight in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(weight, expected)


def test_only_the_assistants_words_are_targets(tokenizer: Tokenizer) -> None:
    conversation = next(iter(generate_conversations(7, 1)))
    stream = encode_conversations([conversation], tokenizer)
    targets = tokenizer.decode(stream.ids[stream.is_target].tolist(), skip_special_tokens=False)
    assert targets == "".join(turn.content + "<|end|>" for turn in conversation.turns if turn.role == "assistant")


def test_the_plateau_does_not_depend_on_the_length_of_the_run() -> None:
    longer = replace(TINY, steps=2000)
    assert [replace(longer, steps=1000).learning_rate_factor(step) for step in range(600)] == [
        longer.learning_rate_factor(step) for step in range(600)
    ]
