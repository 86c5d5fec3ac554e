"""What one training document is: a conversation, and how it looks to the model."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]

BEGIN = "<|begin|>"
END = "<|end|>"
PAD = "<|pad|>"
ROLE_TOKENS: dict[Role, str] = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
SPECIAL_TOKENS = (PAD, BEGIN, END, *ROLE_TOKENS.values())

# The same layout as `Conversation.render`, for whoever serves the model; a test holds the two together.
CHAT_TEMPLATE = (
    "{{ '<|begin|>' }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + (message['content'] | trim) + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str

    def render(self) -> str:
        return f"{ROLE_TOKENS[self.role]}{self.content}{END}"


@dataclass(frozen=True)
class Conversation:
    """An optional system turn, then user and assistant turns in alternation."""

    turns: tuple[Turn, ...]

    def render(self) -> str:
        """The document as text, special tokens included; it always ends in an end of turn."""
        return BEGIN + "".join(turn.render() for turn in self.turns)
