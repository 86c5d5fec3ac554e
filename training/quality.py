"""How near the chip's numerics come to float32: `python -m training.quality`. Needs no torch.

Both predict every token of conversations that no training run drew, each given the true tokens before it. Printed are
the perplexity of both, and the share of positions where both have the same likeliest token.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lpu_backend.checkpoint_model import CheckpointModel, read_model
from lpu_backend.runtime.float_numerics import FloatNumerics
from training.corpus import generate_conversations
from training.dataset import encode_conversations

HELD_OUT_SEED = 7 + 1_000_003
"""The one that training measures its held-out loss with: the recipe's seed, far away."""
_TOKENS_PER_CONVERSATION = 40
_ROW_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Quality:
    """Of so many predicted tokens; perplexities over all of them, and over the assistant's words alone."""

    tokens: int
    perplexity: float
    reference_perplexity: float
    answer_tokens: int
    answer_perplexity: float
    reference_answer_perplexity: float
    agreement: float

    @property
    def perplexity_ratio(self) -> float:
        return self.perplexity / self.reference_perplexity

    @property
    def answer_perplexity_ratio(self) -> float:
        return self.answer_perplexity / self.reference_answer_perplexity


def measure_quality(folder: Path, tokens: int) -> Quality:
    """Compare the numerics on at least so many held-out tokens."""
    rows = _draw_rows(folder, tokens)
    served, reference = read_model(folder), read_model(folder, FloatNumerics())
    losses, reference_losses, counts, agreements = [], [], [], []
    for ids, is_target in rows:
        best, loss = _predict(served, ids)
        reference_best, reference_loss = _predict(reference, ids)
        losses.append(loss)
        reference_losses.append(reference_loss)
        counts.append(is_target[1:])
        agreements.append(best == reference_best)
    loss, reference_loss = np.concatenate(losses), np.concatenate(reference_losses)
    counted = np.concatenate(counts)
    return Quality(
        tokens=len(loss),
        perplexity=_perplexity(loss),
        reference_perplexity=_perplexity(reference_loss),
        answer_tokens=int(counted.sum()),
        answer_perplexity=_perplexity(loss[counted]),
        reference_answer_perplexity=_perplexity(reference_loss[counted]),
        agreement=float(np.concatenate(agreements).mean()),
    )


def _draw_rows(folder: Path, tokens: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = -(-tokens // _ROW_TOKENS)
    conversations = generate_conversations(HELD_OUT_SEED, (rows + 1) * _ROW_TOKENS // _TOKENS_PER_CONVERSATION)
    ids, is_target = encode_conversations(conversations, tokenizer).cut_rows(_ROW_TOKENS)
    return zip(ids[:rows], is_target[:rows], strict=True)


def _predict(model: CheckpointModel, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The likeliest token after each but the last, and the loss, in nats, of the one that came."""
    hidden = model.runtime.extend(ids[:-1].tolist(), model.runtime.make_cache())
    logits = model.runtime.compute_logits(hidden).astype(np.float64)
    best = logits.argmax(axis=1)
    logits -= logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(best)), ids[1:]]
    return best, losses


def _perplexity(losses: NDArray[np.float64]) -> float:
    return float(np.exp(losses.mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/lpu-demo"), help="checkpoint folder")
    parser.add_argument("--tokens", type=int, default=10_000)
    options = parser.parse_args()
    quality = measure_quality(options.model, options.tokens)
    print(f"{'':24}{'tokens':>10}{'served':>12}{'float32':>12}{'ratio':>10}")
    for name, tokens, perplexity, reference, ratio in (
        ("perplexity", quality.tokens, quality.perplexity, quality.reference_perplexity, quality.perplexity_ratio),
        (
            "of the answers",
            quality.answer_tokens,
            quality.answer_perplexity,
            quality.reference_answer_perplexity,
            quality.answer_perplexity_ratio,
        ),
    ):
        print(f"{name:24}{tokens:>10,}{perplexity:>12.5f}{reference:>12.5f}{ratio:>10.5f}")
    print(f"{'same likeliest token':24}{quality.tokens:>10,}{quality.agreement:>12.3%}")


if __name__ == "__main__":
    main()
