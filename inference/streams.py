"""A job in Redis: its prompt, its stream of tokens, its cancel mark. Every payload is sealed (see payloads)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.conf import settings

from inference.exceptions import ProgramChangedError
from inference.generations import generation_key
from inference.payloads import StreamEntry, StreamToken, open_entry, seal_payload
from inference.redis_clients import get_redis, redis_key

FIELD, ENDING = b"e", b"end"  # an entry's tokens, none in the last one; that one's ending, if its worker knew it


def stream_key(request_id: str) -> str:
    return redis_key("job", request_id, "stream")


def cancel_key(request_id: str) -> str:
    return redis_key("job", request_id, "cancel")


def prompt_key(request_id: str) -> str:
    return redis_key("job", request_id, "prompt")


def has_prompt(request_id: str) -> bool:
    return bool(get_redis().exists(prompt_key(request_id)))


class Written(NamedTuple):
    """What goes into one entry of a job's stream: consecutive tokens of each of its choices."""

    request_id: str
    key: bytes
    program_hash: str
    deployment_id: int
    tokens: Sequence[StreamToken]


class Signals(NamedTuple):
    """What a worker learns with every write: that the client is gone, and the number of its deployment's placement (0
    if Redis does not know it)."""

    is_cancelled: bool
    generation: int


def write_entries(entries: Sequence[Written]) -> list[Signals]:
    """Appends to many streams in one round trip, and brings back what changed for each job."""
    pipeline = get_redis().pipeline(transaction=False)
    for entry in entries:
        if not entry.tokens:
            continue
        key = stream_key(entry.request_id)
        payload = StreamEntry(program_hash=entry.program_hash, tokens=list(entry.tokens))
        pipeline.xadd(key, {FIELD: seal_payload(entry.key, entry.request_id, payload)})
        if entry.tokens[0].index == 0:
            pipeline.expire(key, 2 * settings.JOB_DEADLINE_S)
    deployments = sorted({entry.deployment_id for entry in entries})
    marks = [cancel_key(entry.request_id) for entry in entries]
    pipeline.mget(marks + [generation_key(deployment_id) for deployment_id in deployments])
    found: list[bytes | None] = pipeline.execute()[-1]
    numbers = dict(zip(deployments, found[len(marks) :], strict=True))
    return [
        Signals(mark is not None, int(numbers[entry.deployment_id] or 0))
        for entry, mark in zip(entries, found, strict=False)
    ]


def read_tokens(*, request_id: str, key: bytes, program_hash: str) -> list[StreamToken]:
    """The tokens that earlier workers wrote, in the order of each choice; each once, though two may have written it.

    Raises ProgramChangedError if another program made them: its next ones would not be the same.
    """
    entries: Any = get_redis().xrange(stream_key(request_id))
    tokens: dict[tuple[int, int], StreamToken] = {}
    for _, fields in entries:
        if not fields.get(FIELD):
            continue
        entry = open_entry(key, request_id, fields[FIELD])
        if entry.program_hash != program_hash:
            raise ProgramChangedError(f"The stream of {request_id} was begun by another program.")
        tokens |= {(token.choice, token.index): token for token in entry.tokens}
    return [tokens[place] for place in sorted(tokens)]
