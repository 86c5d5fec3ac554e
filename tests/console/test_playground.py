"""The playground over HTTP: real server, queue and worker, and a client that reads events as a browser would."""

import re
from collections.abc import AsyncIterator, Iterator
from html import unescape

import httpx
import pytest
from django.test import Client
from redis.exceptions import RedisError

from accounts.models import Organization, User
from billing.models import Balance
from billing.selectors import get_funds
from console.views import answers
from inference.models import Job
from inference.types import JobEvent, JobHandle, TokenEvent
from tests.console.conftest import BACKEND
from tests.console.pages import text_of
from tests.console.test_sse import read_data
from tests.serving import NULL, wait_for_end

TURN = {"model": NULL, "prompt": "Hello <b>", "temperature": "1", "top_p": "1"}


class Visitor:
    """Somebody signed in, with the playground open."""

    def __init__(self, user: User, url: str) -> None:
        signing_in = Client()
        signing_in.force_login(user, backend=BACKEND)
        cookies = {name: morsel.value for name, morsel in signing_in.cookies.items()}
        self.http = httpx.Client(base_url=url, cookies=cookies, timeout=30)
        page = self.http.get("/playground").text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert token is not None
        self.token = token.group(1)

    def post(self, path: str, **fields: str) -> httpx.Response:
        return self.http.post(path, data={"csrfmiddlewaretoken": self.token, **fields})

    def ask(self, **fields: str) -> str:
        """The address of the stream of a turn."""
        response = self.post("/playground/answers", **TURN | fields)
        found = re.search(r'sse-connect="([^"]+)"', response.text)
        assert found is not None, response.text
        return found.group(1)


def read_events(response: httpx.Response) -> Iterator[tuple[str, str]]:
    """Name and data of each event."""
    buffer = ""
    for text in response.iter_text():
        buffer += text
        *events, buffer = buffer.split("\n\n")
        for event in events:
            yield event.split("\n")[0].removeprefix("event: "), read_data(event.encode())


@pytest.fixture
def visitor(organization: Organization, user: User, worker_pulse: None, server: str) -> Iterator[Visitor]:
    visitor = Visitor(user, server)
    yield visitor
    visitor.http.close()


def read_all(visitor: Visitor, address: str) -> list[tuple[str, str]]:
    with visitor.http.stream("GET", address) as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert "no-store" in response.headers["cache-control"]
        return list(read_events(response))


def test_an_answer_streams_token_by_token_and_ends_with_its_figures(visitor: Visitor) -> None:
    events = read_all(visitor, visitor.ask(seed="42"))
    names = [name for name, _ in events]
    assert names.count("token") == 16
    assert names[-2:] == ["figures", "done"]
    figures = unescape(events[-2][1])
    job = Job.objects.get()
    assert re.search(r'data-testid="ttft">[\d.,]+ ms<', figures)
    assert 'data-testid="completion-tokens">16<' in figures
    assert "<dt>Seed</dt><dd>42</dd>" in " ".join(figures.split())
    assert "Emulated hardware: an estimate" in figures
    assert (job.source, job.state, job.api_key) == ("playground", "completed", None)


def test_the_prompt_is_shown_as_text(visitor: Visitor) -> None:
    response = visitor.post("/playground/answers", **TURN)
    assert "<p>Hello &lt;b&gt;</p>" in response.text


def test_the_next_turn_sends_the_answered_ones_along(visitor: Visitor) -> None:
    read_all(visitor, visitor.ask())
    first = Job.objects.get()
    earlier = {f"user-{first.pk}": "Hello", f"assistant-{first.pk}": "tok00", "user-req_unanswered": "not sent"}
    read_all(visitor, visitor.ask(**earlier))
    alone, with_earlier = Job.objects.order_by("created_at")
    assert with_earlier.prompt_tokens > alone.prompt_tokens


def test_closing_the_page_cancels_the_job(visitor: Visitor, slow_null_model: None) -> None:
    with visitor.http.stream("GET", visitor.ask()) as response:
        for name, _ in read_events(response):
            if name == "token":
                break
    job = wait_for_end(Job.objects.get().pk)
    assert job.state == Job.State.CANCELLED
    assert 1 <= job.completion_tokens < 16
    assert get_funds(job.organization_id).held_pusd == 0


def test_stopping_ends_the_stream_with_what_was_made(visitor: Visitor, slow_null_model: None) -> None:
    address = visitor.ask()
    with visitor.http.stream("GET", address) as response:
        events = read_events(response)
        assert next(name for name, _ in events if name == "token")
        assert visitor.post(address.replace("/stream", "/stop")).status_code == 204
        rest = list(events)
    assert rest[-1] == ("done", "done")
    assert "<dt>Ended by</dt><dd>you</dd>" in rest[-2][1]
    assert Job.objects.get().completion_tokens < 16


def test_a_fault_is_told_in_place_and_not_billed(visitor: Visitor, broken_null_model: None) -> None:
    events = read_all(visitor, visitor.ask())
    assert "Nothing was billed" in events[-2][1]
    assert get_funds(Job.objects.get().organization_id).balance_pusd == 10**12


def test_a_reader_who_lost_the_connection_gets_only_the_rest(visitor: Visitor) -> None:
    address = visitor.ask()
    read_all(visitor, address)
    with visitor.http.stream("GET", address, headers={"last-event-id": "12"}) as response:
        tokens = [data for name, data in read_events(response) if name == "token"]
    assert len(tokens) == 3


def test_another_organization_can_neither_read_nor_stop_it(visitor: Visitor, neighbour: Organization) -> None:
    address = visitor.ask()
    owner = User.objects.get(memberships__organization=neighbour)
    stranger = Visitor(owner, str(visitor.http.base_url))
    assert stranger.http.get(address).status_code == 404
    assert stranger.post(address.replace("/stream", "/stop")).status_code == 404
    stranger.http.close()


def test_a_visitor_cannot_read_it(visitor: Visitor) -> None:
    assert httpx.get(f"{visitor.http.base_url}{visitor.ask()}").status_code == 302


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"temperature": "3"}, "Temperature: Ensure this value is less than or equal to 2."),
        ({"prompt": " "}, "Message: This field is required."),
        ({"model": "gpt-9"}, "Model: Select a valid choice."),
        ({"prompt": "word " * 140_000}, "maximum context length"),
    ],
)
def test_a_refusal_is_told_in_place(visitor: Visitor, fields: dict[str, str], told: str) -> None:
    response = visitor.post("/playground/answers", **TURN | fields)
    assert response.status_code == 200
    assert told in unescape(response.text)
    assert not Job.objects.exists()


def test_an_empty_balance_is_told_in_place(visitor: Visitor, organization: Organization) -> None:
    Balance.objects.filter(pk=organization.pk).update(balance_pusd=1)
    assert "The balance does not cover this request." in visitor.post("/playground/answers", **TURN).text


def test_the_page_offers_the_models_that_are_served(browser: Client) -> None:
    text = text_of(browser.get("/playground"))
    assert "LPU Demo" in text
    assert "Null 16" not in text


def test_a_lost_stream_is_told_and_not_tried_again(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lose(handle: JobHandle) -> AsyncIterator[JobEvent]:
        yield TokenEvent(index=0, text="A")
        raise RedisError("gone")

    monkeypatch.setattr(answers, "relay_job", lose)
    events = read_all(visitor, visitor.ask())
    assert "The stream of this answer was lost." in events[-2][1]
    assert events[-1] == ("done", "done")
