"""Which steps answer a request: a program is static, so each step is one of a few shapes that were compiled.

A step takes 1, 8 or 32 tokens and sees 1, 2, 4, ... blocks of the cache, or all there are: what a step does not need of
its shape is masked out, and takes the time all the same.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

TOKEN_SIZES = (1, 8, 32)
"""Tokens of a step (chosen): most of what a longer step would save is saved by 32."""


class StepKey(NamedTuple):
    """Tokens that a step runs, and blocks of the cache that it sees, each a lane a token."""

    tokens: int
    blocks: int


def list_step_keys(context_window: int, lanes: int) -> tuple[StepKey, ...]:
    """All shapes of a model whose context has `context_window` tokens."""
    buckets = _list_buckets(context_window, lanes)
    sizes = [size for size in TOKEN_SIZES if size <= context_window]
    return tuple(StepKey(tokens, blocks) for tokens in sizes for blocks in buckets)


def count_steps(
    cycles: Mapping[StepKey, int], prompt_tokens: int, completion_tokens: int, lanes: int, cached_tokens: int = 0
) -> Counter[StepKey]:
    """Steps of a request that is alone: the prompt's after what is cached of it, and one for each token but the first.

    `cycles` decides how the end of the prompt is divided: into the steps that take the least.
    """
    steps: Counter[StepKey] = Counter()
    largest = max(key.tokens for key in cycles)
    whole = prompt_tokens - (prompt_tokens - cached_tokens) % largest
    for begin in range(cached_tokens, whole, largest):
        steps[_find_key(cycles, largest, begin + largest, lanes)] += 1
    if whole < prompt_tokens:
        steps += _divide_rest(cycles, whole, prompt_tokens, lanes)
    position, end = prompt_tokens, prompt_tokens + completion_tokens - 1
    while position < end:
        key = _find_key(cycles, 1, position + 1, lanes)
        seen = min(end, key.blocks * lanes)
        steps[key] += seen - position
        position = seen
    return steps


def _divide_rest(cycles: Mapping[StepKey, int], begin: int, end: int, lanes: int) -> Counter[StepKey]:
    options = []
    for size in sorted({key.tokens for key in cycles}):
        option: Counter[StepKey] = Counter()
        for start in range(begin, end, size):
            option[_find_key(cycles, size, min(start + size, end), lanes)] += 1
        options.append(option)
    return min(options, key=lambda option: sum(cycles[key] * count for key, count in option.items()))


def _find_key(cycles: Mapping[StepKey, int], tokens: int, end: int, lanes: int) -> StepKey:
    """The least shape of that many tokens that sees the cache up to `end`."""
    needed = -(-end // lanes)
    return StepKey(tokens, min(key.blocks for key in cycles if key.tokens == tokens and key.blocks >= needed))


def _list_buckets(context_window: int, lanes: int) -> list[int]:
    most = -(-context_window // lanes)
    buckets = [1 << power for power in range(most.bit_length()) if 1 << power < most]
    return [*buckets, most]
