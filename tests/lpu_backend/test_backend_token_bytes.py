"""Tokens of SentencePiece's kind, as Llama 2, Mistral and Gemma have them: their bytes and the text of an answer."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, trainers

from lpu_backend import CheckpointError, load_tokenizer
from lpu_backend.checkpoint_model import CheckpointModel, read_model
from lpu_backend.text_release import TextRelease
from tests.lpu_backend.tiny_checkpoint import CORPUS, SPECIAL_TOKENS

TEXTS = ["Hello  world", " two spaces  and more ", "日本語 🙂🚀 Привет", "a\nb\tc"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def train_sentence_piece(*, strips: bool) -> Tokenizer:
    """Pieces with U+2581 for spaces, bytes for what the pieces lack."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    trainer = trainers.BpeTrainer(vocab_size=150, show_progress=False)
    trained.train_from_iterator([line.encode("ascii", "ignore").decode() for line in CORPUS], trainer)
    model = json.loads(trained.to_str())["model"]
    pieces = [*SPECIAL_TOKENS, "<unk>", *BYTES, *model["vocab"]]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    steps = [normalizers.Prepend("\u2581")] if strips else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "\u2581")])
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)] if strips else parts)
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return tokenizer


def release_text(model: CheckpointModel, tokenizer: Tokenizer, text: str) -> str:
    """The text of an answer that has the tokens of `text`."""
    token_bytes = model.tokenizer.list_token_bytes(512)
    release = TextRelease((), drops_first_space=model.tokenizer.drops_first_space)
    return "".join(release.push(token_bytes[i]) for i in tokenizer.encode(text).ids) + release.flush()


@pytest.mark.parametrize("strips", [False, True])
def test_the_text_of_an_answer_is_what_the_tokenizer_decodes(strips: bool, checkpoint: Path) -> None:
    tokenizer = train_sentence_piece(strips=strips)
    tokenizer.save(str(checkpoint / "tokenizer.json"))
    model = read_model(checkpoint)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
        assert release_text(model, tokenizer, text) == text


def test_another_sequence_of_decoders_is_refused(checkpoint: Path) -> None:
    tokenizer = train_sentence_piece(strips=False)
    tokenizer.decoder = decoders.Sequence([decoders.Fuse(), decoders.Metaspace()])
    tokenizer.save(str(checkpoint / "tokenizer.json"))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: decoder: 'Sequence' is not supported"):
        load_tokenizer(checkpoint)
