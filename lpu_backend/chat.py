"""`python -m lpu_backend.chat --model FOLDER "prompt"`: one answer on the terminal, token by token."""

import argparse
import sys
import time
from pathlib import Path

from lpu_backend import LpuBackendError, SamplingParams, load_model


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 1 with the reason on stderr."""
    options = _parse(arguments)
    try:
        _print_answer(options)
    except LpuBackendError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lpu_backend.chat", description=__doc__)
    parser.add_argument("prompt")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--max-completion-tokens", type=int, default=512)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def _print_answer(options: argparse.Namespace) -> None:
    model = load_model(options.model)
    params = SamplingParams(
        max_completion_tokens=options.max_completion_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=options.seed,
    )
    prompt_ids = model.tokenizer.encode_chat([{"role": "user", "content": options.prompt}])
    started_s, completion_tokens, finish_reason = time.perf_counter(), 0, None
    for step in model.generate(prompt_ids, params):
        sys.stdout.write(step.text)
        sys.stdout.flush()
        completion_tokens, finish_reason = step.index + 1, step.finish_reason
    elapsed_s = time.perf_counter() - started_s
    emulated = model.emulate(prompt_tokens=len(prompt_ids), completion_tokens=completion_tokens)
    sys.stderr.write(
        f"\n{len(prompt_ids)} prompt tokens, {completion_tokens} completion tokens, finish_reason {finish_reason}\n"
        f"here {completion_tokens / elapsed_s:,.0f} tokens/s; emulated ({emulated.mode}) "
        f"{emulated.tokens_per_second:,.0f} tokens/s on {emulated.chips} chip(s), {emulated.cycles:,} cycles\n"
    )


if __name__ == "__main__":
    sys.exit(main())
