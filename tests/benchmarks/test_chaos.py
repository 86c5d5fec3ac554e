"""The judge of the chaos script: it must see every lie, or what it proves is worth nothing."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from books import Books
from chaos import Evidence, Question, Reply, compare_memory, judge, read_reply
from http_calls import Answer, Caller, CallError, percentile

QUESTION = Question("lpu-demo", "Hello", 1, 0.0, 20)
EXPECTED = Reply(("one two three",), ("stop",))
GOOD = {
    "active_jobs": 0,
    "completed_jobs": 3,
    "failed_jobs": 1,
    "billed_jobs": 3,
    "usage_entries": 3,
    "requests_in_usage_entries": 3,
    "checks": 1,
    "checks_that_differ": 0,
    "held_pusd": 0,
    "usage_pusd": 5,
    "ledger_pusd": 5,
    "differences": 0,
}
MEBIBYTE = 2**20


def events(*bodies: object, has_end: bool = True) -> Answer:
    parts = [b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies]
    parts += [b"data: [DONE]\n\n"] if has_end else []
    whole = b"".join(parts)
    # Cut where no event ends.
    return Answer(200, 0.0, [(1.0, whole[:7]), (2.0, whole[7:])])


def delta(text: str, finish_reason: str | None = None, index: int = 0) -> dict[str, object]:
    return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish_reason}]}


def test_a_whole_stream_is_the_expected_answer() -> None:
    reply = read_reply(events(delta("one "), delta("two three"), delta("", "stop")), is_stream=True)
    assert judge(QUESTION, reply, EXPECTED) == ""


def test_choices_that_take_turns_in_a_stream_are_told_apart() -> None:
    parts = (delta("one"), delta("un", index=1), delta("", "stop"), delta("", "length", index=1))
    assert read_reply(events(*parts), is_stream=True) == Reply(("one", "un"), ("stop", "length"))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(("one two four",), ("stop",)),
        Reply(("one two",), ("stop",)),
        Reply(("one two three",), ("length",)),
        Reply(("one two three",) * 2, ("stop",) * 2),
        Reply((), ()),
        Reply(("two",), error="error in the stream"),
    ],
)
def test_it_refuses_any_other_answer(reply: Reply) -> None:
    assert judge(QUESTION, reply, EXPECTED)


def test_a_clear_error_after_the_beginning_of_the_text_is_allowed() -> None:
    error = {"choices": [], "x_groq": {"error": "engine_fault"}}
    reply = read_reply(events(delta("one "), error, has_end=False), is_stream=True)
    assert reply.error
    assert judge(QUESTION, reply, EXPECTED) == ""


def test_it_refuses_a_stream_that_just_stops() -> None:
    with pytest.raises(ValueError, match="without"):
        read_reply(events(delta("one two three"), has_end=False), is_stream=True)


def test_it_refuses_an_error_without_an_envelope() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        read_reply(Answer(500, 0.0, [(1.0, b"<html>")]), is_stream=False)


def test_a_broken_connection_is_excused_by_the_death_of_the_web_process_alone() -> None:
    evidence = Evidence(kills=[(10.0, "worker-1"), (50.0, "web")])
    assert not evidence.had_no_web(9.0, 11.0)
    assert not evidence.had_no_web(40.0, 49.0)
    assert evidence.had_no_web(49.0, 51.0)
    assert evidence.had_no_web(55.0, 56.0)
    assert not evidence.had_no_web(80.0, 90.0)


def test_a_pause_in_a_stream_is_told_with_what_was_killed() -> None:
    evidence = Evidence(kills=[(10.0, "worker-1"), (50.0, "web")])
    evidence.note_pauses(Answer(200, 8.0, [(9.5, b""), (9.6, b""), (13.0, b"")]))
    assert [(round(pause_s, 1), killed) for pause_s, killed in evidence.pauses] == [(3.4, "worker-1")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("active_jobs", 1),
        ("held_pusd", 1),
        ("ledger_pusd", 6),
        ("usage_entries", 4),
        ("requests_in_usage_entries", 2),
        ("billed_jobs", 2),
        ("checks_that_differ", 1),
        ("differences", 1),
    ],
)
def test_it_refuses_books_that_do_not_agree(name: str, value: int) -> None:
    assert Books(**GOOD).list_violations() == []
    assert Books(**(GOOD | {name: value})).list_violations()


@pytest.mark.parametrize(("growth", "has_grown"), [(0, False), (10, False), (200, True)])
def test_memory_that_grows_is_found(growth: int, has_grown: bool) -> None:
    sizes = [(share / 100, (100 + growth * share // 100) * MEBIBYTE) for share in range(101)]
    [(name, _, _, is_so)] = compare_memory({"web": sizes})
    assert (name, is_so) == ("web", has_grown)


async def call_server(respond: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> Answer:
    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        caller = Caller(f"http://127.0.0.1:{port}", "key")
        try:
            return await caller.call(model="null-16")
        finally:
            caller.close()


async def test_the_client_reads_chunks() -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    answer = await call_server(respond)
    assert (answer.status, answer.body, len(answer.pieces)) == (200, b"abc0123456789", 2)


async def test_the_client_tells_an_answer_that_was_cut_off() -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        writer.close()

    with pytest.raises(CallError):
        await call_server(respond)


def test_percentiles_are_values_that_were_seen() -> None:
    assert [percentile([3.0, 1.0, 2.0], percent) for percent in (0, 50, 100)] == [1.0, 2.0, 3.0]
