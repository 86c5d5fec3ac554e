"""A runtime that computes nothing but what its pages hold: a wrong page, or one written twice, changes every answer."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lpu_backend.answer import Answer, Vocabulary
from lpu_backend.engine.batch_engine import BatchEngine
from lpu_backend.runtime.page_pool import PAGE_TOKENS, TokenRun
from lpu_backend.types import SamplingParams, require_room_for_one_token

CONTEXT_TOKENS = 160
CONTEXT_PAGES = CONTEXT_TOKENS // PAGE_TOKENS
VOCABULARY_TOKENS = 40
END_ID = 3
_WORDS = Vocabulary([bytes([64 + index]) for index in range(VOCABULARY_TOKENS)], frozenset({END_ID}))


class PageReader:
    """A token's hidden row is the checksum of the ids in its sequence's pages; its logits are drawn from that."""

    graph = SimpleNamespace(context_window=CONTEXT_TOKENS, vocabulary=VOCABULARY_TOKENS)

    def __init__(self) -> None:
        self.run_tokens: list[int] = []
        self.interruption: BaseException | None = None

    def make_pool(self, pages: int) -> NDArray[np.int32]:
        return np.full((pages, PAGE_TOKENS), -1, np.int32)

    def compute_hidden(self, runs: Sequence[TokenRun], pool: NDArray[np.int32]) -> NDArray[np.float32]:
        if self.interruption is not None:
            interruption, self.interruption = self.interruption, None
            raise interruption
        self.run_tokens.append(sum(len(run.token_ids) for run in runs))
        for run in runs:
            assert len(run.pages) * PAGE_TOKENS >= run.end_position
            for position, token_id in enumerate(run.token_ids, run.first_position):
                pool[run.pages[position // PAGE_TOKENS], position % PAGE_TOKENS] = token_id
        return np.concatenate([_checksum(run, pool) for run in runs])

    def compute_logits(self, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = [np.random.default_rng(int(row[0])).normal(0, 2, VOCABULARY_TOKENS) for row in hidden]
        logits = np.array(rows, np.float32)
        logits[:, END_ID] -= 6  # so that most answers are long
        return logits


def _checksum(run: TokenRun, pool: NDArray[np.int32]) -> NDArray[np.float32]:
    seen = pool[run.pages].reshape(-1)
    ends = range(run.first_position + 1, run.end_position + 1)
    return np.array([[crc32(seen[:end].tobytes()) >> 8] for end in ends], np.float32)


def make_answer(prompt_ids: Sequence[int], params: SamplingParams) -> Answer:
    require_room_for_one_token(len(prompt_ids), CONTEXT_TOKENS)
    limit_tokens = min(params.max_completion_tokens, CONTEXT_TOKENS - len(prompt_ids))
    return Answer(_WORDS, params, prompt_tokens=len(prompt_ids), limit_tokens=limit_tokens)


def make_engine(
    *, max_batch: int = 4, pages: int = 4 * CONTEXT_PAGES, prefill_tokens: int = 64, runtime: PageReader | None = None
) -> BatchEngine:
    model: Any = runtime or PageReader()
    return BatchEngine(model, make_answer, max_batch=max_batch, pages=pages, prefill_tokens=prefill_tokens)
