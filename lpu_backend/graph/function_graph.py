"""The graph of a program that is a function of its inputs alone: an encoder, or whatever torch.export gave."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from lpu_backend.graph.function_nodes import Constant, MeanTokens, TakeToken
from lpu_backend.graph.nodes import Node


@dataclass(frozen=True)
class Input:
    """What the host gives: ids [tokens] below `vocabulary`, which Embeds read, or fp32 rows [tokens, `channels`]."""

    name: str
    channels: int | None = None
    vocabulary: int | None = None


@dataclass(frozen=True)
class FunctionGraph:
    """Nodes in order, each of which reads inputs and earlier nodes, of `tokens` rows in one step.

    `parts` are scheduled one by one; of parts whose nodes differ only in numbers `layers.i.` and tensor names one is.
    A part after the first reads, besides its own values, only what the last node of the part before it gave, which
    has as many channels at every such seam. Outputs are of the last part.
    """

    name: str
    tokens: int
    inputs: tuple[Input, ...]
    parts: tuple[tuple[Node, ...], ...]
    outputs: tuple[str, ...]

    def list_nodes(self) -> Iterator[Node]:
        """All nodes in their order."""
        for part in self.parts:
            yield from part

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.list_nodes()}

    @cached_property
    def tokens_of(self) -> Mapping[str, int]:
        """How many rows each value has: those of one token are what TakeToken and MeanTokens give."""
        tokens = {each.name: self.tokens for each in self.inputs}
        for node in self.list_nodes():
            tokens[node.name] = self._count_tokens(node, tokens)
        return tokens

    def _count_tokens(self, node: Node, tokens: Mapping[str, int]) -> int:
        if isinstance(node, TakeToken | MeanTokens):
            return 1
        found = {tokens[name] for name in node.inputs if not isinstance(self.nodes.get(name), Constant)}
        if len(found) > 1:
            raise AssertionError(f"{node.name} reads values of {sorted(found)} tokens")
        return found.pop() if found else self.tokens
