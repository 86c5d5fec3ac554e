"""Trains the tokenizer and the model: `python -m training.train --out models/lpu-demo --seed 7`.

An interrupted run goes on from its last snapshot in `.training/` when the same command is given again.
"""

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from transformers import LlamaConfig, LlamaForCausalLM

from training.corpus import generate_conversations
from training.corpus.conversation import BEGIN, END, PAD
from training.dataset import TokenStream, encode_conversations
from training.export import export_model
from training.tokenizer import train_tokenizer

_SNAPSHOT_FOLDER = Path(".training")
_CONTEXT_TOKENS = 1024
_HELD_OUT_CONVERSATIONS = 300


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, the corpus apart. Tokens are counted as fed to the model."""

    seed: int
    steps: int
    conversations: int
    vocabulary_tokens: int = 3072
    hidden: int = 256
    layers: int = 5
    heads: int = 8
    kv_heads: int = 4
    intermediate: int = 672
    batch_tokens: int = 4096
    row_tokens: int = 512
    long_row_share: float = 0.12
    matrix_learning_rate: float = 0.01
    vector_learning_rate: float = 0.003
    warmup_steps: int = 60
    decay_share: float = 0.4

    def learning_rate_factor(self, step: int) -> float:
        """Warm-up, a plateau, then a straight line to zero: the length can still be changed during the plateau."""
        decay_steps = max(1, int(self.steps * self.decay_share))
        return min(1.0, (step + 1) / self.warmup_steps, max(0.02, (self.steps - step) / decay_steps))

    def row_tokens_at(self, step: int) -> int:
        """Full-length rows come last: they train the late positions, but attention over them is dearer."""
        return _CONTEXT_TOKENS if step >= self.steps * (1 - self.long_row_share) else self.row_tokens


class Batches:
    """Shuffled rows of the corpus; which rows a step sees depends on seed and step alone."""

    def __init__(self, stream: TokenStream, recipe: Recipe) -> None:
        self._recipe = recipe
        self._rows = {}
        for row_tokens in {recipe.row_tokens, _CONTEXT_TOKENS}:
            ids, is_target = stream.cut_rows(row_tokens)
            order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(recipe.seed))
            self._rows[row_tokens] = (torch.from_numpy(ids)[order], torch.from_numpy(is_target)[order])

    def get(self, step: int) -> tuple[Tensor, Tensor]:
        """Ids and target marks, both [rows, row_tokens + 1]."""
        row_tokens = self._recipe.row_tokens_at(step)
        ids, is_target = self._rows[row_tokens]
        rows = self._recipe.batch_tokens // row_tokens
        at = torch.arange(step * rows, (step + 1) * rows) % len(ids)
        return ids[at], is_target[at]


def build_model(recipe: Recipe, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """A fresh model of the recipe's size: plain Llama, no biases, input and output embedding tied."""
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=recipe.hidden,
            intermediate_size=recipe.intermediate,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.kv_heads,
            max_position_embeddings=_CONTEXT_TOKENS,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.token_to_id(BEGIN),
            eos_token_id=tokenizer.token_to_id(END),
            pad_token_id=tokenizer.token_to_id(PAD),
        )
    )


def build_optimizers(model: LlamaForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embedding and the norms."""
    matrices = [weight for name, weight in model.named_parameters() if weight.ndim == 2 and "layers" in name]
    others = [weight for name, weight in model.named_parameters() if weight.ndim != 2 or "layers" not in name]
    return [
        torch.optim.Muon(matrices, lr=recipe.matrix_learning_rate, weight_decay=0.05, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=recipe.vector_learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def loss_of(model: LlamaForCausalLM, ids: Tensor, is_target: Tensor) -> Tensor:
    """Mean cross entropy, in nats, over the target positions alone; the output layer is computed for those only."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        logits = linear(hidden[is_target[:, 1:]], model.lm_head.weight)
    return cross_entropy(logits.float(), ids[:, 1:][is_target[:, 1:]])


class Trainer:
    """One training run: model, optimizers, and the curve so far."""

    def __init__(self, recipe: Recipe, model: LlamaForCausalLM, batches: Batches, snapshot: Path) -> None:
        self.recipe = recipe
        self.model = model
        self.batches = batches
        self.optimizers = build_optimizers(model, recipe)
        self._base_rates = [optimizer.param_groups[0]["lr"] for optimizer in self.optimizers]
        self._snapshot = snapshot
        self.step = 0
        self.seconds = 0.0
        self.curve: list[dict[str, float]] = []

    def run(self, report_every_steps: int = 50) -> None:
        """Trains to the recipe's last step, saving a snapshot at each report."""
        started_at, first_step, losses = time.monotonic(), self.step, []
        seconds_before = self.seconds
        while self.step < self.recipe.steps:
            losses.append(self._take_step())
            self.step += 1
            if self.step % report_every_steps and self.step != self.recipe.steps:
                continue
            self.seconds = seconds_before + time.monotonic() - started_at
            rate = (self.step - first_step) / (time.monotonic() - started_at)
            self._report(sum(losses) / len(losses), rate)
            losses = []

    def _take_step(self) -> float:
        factor = self.recipe.learning_rate_factor(self.step)
        for optimizer, base_rate in zip(self.optimizers, self._base_rates, strict=True):
            optimizer.param_groups[0]["lr"] = base_rate * factor
        loss = loss_of(self.model, *self.batches.get(self.step))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return float(loss.item())

    def _report(self, loss: float, steps_per_s: float) -> None:
        self.curve.append({"step": self.step, "loss": round(loss, 4)})
        eta_min = (self.recipe.steps - self.step) / steps_per_s / 60
        tokens_per_s = steps_per_s * self.recipe.batch_tokens
        print(
            f"step {self.step}/{self.recipe.steps}  loss {loss:.3f}  "
            f"{tokens_per_s:,.0f} tokens/s  ETA {eta_min:.1f} min",
            flush=True,
        )
        self._save()

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
        }
        draft = self._snapshot.with_suffix(".draft")
        torch.save(state, draft)
        draft.replace(self._snapshot)

    def resume(self) -> None:
        """Goes back to the snapshot, if there is one."""
        if not self._snapshot.exists():
            return
        state = torch.load(self._snapshot, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, optimizer_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(optimizer_state)
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        print(f"resumed at step {self.step}")


def held_out_loss(model: LlamaForCausalLM, tokenizer: Tokenizer, recipe: Recipe) -> float:
    """The loss on conversations drawn with another seed, in nats per token of the assistant."""
    conversations = generate_conversations(recipe.seed + 1_000_003, _HELD_OUT_CONVERSATIONS)
    ids, is_target = encode_conversations(conversations, tokenizer).cut_rows(recipe.row_tokens)
    with torch.no_grad():
        losses = [
            loss_of(model, torch.from_numpy(ids[row : row + 1]), torch.from_numpy(is_target[row : row + 1])).item()
            for row in range(len(ids))
        ]
    return math.fsum(losses) / len(losses)


def write_training_record(trainer: Trainer, corpus_tokens: int, out: Path) -> None:
    """training.json: the recipe, what it cost and where the loss ended. Seconds are this run's; the rest repeats."""
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    record = {
        "recipe": asdict(trainer.recipe),
        "parameters": sum(weight.numel() for weight in trainer.model.parameters()),
        "corpus_tokens": corpus_tokens,
        "trained_tokens": trainer.recipe.steps * trainer.recipe.batch_tokens,
        "seconds": round(trainer.seconds),
        "final_train_loss_nats": trainer.curve[-1]["loss"],
        "held_out_loss_nats": round(held_out_loss(trainer.model, tokenizer, trainer.recipe), 4),
        "curve": trainer.curve,
    }
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def train(recipe: Recipe, out: Path, snapshot: Path) -> None:
    """Corpus, tokenizer, model, folder; prints each stage."""
    conversations = list(generate_conversations(recipe.seed, recipe.conversations))
    tokenizer = train_tokenizer((c.render() for c in conversations), recipe.vocabulary_tokens)
    stream = encode_conversations(conversations, tokenizer)
    model = build_model(recipe, tokenizer)
    parameters = sum(weight.numel() for weight in model.parameters())
    print(f"{len(conversations):,} conversations, {len(stream.ids):,} tokens, {parameters:,} parameters", flush=True)
    trainer = Trainer(recipe, model, Batches(stream, recipe), snapshot)
    trainer.resume()
    trainer.run()
    export_model(model, tokenizer, out)
    write_training_record(trainer, len(stream.ids), out)
    print(f"wrote {out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--conversations", type=int, default=60_000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    _SNAPSHOT_FOLDER.mkdir(exist_ok=True)
    recipe = Recipe(arguments.seed, arguments.steps, arguments.conversations)
    train(recipe, arguments.out, _SNAPSHOT_FOLDER / f"{arguments.out.name}.pt")


if __name__ == "__main__":
    main()
