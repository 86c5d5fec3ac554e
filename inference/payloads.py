"""What travels through Redis, sealed with a key per job: prompts on the way in, tokens and the ending on the way out.

AES-256-GCM with a random 96-bit nonce; the request id is authenticated with it, so that no entry can pass for another
job's. The key lives in the job's row until settlement and is then cleared: nothing left in Redis, nor in a log of its
writes, can be read after that.
"""

import os
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from inference.types import EndEvent
from lpu_backend import Constraint

NONCE_BYTES = 12


class PayloadError(Exception):
    """A payload that is missing, or that its key does not open."""


class PromptPayload(msgspec.Struct, frozen=True, array_like=True):
    """What the worker needs beside the job's row."""

    prompt_ids: list[int]
    stop: list[str]
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: list[tuple[int, float]] = []
    top_logprobs: int | None = None
    constraint: Constraint | None = None


class StreamToken(msgspec.Struct, frozen=True, array_like=True):
    """One token of one choice; `logprobs` is its entry in the API's list, and there only if it was asked for."""

    index: int
    text: str
    token_id: int = 0
    choice: int = 0
    finish_reason: str = ""
    logprobs: dict[str, Any] | None = None


class StreamEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of a job's stream: consecutive tokens, and the program that made them."""

    program_hash: str = ""
    tokens: list[StreamToken] = []


_prompts = msgspec.msgpack.Decoder(PromptPayload)
_entries = msgspec.msgpack.Decoder(StreamEntry)
_endings = msgspec.msgpack.Decoder(EndEvent)


def new_payload_key() -> bytes:
    return AESGCM.generate_key(bit_length=256)


def seal_payload(key: bytes, request_id: str, payload: PromptPayload | StreamEntry | EndEvent) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, msgspec.msgpack.encode(payload), request_id.encode())


def open_prompt(key: bytes, request_id: str, sealed: bytes) -> PromptPayload:
    return _prompts.decode(_open(key, request_id, sealed))


def open_entry(key: bytes, request_id: str, sealed: bytes) -> StreamEntry:
    return _entries.decode(_open(key, request_id, sealed))


def open_ending(key: bytes, request_id: str, sealed: bytes) -> EndEvent:
    return _endings.decode(_open(key, request_id, sealed))


def _open(key: bytes, request_id: str, sealed: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], request_id.encode())
    except (InvalidTag, ValueError):  # a value too short to hold nonce and tag
        raise PayloadError(f"The payload of {request_id} cannot be opened.") from None
