"""Reading a job's stream: tokens as they come, then the ending from the job's row. Leaving early cancels the job."""

import asyncio
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.utils.crypto import salted_hmac
from redis.exceptions import RedisError

from inference.database import on_database
from inference.payloads import PayloadError, open_ending, open_entry
from inference.redis_clients import get_async_redis, get_stream_redis
from inference.selectors import get_ending
from inference.streams import ENDING, FIELD, cancel_key, stream_key
from inference.types import EndEvent, JobEvent, JobHandle, TokenEvent

BLOCK_MS = 2_000
RETRY_S = 0.1
OUTAGE_S = 30  # after which a reader gives up on a Redis that does not answer
HANDLE_TTL_S = 300


async def relay_job(handle: JobHandle) -> AsyncGenerator[JobEvent, None]:
    """The job's tokens, those of each choice in order and each once, then one EndEvent.

    Whoever stops reading before the end (a client that went away) cancels the job; what was made until then is billed.
    """
    has_ended = False
    try:
        read: Counter[int] = Counter()  # tokens, by choice
        async for event in _read_stream(handle):
            if isinstance(event, EndEvent):
                has_ended = True
                yield _check_whole(event, read.total())
                return
            # After a takeover two workers may have appended the same token: the same index is the same token.
            if event.index == read[event.choice]:
                read[event.choice] += 1
                yield event
    finally:
        if not has_ended:
            with suppress(RedisError):
                await asyncio.shield(asyncio.ensure_future(cancel_reading(handle.request_id)))


async def cancel_reading(request_id: str) -> None:
    """Marks a job as cancelled; its worker sees the mark with the next token."""
    await get_async_redis().set(cancel_key(request_id), b"1", ex=settings.JOB_DEADLINE_S)


def seal_handle(handle: JobHandle, *, organization_id: str) -> str:
    """A handle as text for a page's own stream address: sealed, short-lived, of use to its organization alone."""
    return _fernet(organization_id).encrypt(msgspec.json.encode(handle)).decode()


def open_handle(token: str, *, organization_id: str) -> JobHandle | None:
    try:
        content = _fernet(organization_id).decrypt(token.encode(), ttl=HANDLE_TTL_S)
    except InvalidToken:
        return None
    return msgspec.json.decode(content, type=JobHandle)


def _fernet(organization_id: str) -> Fernet:
    secret = salted_hmac("inference.streaming.handle", organization_id, algorithm="sha256").digest()
    return Fernet(urlsafe_b64encode(secret))


async def _read_stream(handle: JobHandle) -> AsyncGenerator[JobEvent, None]:
    last = b"0"
    while True:
        entries = await _read_entries(stream_key(handle.request_id), last)
        for entry_id, fields in entries:
            last, sealed = entry_id, fields[FIELD]
            if not sealed:
                yield await _open_ending(handle, fields.get(ENDING, b""))
                return
            for event in _open_tokens(handle, sealed):
                yield event
        # Silence may mean that the ending was written while Redis was away: the row knows.
        if not entries and await _has_ended(handle):
            yield await _get_ending(handle)
            return


async def _read_entries(key: str, last: bytes) -> Any:
    """Entries after `last`, none after two seconds without any. Waits for a Redis that is being restarted."""
    give_up_s = time.monotonic() + OUTAGE_S
    while True:
        try:
            answer: Any = await get_stream_redis().xread({key: last}, block=BLOCK_MS)
        except RedisError:
            if time.monotonic() > give_up_s:
                raise
            await asyncio.sleep(RETRY_S)
        else:
            return answer[0][1] if answer else []


async def _open_ending(handle: JobHandle, sealed: bytes) -> EndEvent:
    """What the worker that settled the job read of its row; else the row itself."""
    try:
        return open_ending(handle.payload_key, handle.request_id, sealed)
    except PayloadError:
        return await _get_ending(handle)


def _open_tokens(handle: JobHandle, sealed: bytes) -> list[TokenEvent]:
    try:
        entry = open_entry(handle.payload_key, handle.request_id, sealed)
    except PayloadError:
        return []
    return [
        TokenEvent(token.index, token.text, entry.program_hash, token.choice, token.finish_reason, token.logprobs)
        for token in entry.tokens
    ]


async def _has_ended(handle: JobHandle) -> bool:
    return await on_database(get_ending, handle.request_id) is not None


async def _get_ending(handle: JobHandle) -> EndEvent:
    ending = await on_database(get_ending, handle.request_id)
    if ending is None:
        raise RuntimeError(f"Job {handle.request_id} announced an end that its row does not know.")
    return ending


def _check_whole(event: EndEvent, tokens_read: int) -> EndEvent:
    """An ending whose tokens did not all arrive is a fault, not a shorter answer."""
    if event.error_code or event.state == "cancelled" or event.completion_tokens == tokens_read:
        return event
    return replace(event, error_code="engine_fault")
