"""One answer of a batch: its tokens, its pages, and how far they are filled."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lpu_backend.answer import Answer
from lpu_backend.engine.page_keys import PageKeys
from lpu_backend.runtime.numerics import Floats
from lpu_backend.runtime.page_pool import PAGE_TOKENS
from lpu_backend.types import Step


class BatchGeneration:
    """`ids` are the prompt's and those of the answer so far. Keys and values of the first `filled_tokens` of them are
    in `pages`; the next logits that are needed are those after the token at `logits_position`."""

    def __init__(
        self, prompt_ids: Sequence[int], made_ids: Sequence[int], answer: Answer, *, salt: bytes, wants_digest: bool
    ) -> None:
        self.ids = [*prompt_ids, *made_ids]
        self.answer = answer
        self.pages: list[int] = []
        self.filled_tokens = 0
        self.published_pages = 0
        self.cached_tokens = 0
        self.prompt_tokens = len(prompt_ids)
        self.logits_position = self.prompt_tokens - 1 if wants_digest else len(self.ids) - 1
        self._hasher = hashlib.sha256() if wants_digest else None
        self._keys = PageKeys(salt)
        self._page_table: NDArray[np.int32] = np.empty(0, np.int32)
        self._known_tokens = 0
        """Filled before it was preempted: what is found of them again was no saving."""

    @property
    def digest(self) -> str:
        return "" if self._hasher is None else self._hasher.hexdigest()

    @property
    def missing_tokens(self) -> int:
        """To run before the next token can be chosen: one, while it decodes."""
        return len(self.ids) - self.filled_tokens

    @property
    def needed_pages(self) -> int:
        """For the ids so far."""
        return -(-len(self.ids) // PAGE_TOKENS)

    @property
    def page_table(self) -> NDArray[np.int32]:
        """The pages as an array."""
        if len(self._page_table) != len(self.pages):
            self._page_table = np.array(self.pages, np.int32)
        return self._page_table

    def iterate_findable_keys(self) -> Iterator[bytes]:
        """Keys of the pages that it needs next, none of whose logits are needed."""
        if self.filled_tokens == len(self.pages) * PAGE_TOKENS:
            for page_index in range(self.published_pages, self.logits_position // PAGE_TOKENS):
                yield self._keys.get(page_index, self.ids)

    def list_keys_of_next(self, tokens: int) -> list[bytes]:
        """Of the pages that so many more tokens make full."""
        return [
            self.get_key(page_index)
            for page_index in range(self.published_pages, (self.filled_tokens + tokens) // PAGE_TOKENS)
        ]

    def get_key(self, page_index: int) -> bytes:
        """Of a page that is full."""
        return self._keys.get(page_index, self.ids)

    def add_found_page(self, page: int) -> None:
        """The next page, full already."""
        self.pages.append(page)
        self.filled_tokens += PAGE_TOKENS
        self.published_pages += 1
        if self._known_tokens < self.filled_tokens < self.prompt_tokens:
            self.cached_tokens += PAGE_TOKENS

    def forget_pages(self) -> list[int]:
        """Its pages, which it has no more: all is to be filled again."""
        pages, self.pages = self.pages, []
        self._known_tokens = max(self._known_tokens, self.filled_tokens)
        self.filled_tokens = self.published_pages = 0
        self._page_table = self._page_table[:0]
        return pages

    def take_logits(self, logits: Floats) -> Step | None:
        """Logits [vocabulary] after the token at `logits_position`: the next step, unless its token is known."""
        self.logits_position += 1
        step: Step | None = None
        if self.logits_position == len(self.ids):
            step = self.answer.choose(logits)
            self.ids.append(step.token_id)
        if self._hasher is not None:
            self._hasher.update(self.ids[self.logits_position].to_bytes(4, "little"))
            self._hasher.update(logits.tobytes())
        return step
