"""Calls out of an answer's text, as it comes. A call is told once it is whole; what never becomes one stays text."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec

from lpu_backend.tool_calls.formats import ToolFormat

_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is the JSON text of an object, as the model wrote it."""

    name: str
    arguments: str


@dataclass(slots=True)
class CallReading:
    """What one piece of text made certain."""

    content: str = ""
    calls: list[ToolCall] = field(default_factory=list)


class ToolCallReader:
    """One answer's. Only functions of these names are calls."""

    def __init__(self, tool_format: ToolFormat, names: Collection[str]) -> None:
        self._format, self._names = tool_format, frozenset(names)
        self._withheld = ""
        self._is_inside = False
        self._is_plain = False
        self.calls_made = 0

    def push(self, text: str) -> CallReading:
        """More text. Blanks before a call, and what may become a marker, are held back."""
        reading = CallReading()
        self._withheld += text
        while self._read_call(reading) if self._is_inside else self._find_call(reading):
            pass
        return reading

    def finish(self) -> CallReading:
        """The end of the answer: a call that was cut off, or that is none, is text."""
        text = self._withheld
        if self._is_inside and not (self.calls_made and self._format.is_list):
            text = self._format.marker + text
        self._withheld = ""
        return CallReading("" if self.calls_made and not text.strip() else text)

    def _find_call(self, reading: CallReading) -> bool:
        """Whether a call begins in what is withheld; the text before it is released."""
        if not self._format.marker:
            return self._find_bare_call(reading)
        before, marker, after = self._withheld.partition(self._format.marker)
        if marker:
            reading.content += before.rstrip()
            self._withheld, self._is_inside = after, True
            return True
        certain = before[: len(before) - _count_possible(before, self._format.marker)].rstrip()
        reading.content += certain
        self._withheld = before[len(certain) :]
        return False

    def _find_bare_call(self, reading: CallReading) -> bool:
        beginning = self._withheld.lstrip()[:1]
        if beginning == "{" and not self._is_plain and not self.calls_made:
            self._is_inside = True
            return True
        if beginning and not self.calls_made:
            self._is_plain = True
        if self._is_plain:
            reading.content += self._withheld
            self._withheld = ""
        return False

    def _read_call(self, reading: CallReading) -> bool:
        """Whether a whole call was taken from what is withheld."""
        if self._format.is_list and self.calls_made and self._withheld.lstrip().startswith("]"):
            self._withheld, self._is_inside = self._withheld.lstrip()[1:], False
            return True
        found = self._take_object()
        if found is None:
            return False
        call, self._withheld = found
        self._is_inside = self._format.is_list
        self.calls_made += 1
        reading.calls.append(call)
        return True

    def _take_object(self) -> tuple[ToolCall, str] | None:
        """The call that comes next, and the text behind it; None as long as there is none."""
        start = len(self._withheld) - len(self._withheld.lstrip(" \n\t\r[," if self._format.is_list else None))
        if "}" not in self._withheld or self._withheld[start : start + 1] != "{":
            return None
        try:
            end = _decoder.raw_decode(self._withheld, start)[1]
        except (ValueError, RecursionError):
            return None
        call = self._parse(self._withheld[start:end])
        rest = self._withheld[end:]
        if self._format.closing:
            if not rest.lstrip().startswith(self._format.closing):
                return None
            rest = rest.lstrip().removeprefix(self._format.closing)
        return (call, rest) if call else None

    def _parse(self, text: str) -> ToolCall | None:
        """A call of a function that exists, with an object for arguments."""
        try:
            written = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            name = msgspec.json.decode(written["name"], type=str)
            arguments = bytes(written[self._format.arguments_key]).decode()
        except (msgspec.DecodeError, KeyError):
            return None
        return ToolCall(name, arguments) if name in self._names and arguments.startswith("{") else None


def _count_possible(text: str, marker: str) -> int:
    """Length of the longest ending of `text` with which the marker begins."""
    return next((n for n in range(min(len(marker) - 1, len(text)), 0, -1) if marker.startswith(text[-n:])), 0)
