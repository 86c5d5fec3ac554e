"""What an example program is checked by: inputs of its own, the outputs that plain numpy expects, and its cycles."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]
"""Arrays [rows, lanes] by the name of their region."""


@dataclass(frozen=True)
class Example:
    """The program `texts/NAME.lpu` and what it must do.

    `cycles` is the count derived by hand in the text's header. `make_inputs` draws every input region of the program;
    `expect` gives its output regions bit for bit, in plain numpy and in the program's own order of operations.
    """

    name: str
    cycles: int
    make_inputs: Callable[[np.random.Generator], dict[str, NDArray[Any]]]
    expect: Callable[[Tensors], dict[str, NDArray[Any]]]
