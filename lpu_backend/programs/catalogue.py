"""The example programs by name: texts in this package, and what each is checked by."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from lpu_backend.assembly import assemble
from lpu_backend.isa.program import Program
from lpu_backend.programs.example import Example
from lpu_backend.programs.references_mxm import MXM_EXAMPLES
from lpu_backend.programs.references_vxm import VXM_EXAMPLES

__all__ = ["EXAMPLES", "Example", "load_example"]

EXAMPLES: Mapping[str, Example] = MappingProxyType({**MXM_EXAMPLES, **VXM_EXAMPLES})

_TEXTS = Path(__file__).parent / "texts"


@cache
def load_example(name: str) -> Program:
    """The program of an example of `EXAMPLES`, for the GroqChip. KeyError for any other name."""
    example = EXAMPLES[name]
    return assemble((_TEXTS / f"{example.name}.lpu").read_text(encoding="utf-8"))
