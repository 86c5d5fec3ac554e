"""How families of models write a call. Which one a model has is found in the text of its chat template."""

from dataclasses import dataclass
from typing import NamedTuple

MAX_CALLS = 128


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """One way to write calls.

    `marker` begins a call, or a list of calls; without one, an answer that begins with `{` is a call. `closing` ends
    each. The grammars are llguidance's Lark, with `object` for one call's JSON: `forced` is calls and nothing else,
    `free` any text with calls in it, and `_once` the same with one call at most.
    """

    name: str
    marker: str
    closing: str
    arguments_key: str
    forced: str
    forced_once: str
    free: str
    free_once: str
    is_list: bool = False
    call_id_characters: int | None = None


_TEXT = "text: /(\\n|.)*/\n"
# What ends a text is found lazily: at its first marker.
_HERMES = 'call: "\\n" object "\\n</tool_call>"\nhead[lazy]: /(\\n|.)*<tool_call>/\n' + _TEXT
_HERMES_FORCED = 'call: "<tool_call>\\n" object "\\n</tool_call>"\n'
_MISTRAL = 'calls: " "? "[" objects "]"\nhead[lazy]: /(\\n|.)*\\[TOOL_CALLS\\]/\n' + _TEXT
_MISTRAL_MANY = f'objects: object (", " object){{0,{MAX_CALLS - 1}}}\n' + _MISTRAL
_MISTRAL_ONCE = "objects: object\n" + _MISTRAL
_LLAMA_FREE = "start: object | text\ntext: /([^{\\s](\\n|.)*)?/\n"

# NousResearch's Hermes 2 Pro, Qwen 2.5 and Qwen 3.
HERMES = ToolFormat(
    name="hermes",
    marker="<tool_call>",
    closing="</tool_call>",
    arguments_key="arguments",
    forced=f'start: call ("\\n" call){{0,{MAX_CALLS - 1}}}\n' + _HERMES_FORCED,
    forced_once="start: call\n" + _HERMES_FORCED,
    free="start: (head call)* text\n" + _HERMES,
    free_once="start: text | head call\n" + _HERMES,
)
# Llama 3.1 to 3.3: its template takes one call a message.
LLAMA = ToolFormat(
    name="llama",
    marker="",
    closing="",
    arguments_key="parameters",
    forced="start: object\n",
    forced_once="start: object\n",
    free=_LLAMA_FREE,
    free_once=_LLAMA_FREE,
)
# Mistral 7B Instruct v0.3 to Mistral Small 2409: its template wants ids of nine letters and digits.
MISTRAL = ToolFormat(
    name="mistral",
    marker="[TOOL_CALLS]",
    closing="",
    arguments_key="arguments",
    forced='start: "[TOOL_CALLS]" calls\n' + _MISTRAL_MANY,
    forced_once='start: "[TOOL_CALLS]" calls\n' + _MISTRAL_ONCE,
    free="start: text | head calls\n" + _MISTRAL_MANY,
    free_once="start: text | head calls\n" + _MISTRAL_ONCE,
    is_list=True,
    call_id_characters=9,
)

MARKERS = frozenset(marker for each in (HERMES, MISTRAL) for marker in (each.marker, each.closing) if marker)
"""Tokens that are part of an answer's text although some tokenizers call them special."""


class TemplateTools(NamedTuple):
    """The format of a model's calls, and whether its chat template shows tools itself."""

    format: ToolFormat
    is_native: bool


def find_tool_format(template: str) -> TemplateTools:
    """From a chat template's text. Hermes' format, explained in a system message, where the template knows none."""
    if "tools" in template:
        if "<tool_call>" in template and "<function=" not in template:
            return TemplateTools(HERMES, is_native=True)
        if "[TOOL_CALLS]" in template and "[ARGS]" not in template:
            return TemplateTools(MISTRAL, is_native=True)
        if '"parameters": dictionary' in template or ('"parameters": ' in template and "ipython" in template):
            return TemplateTools(LLAMA, is_native=True)
    return TemplateTools(HERMES, is_native=False)
