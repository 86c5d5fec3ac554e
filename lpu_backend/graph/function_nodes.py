"""Nodes of programs without a cache: layer norms, element-wise functions, attention within the step's own tokens.

As in `nodes.py` every value is fp32 [tokens, channels]; `docs/numerics.md` says what each is, bit for bit.
"""

from dataclasses import dataclass
from typing import Literal

Function = Literal["gelu", "gelu_tanh", "silu", "relu", "tanh", "sigmoid", "exp", "rsqrt"]
"""Of each element. gelu is x times the normal distribution's integral, gelu_tanh its published approximation."""


@dataclass(frozen=True)
class Constant:
    """`tensor` as rows of `channels`, of which [`rows`) are meant: one a token, or a single one for all tokens."""

    name: str
    tensor: str
    channels: int
    rows: tuple[int, int]
    inputs: tuple[str, ...] = ()

    @property
    def is_common(self) -> bool:
        """Whether all tokens have the same."""
        return self.rows[1] - self.rows[0] == 1


@dataclass(frozen=True)
class LayerNorm:
    """(x - mean) / sqrt(variance + epsilon) times weight plus bias, over all channels. None for 1 and for 0."""

    name: str
    inputs: tuple[str]
    channels: int
    weight: str | None
    bias: str | None
    epsilon: float


@dataclass(frozen=True)
class Activate:
    """`function` of each element."""

    name: str
    inputs: tuple[str]
    channels: int
    function: Function


@dataclass(frozen=True)
class Affine:
    """x * `factor` + `offset`, both rounded to fp32; a factor of 1 and an offset of 0 are left out."""

    name: str
    inputs: tuple[str]
    channels: int
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Multiply:
    """The product of two values, element by element."""

    name: str
    inputs: tuple[str, str]
    channels: int


@dataclass(frozen=True)
class Subtract:
    """The first value less the second."""

    name: str
    inputs: tuple[str, str]
    channels: int


@dataclass(frozen=True)
class Softmax:
    """exp(x) over its sum, over all channels."""

    name: str
    inputs: tuple[str]
    channels: int


@dataclass(frozen=True)
class SelfAttend:
    """Attention of `inputs` query, key, value among the tokens of the step: no cache is read or written.

    Scores are q . k * `scale`, plus the tensor `mask` [tokens, tokens] (query, key) if given; a causal one hides what
    follows the query. Query head h uses key head h // (query_heads / kv_heads).
    """

    name: str
    inputs: tuple[str, str, str]
    query_heads: int
    kv_heads: int
    head_dim: int
    scale: float
    causal: bool = False
    mask: str | None = None

    @property
    def channels(self) -> int:
        return self.query_heads * self.head_dim


@dataclass(frozen=True)
class TakeToken:
    """The row of one token: a value of one token."""

    name: str
    inputs: tuple[str]
    channels: int
    token: int


@dataclass(frozen=True)
class MeanTokens:
    """The mean over all tokens: a value of one token."""

    name: str
    inputs: tuple[str]
    channels: int


FunctionNode = (
    Constant | LayerNorm | Activate | Affine | Multiply | Subtract | Softmax | SelfAttend | TakeToken | MeanTokens
)
