"""What any gateway's path is measured against: an ASGI application that answers every chat completion with one body."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
ANSWER = {
    "id": "chatcmpl-fixed",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "null-16",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "".join(f" tok{index:02d}" for index in range(16))},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 16, "total_tokens": 21},
}
BODY = json.dumps(ANSWER).encode()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Reads the request to its end, parses it, and answers."""
    body, is_whole = b"", False
    while not is_whole:
        message = await receive()
        body += message.get("body", b"")
        is_whole = not message.get("more_body", False)
    json.loads(body or b"{}")
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
