"""Conversations as fixed rows of token ids, with the positions whose prediction counts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.corpus.conversation import BEGIN, Conversation


@dataclass(frozen=True)
class TokenStream:
    """All documents end to end. `is_target[i]` says that predicting `ids[i]` counts: the assistant's words do."""

    ids: NDArray[np.int64]
    is_target: NDArray[np.bool_]

    def cut_rows(self, row_tokens: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of `row_tokens` + 1 ids, each overlapping the next by one; what is left over at the end is dropped."""
        rows = (len(self.ids) - 1) // row_tokens
        starts = np.arange(rows)[:, None] * row_tokens + np.arange(row_tokens + 1)
        return self.ids[starts], self.is_target[starts]


def encode_conversations(conversations: Iterable[Conversation], tokenizer: Tokenizer) -> TokenStream:
    """Packs the conversations into one stream, in order."""
    ids: list[int] = []
    is_target: list[bool] = []
    for piece_ids, counts in _encode_pieces(conversations, tokenizer):
        ids.extend(piece_ids)
        # The role token is given to the model, never predicted by it.
        is_target.extend([False] + [counts] * (len(piece_ids) - 1))
    return TokenStream(np.array(ids, dtype=np.int64), np.array(is_target, dtype=np.bool_))


def _encode_pieces(conversations: Iterable[Conversation], tokenizer: Tokenizer) -> Iterator[tuple[list[int], bool]]:
    begin_ids = tokenizer.encode(BEGIN).ids
    for conversation in conversations:
        yield begin_ids, False
        encodings = tokenizer.encode_batch([turn.render() for turn in conversation.turns])
        for turn, encoding in zip(conversation.turns, encodings, strict=True):
            yield encoding.ids, turn.role == "assistant"
