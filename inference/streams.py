"""A job in Redis: its prompt, its stream of tokens, its cancel mark. Every payload is sealed (see payloads)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.conf import settings
from redis import Redis

from inference.exceptions import ProgramChangedError
from inference.generations import generation_key
from inference.payloads import (
    PayloadError,
    PromptPayload,
    StreamEntry,
    StreamToken,
    open_entry,
    open_prompt,
    seal_payload,
)
from inference.redis_clients import get_redis, redis_key

FIELD = b"e"
AFTER_END_S = 60  # how long a reader may still fetch an ended stream


def stream_key(request_id: str) -> str:
    return redis_key("job", request_id, "stream")


def cancel_key(request_id: str) -> str:
    return redis_key("job", request_id, "cancel")


def prompt_key(request_id: str) -> str:
    return redis_key("job", request_id, "prompt")


def put_prompt(*, request_id: str, key: bytes, payload: PromptPayload) -> None:
    sealed = seal_payload(key, request_id, payload)
    get_redis().set(prompt_key(request_id), sealed, ex=2 * settings.JOB_DEADLINE_S)


def get_prompt(*, request_id: str, key: bytes) -> PromptPayload:
    """Raises PayloadError when the prompt is gone."""
    sealed = get_redis().get(prompt_key(request_id))
    if not isinstance(sealed, bytes):
        raise PayloadError(f"The prompt of {request_id} is gone.")
    return open_prompt(key, request_id, sealed)


def is_cancelled(request_id: str) -> bool:
    return bool(get_redis().exists(cancel_key(request_id)))


def end_stream(*, request_id: str) -> None:
    """Tells the reader that the job was settled; the ending itself is in the job's row, which alone is believed."""
    pipeline = get_redis().pipeline(transaction=False)
    pipeline.xadd(stream_key(request_id), {FIELD: b""})
    pipeline.expire(stream_key(request_id), AFTER_END_S)
    pipeline.delete(prompt_key(request_id), cancel_key(request_id))
    pipeline.execute()


class Signals(NamedTuple):
    """What a worker learns with every write: that the client is gone, and the number of its deployment's placement (0
    if Redis does not know it)."""

    is_cancelled: bool
    generation: int


class StreamWriter:
    """Appends tokens to a job's stream, goes on where an earlier worker stopped, and brings back what changed.

    Raises ProgramChangedError if the stream was begun by another program: its tokens would not be the same.
    """

    def __init__(self, *, request_id: str, key: bytes, program_hash: str, deployment_id: int | None = None) -> None:
        self._generation_key = generation_key(deployment_id or 0)
        self._request_id = request_id
        self._key = key
        self._program_hash = program_hash
        self._redis: Redis = get_redis()
        self.next_index = self._find_next_index()

    def write_tokens(self, tokens: Sequence[StreamToken]) -> Signals:
        """One round trip: appends the tokens, renews nothing."""
        entry = StreamEntry(program_hash=self._program_hash, tokens=list(tokens))
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xadd(stream_key(self._request_id), {FIELD: seal_payload(self._key, self._request_id, entry)})
        if tokens[0].index == 0:
            pipeline.expire(stream_key(self._request_id), 2 * settings.JOB_DEADLINE_S)
        pipeline.exists(cancel_key(self._request_id))
        pipeline.get(self._generation_key)
        self.next_index = tokens[-1].index + 1
        *_, is_cancelled, generation = pipeline.execute()
        return Signals(bool(is_cancelled), int(generation or 0))

    def _find_next_index(self) -> int:
        last: Any = self._redis.xrevrange(stream_key(self._request_id), count=1)
        if not last or not last[0][1][FIELD]:
            return 0
        entry = open_entry(self._key, self._request_id, last[0][1][FIELD])
        if entry.program_hash != self._program_hash:
            raise ProgramChangedError(f"The stream of {self._request_id} was begun by another program.")
        return entry.tokens[-1].index + 1
