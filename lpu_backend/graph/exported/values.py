"""What the values of a torch program are while it is read."""

from dataclasses import dataclass
from typing import Any, Literal

from lpu_backend.graph.exported.views import View


class RefusalError(Exception):
    """Why one operation cannot be had; the reader adds which it is."""


@dataclass(frozen=True)
class Known:
    """A torch tensor that depends on no input; `name` if it is a parameter or buffer."""

    tensor: Any
    name: str | None = None


@dataclass(frozen=True)
class Ids:
    """An input of token ids."""

    name: str


@dataclass(frozen=True)
class Rows:
    """The graph's value `name`, seen as `view`."""

    name: str
    view: View


@dataclass(frozen=True)
class Statistic:
    """On the way to an RMSNorm: squares of a value, their mean, one over the root of that + epsilon."""

    stage: Literal["squares", "mean", "root"]
    source: Rows
    epsilon: float = 0.0


@dataclass(frozen=True)
class Scores:
    """Queries by keys, of attention that is written out; weights once `is_softmax`. `mask` [tokens, tokens]."""

    query: str
    key: str
    heads: int
    kv_heads: int
    head_dim: int
    tokens: int
    scale: float
    mask: Any = None
    is_softmax: bool = False


@dataclass(frozen=True)
class ScoreTest:
    """What torch asks of scores so that rows which are hidden whole give 0 and not NaN."""


@dataclass(frozen=True)
class Pieces:
    """Several results of one operation."""

    pieces: tuple[Any, ...]


@dataclass(frozen=True)
class Unknown:
    """The result of what was refused: nothing that follows from it is refused again."""


Value = Known | Ids | Rows | Statistic | Scores | ScoreTest | Pieces | Unknown
