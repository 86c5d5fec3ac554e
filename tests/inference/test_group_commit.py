"""Calls that come at once share transactions, and each is admitted or refused for itself."""

import asyncio

import pytest
from pytest_django import Settings

from accounts.models import Organization, Project
from accounts.types import Caller
from billing.models import Balance, Hold
from billing.selectors import get_funds
from inference import chat
from inference.chat import Submission, start_chat
from inference.exceptions import ApiError
from inference.models import Job, RateLimit
from inference.redis_clients import get_redis
from inference.types import ChatRequest, Message
from tests.serving import NULL

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("closed_connections")]
CHAT = ChatRequest(NULL, (Message("user", "Hello"),), max_completion_tokens=16)


@pytest.fixture
def caller(project: Project, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Whose jobs wait: no worker takes them."""
    monkeypatch.setattr(chat, "enqueue_jobs", lambda jobs: [0] * len(jobs))
    settings.SERVES_NULL_MODEL = True
    get_redis().flushdb()
    RateLimit.objects.create(organization=project.organization, rpm=10**5, rpd=10**6, tpm=10**7, tpd=10**9)
    return Caller(project.organization_id, project.pk, "free")


def start_at_once(caller: Caller, *chats: ChatRequest) -> list[Submission | BaseException]:
    async def start() -> list[Submission | BaseException]:
        calls = (start_chat(caller=caller, chat=chat, source=Job.Source.API) for chat in chats)
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(start())


def test_of_calls_at_once_exactly_those_that_the_balance_affords_are_admitted(
    caller: Caller, organization: Organization
) -> None:
    start_at_once(caller, CHAT)
    cost_pusd = Hold.objects.get().amount_pusd
    Balance.objects.update(balance_pusd=11 * cost_pusd - 1)
    outcomes = start_at_once(caller, *[CHAT] * 32)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
    assert {refusal.status for refusal in refusals} == {402}
    assert len(refusals) == 32 - 9
    assert get_funds(organization.pk).held_pusd == 10 * cost_pusd
    assert Job.objects.count() == Hold.objects.count() == 10


def test_a_call_that_is_refused_takes_none_along(caller: Caller) -> None:
    unknown = ChatRequest("no-such-model", CHAT.messages)
    outcomes = start_at_once(caller, CHAT, unknown, CHAT)
    assert [isinstance(outcome, Submission) for outcome in outcomes] == [True, False, True]
    assert Job.objects.count() == 2
