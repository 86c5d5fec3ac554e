"""A question and its answer, before they become turns of a conversation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Exchange:
    """`short` is the bare fact, where the answer has one: it serves "in one word" and "in JSON" requests."""

    question: str
    answer: str
    short: str | None = None
