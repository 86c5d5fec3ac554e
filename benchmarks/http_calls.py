"""A small HTTP/1.1 client that keeps its connection: so little work of its own that it does not measure itself."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

LIMIT_BYTES = 2**20


class CallError(Exception):
    """The connection broke before the answer was whole."""


@dataclass
class Answer:
    """Times are `time.perf_counter()`; `pieces` are the body's parts with the time at which each came."""

    status: int
    asked_s: float
    pieces: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    def json(self) -> Any:
        return json.loads(self.body)

    def list_events(self) -> Iterator[tuple[float, Any]]:
        """Server-sent events as (time, decoded data), without the closing [DONE]."""
        rest, at_s = b"", self.asked_s
        for at_s, piece in self.pieces:
            *whole, rest = (rest + piece).split(b"\n\n")
            for event in whole:
                data = event.removeprefix(b"data: ")
                if data != b"[DONE]":
                    yield at_s, json.loads(data)


class Caller:
    """One client: a call at a time, over one connection for as long as that lasts."""

    def __init__(self, url: str, key: str, path: str = "/v1/chat/completions") -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, **fields: object) -> Answer:
        """Raises CallError when the connection cannot be made or breaks."""
        body = json.dumps(fields).encode()
        try:
            return await self._call(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        except (OSError, EOFError, asyncio.IncompleteReadError, ValueError) as error:
            self.close()
            raise CallError(type(error).__name__) from error

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None

    async def _call(self, request: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=LIMIT_BYTES)
        reader, writer = self._streams
        asked_s = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        answer = Answer(int(head.split(b" ", 2)[1]), asked_s)
        if b"transfer-encoding: chunked" in head:
            await _read_chunks(reader, answer)
        else:
            length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            answer.pieces.append((time.perf_counter(), await reader.readexactly(length)))
        if b"connection: close" in head:
            self.close()
        return answer


async def _read_chunks(reader: asyncio.StreamReader, answer: Answer) -> None:
    while size := int(await reader.readline(), 16):
        piece = await reader.readexactly(size + 2)
        answer.pieces.append((time.perf_counter(), piece[:-2]))
    await reader.readline()


def percentile(values: list[float], percent: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(percent / 100 * len(ordered)))] if ordered else float("nan")
