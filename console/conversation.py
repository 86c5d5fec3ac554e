"""The playground's conversation lives in its page: each turn sends the earlier ones along, and nothing is stored."""

from collections.abc import Mapping
from typing import Any

from inference.types import ChatRequest, Message

USER_PREFIX = "user-"
ASSISTANT_PREFIX = "assistant-"


def build_chat(cleaned: Mapping[str, Any], posted: Mapping[str, str]) -> ChatRequest:
    """The request of a valid PlaygroundForm: system prompt, the turns that were answered, the new prompt."""
    messages = [*_list_turns(posted), Message(role="user", content=cleaned["prompt"])]
    if cleaned["system_prompt"].strip():
        messages.insert(0, Message(role="system", content=cleaned["system_prompt"]))
    return ChatRequest(
        model=cleaned["model"],
        messages=tuple(messages),
        temperature=cleaned["temperature"],
        top_p=cleaned["top_p"],
        seed=cleaned["seed"],
        max_completion_tokens=cleaned["max_completion_tokens"],
        is_stream=True,
    )


def _list_turns(posted: Mapping[str, str]) -> list[Message]:
    messages = []
    for name in posted:
        request_id = name.removeprefix(USER_PREFIX)
        answer = posted.get(f"{ASSISTANT_PREFIX}{request_id}", "")
        if name.startswith(USER_PREFIX) and answer:
            messages += [Message(role="user", content=posted[name]), Message(role="assistant", content=answer)]
    return messages
