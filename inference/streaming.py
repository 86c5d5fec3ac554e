"""Reading a job's stream: tokens as they come, then the ending from the job's row. Leaving early cancels the job."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.utils.crypto import salted_hmac

from inference.database import on_database
from inference.payloads import PayloadError, open_entry
from inference.redis_clients import get_async_redis, get_stream_redis
from inference.selectors import get_ending
from inference.streams import FIELD, cancel_key, stream_key
from inference.types import EndEvent, JobEvent, JobHandle, TokenEvent

BLOCK_MS = 2_000
HANDLE_TTL_S = 300


async def relay_job(handle: JobHandle) -> AsyncGenerator[JobEvent, None]:
    """The job's tokens in order, each once, then one EndEvent.

    Whoever stops reading before the end (a client that went away) cancels the job; what was made until then is billed.
    """
    has_ended = False
    try:
        next_index = 0
        async for event in _read_stream(handle):
            if isinstance(event, EndEvent):
                has_ended = True
                yield _check_whole(event, next_index)
                return
            # After a takeover two workers may have appended the same token: the same index is the same token.
            if event.index == next_index:
                next_index += 1
                yield event
    finally:
        if not has_ended:
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
    redis, key, last = get_stream_redis(), stream_key(handle.request_id), b"0"
    while True:
        answer: Any = await redis.xread({key: last}, block=BLOCK_MS)
        entries = answer[0][1] if answer else []
        for entry_id, fields in entries:
            last, sealed = entry_id, fields[FIELD]
            if not sealed:
                break
            for event in _open_tokens(handle, sealed):
                yield event
        else:
            # Silence may mean that the ending was written while Redis was away: the row knows.
            if entries or not await _has_ended(handle):
                continue
        yield await _get_ending(handle)
        return


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
