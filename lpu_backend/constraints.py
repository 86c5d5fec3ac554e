"""Constrained decoding: which tokens may come next, so that an answer is JSON, fits a schema, or follows a grammar.

llguidance (https://github.com/guidance-ai/llguidance) keeps the parser; here is what of it the product uses.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from lpu_backend.exceptions import ConstraintError
from lpu_backend.types import Constraint

# Between the parts of JSON: nothing, a space, or a new line and its indentation. Without a bound a model may go on with
# blanks until it has no tokens left.
JSON_WHITESPACE = r" |\n {0,24}"
MESSAGE_CHARACTERS = 500
MAX_SOURCE_CHARACTERS = 64_000
"""Half of it took 0.1 to 0.4 s to be made a grammar of, on a busy machine: a worker's batch waits for that."""
# An object of a thousand optional properties has four thousand items in a row; errors name no text of the answer.
LIMITS = LLParserLimits(max_items_in_row=20_000, verbose_errors=False)
_ANY_OBJECT = {"type": "object"}


def grammar_of(constraint: Constraint) -> str:
    """The constraint in llguidance's own form. Raises ConstraintError for a schema that is no JSON object."""
    if constraint.kind == "grammar":
        return LLMatcher.grammar_from_lark(constraint.source)
    try:
        schema: Any = json.loads(constraint.source) if constraint.kind == "json_schema" else _ANY_OBJECT
        return LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_pattern": JSON_WHITESPACE})
    except (ValueError, TypeError, RecursionError) as error:
        raise ConstraintError(str(error)) from None


def check_constraint(constraint: Constraint) -> None:
    """Raises ConstraintError, with what is wrong, unless answers can be held to it. It needs no model."""
    if len(constraint.source) > MAX_SOURCE_CHARACTERS:
        raise ConstraintError(f"it has {len(constraint.source)} characters, of {MAX_SOURCE_CHARACTERS} at most")
    _over_bytes().start(constraint).list_allowed()


class GrammarTokenizer:
    """A model's tokens as grammars see them; for any number of threads. Making one takes 7 ms per thousand tokens."""

    def __init__(
        self, token_bytes: Sequence[bytes], end_of_turn_ids: frozenset[int], encode: Callable[[str], list[int]]
    ) -> None:
        """`token_bytes` are those of every id, none for special tokens; `encode` gives a text's ids. Without an end of
        turn no answer could be held to anything: ValueError."""
        endings = sorted(end_of_turn_ids)
        if not endings:
            raise ValueError("a grammar needs an end-of-turn token")
        self._vocabulary_tokens = len(token_bytes)
        wrapped = TokenizerWrapper(_Tokens(token_bytes, endings[0], encode))
        self._tokenizer = LLTokenizer(wrapped, n_vocab=len(token_bytes), eos_token=endings)

    def start(self, constraint: Constraint) -> "ConstraintMatcher":
        """A matcher before its first token. Raises ConstraintError."""
        return ConstraintMatcher(
            LLMatcher(self._tokenizer, grammar_of(constraint), log_level=0, limits=LIMITS), self._vocabulary_tokens
        )


class ConstraintMatcher:
    """Where one answer stands in its grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary_tokens: int) -> None:
        self._matcher, self._vocabulary_tokens = matcher, vocabulary_tokens
        self._raise_error()

    @property
    def is_complete(self) -> bool:
        """Whether nothing can follow any more."""
        return self._matcher.is_stopped()

    def list_allowed(self) -> NDArray[np.bool_]:
        """[vocabulary]: which ids may be next, an end of turn among them where the answer may end. ConstraintError if
        none may, or the grammar has become too complex."""
        try:
            bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        except ValueError as error:
            raise ConstraintError(str(error)) from None
        allowed = np.unpackbits(bits, count=self._vocabulary_tokens, bitorder="little").view(np.bool_)
        if not allowed.any():
            raise ConstraintError("no token of the vocabulary continues this answer")
        return allowed

    def accept(self, token_id: int) -> None:
        """The answer goes on with this token. Raises ConstraintError if it was not allowed."""
        if not self._matcher.consume_token(token_id):
            self._raise_error()

    def _raise_error(self) -> None:
        if self._matcher.is_error():
            # What follows is the parser's state, and the whole grammar.
            message = self._matcher.get_error().partition("\n<state>")[0]
            raise ConstraintError(" ".join(message.split())[:MESSAGE_CHARACTERS])


@cache
def _over_bytes() -> GrammarTokenizer:
    end_of_turn_id = 256
    return GrammarTokenizer(
        [bytes([byte]) for byte in range(256)] + [b""], frozenset({end_of_turn_id}), lambda text: list(text.encode())
    )


class _Tokens:
    """What llguidance reads of a tokenizer."""

    bos_token_id = None

    def __init__(self, tokens: Sequence[bytes], eos_token_id: int, encode: Callable[[str], list[int]]) -> None:
        self.tokens, self.eos_token_id, self._encode = tokens, eos_token_id, encode
        self.special_token_ids = [token_id for token_id, text in enumerate(tokens) if not text]

    def __call__(self, text: bytes | str) -> list[int]:
        return self._encode(text if isinstance(text, str) else text.decode("utf-8"))
