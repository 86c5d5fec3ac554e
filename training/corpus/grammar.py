"""A small notation for text with many wordings: `<a|b>` picks one, `{slot}` is filled in, `\\n` is a line break."""

import re
from collections.abc import Mapping
from random import Random

_INNERMOST_CHOICE = re.compile(r"<([^<>]*)>")
_SLOT = re.compile(r"\{([a-z_]+)\}")
_SPACES = re.compile(r"  +")
_SPACE_BEFORE_MARK = re.compile(r" +([.,!?:;])(?=\s|$)")


def expand(pattern: str, rng: Random, slots: Mapping[str, str] | None = None) -> str:
    """One wording of `pattern`. A slot that is not given raises KeyError; a filled value is never expanded again."""
    text = pattern
    while (choice := _INNERMOST_CHOICE.search(text)) is not None:
        text = text[: choice.start()] + rng.choice(choice[1].split("|")) + text[choice.end() :]
    text = _SPACE_BEFORE_MARK.sub(r"\1", _SPACES.sub(" ", text.strip())).replace("\\n", "\n").replace("\\t", "    ")
    return _SLOT.sub(lambda slot: slots[slot[1]], text) if slots is not None else text
