"""The training corpus: conversations drawn from grammars written by hand for it, a pure function of the seed."""

from training.corpus.generation import generate_conversations

__all__ = ["generate_conversations"]
