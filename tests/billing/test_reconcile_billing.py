"""`reconcile_billing` agrees with honest records and finds each kind of fault, planted behind the ledger's back."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import Organization, Project, User
from billing.models import Balance, Hold, Journal, Posting
from billing.money import MAX_PUSD
from billing.services import grant_credit, place_hold, release_hold, settle_hold
from console.sign_up import set_up_organization
from inference import reconciliation
from inference.models import Job
from inference.reconciliation import Difference, reconcile_billing
from tests.billing.concurrency import run_at_once

pytestmark = pytest.mark.django_db

COST_PUSD = 40 * 50_000 + 10 * 80_000


def add_job(project: Project, **fields: Any) -> Job:
    job = Job(
        organization_id=project.organization_id, project=project, model_id="lpu-demo", temperature=0, top_p=1, seed=1,
        max_completion_tokens=100, prompt_tokens=40, **fields,
    )  # fmt: skip
    place_hold(
        request_id=job.pk,
        organization_id=project.organization_id,
        model="lpu-demo",
        prompt_tokens=40,
        max_completion_tokens=100,
    )
    job.save(force_insert=True)
    return job


@pytest.fixture
def settled_job(project: Project) -> Job:
    job = add_job(project, state=Job.State.COMPLETED, completion_tokens=10)
    job.cost_pusd = settle_hold(request_id=job.pk, prompt_tokens=40, completion_tokens=10) or 0
    job.save()
    return job


def differences() -> list[Difference]:
    return reconcile_billing().differences


def test_honest_records_agree(settled_job: Job, project: Project, user: User) -> None:
    add_job(project)
    released = add_job(project, state=Job.State.FAILED)
    release_hold(request_id=released.pk)
    Organization.objects.create(name="No account")
    found = reconcile_billing()
    assert (found.usage_pusd, found.journal_pusd, found.differences) == (COST_PUSD, COST_PUSD, [])


@pytest.mark.usefixtures("unguarded_ledger")
def test_it_finds_a_job_that_says_another_cost(settled_job: Job) -> None:
    Job.objects.update(cost_pusd=F("cost_pusd") + 1)
    assert differences() == [Difference("job_cost", settled_job.pk, COST_PUSD + 1, COST_PUSD)]
    assert reconcile_billing().usage_pusd == COST_PUSD + 1


def test_it_finds_a_charge_that_the_tokens_do_not_explain(settled_job: Job) -> None:
    Job.objects.update(cached_tokens=10)
    assert differences() == [Difference("charge", settled_job.pk, COST_PUSD - 10 * 25_000, COST_PUSD)]
    Job.objects.update(service_tier=Job.ServiceTier.BATCH)
    assert differences() == [Difference("charge", settled_job.pk, COST_PUSD // 2, COST_PUSD)]


@pytest.mark.usefixtures("unguarded_ledger")
def test_it_finds_a_job_that_was_never_charged(project: Project) -> None:
    job = add_job(project, state=Job.State.COMPLETED, cost_pusd=7)
    release_hold(request_id=job.pk)
    assert differences() == [Difference("job_cost", job.pk, 7, 0)]


def test_it_finds_usage_without_a_job(settled_job: Job) -> None:
    Job.objects.all().delete()
    assert differences() == [Difference("usage_without_job", settled_job.pk, 0, COST_PUSD)]


@pytest.mark.usefixtures("unguarded_ledger")
def test_it_finds_usage_charged_to_another_organization(settled_job: Job) -> None:
    other = set_up_organization(owner=User.objects.create_user("grace@example.com", "long enough secret"))
    Journal.objects.filter(reference=settled_job.pk).update(organization=other)
    kinds = {(one.kind, one.id) for one in differences()}
    assert {("job_cost", settled_job.pk), ("usage_without_job", settled_job.pk), ("balance", other.pk)} <= kinds


def test_it_finds_a_balance_that_a_replay_does_not_give(settled_job: Job, organization: Organization) -> None:
    Balance.objects.update(balance_pusd=F("balance_pusd") + 3)
    replay_pusd = 10**12 - COST_PUSD
    assert differences() == [Difference("balance", organization.pk, replay_pusd, replay_pusd + 3)]


def test_it_finds_a_balance_that_is_missing(organization: Organization) -> None:
    Balance.objects.all().delete()
    assert differences() == [Difference("balance", organization.pk, 10**12, 0)]


def test_it_finds_money_held_for_nothing(organization: Organization) -> None:
    Balance.objects.update(held_pusd=9)
    assert differences() == [Difference("held", organization.pk, 0, 9)]


def test_it_finds_an_open_hold_whose_job_has_ended(project: Project) -> None:
    job = add_job(project)
    Job.objects.update(state=Job.State.FAILED, finished_at=timezone.now())
    amount_pusd = Hold.objects.get().amount_pusd
    assert differences() == [Difference("hold_left_open", job.pk, 0, amount_pusd)]


def test_it_finds_an_open_hold_without_a_job(project: Project) -> None:
    job = add_job(project)
    amount_pusd = Hold.objects.get().amount_pusd
    job.delete()
    assert [one.kind for one in differences()] == ["hold_left_open"]
    assert differences()[0].found_pusd == amount_pusd


@pytest.mark.usefixtures("unguarded_ledger")
def test_it_finds_a_journal_that_does_not_sum_to_zero(settled_job: Job) -> None:
    Posting.objects.filter(account=Posting.Account.PROMOTIONS).update(amount_pusd=F("amount_pusd") - 2)
    (journal,) = Journal.objects.filter(kind=Journal.Kind.PROMOTION)
    assert differences() == [Difference("journal_sum", str(journal.pk), 0, -2)]


@pytest.mark.usefixtures("unguarded_ledger")
def test_it_finds_a_journal_without_postings(organization: Organization) -> None:
    journal = Journal.objects.create(organization=organization, kind=Journal.Kind.GRANT, reference="empty")
    assert differences() == [Difference("journal_sum", str(journal.pk), 0, 0)]


@pytest.mark.usefixtures("unguarded_ledger")
def test_totals_pass_64_bits(settled_job: Job, project: Project) -> None:
    for _ in range(3):
        job = add_job(project, state=Job.State.COMPLETED, cost_pusd=MAX_PUSD)
        release_hold(request_id=job.pk)
    assert reconcile_billing().usage_pusd == 3 * MAX_PUSD + COST_PUSD


def test_balances_at_their_bound_agree(organization: Organization) -> None:
    grant_credit(organization=organization, amount_pusd=MAX_PUSD - 10**12, reference="all")
    for number in range(2):
        other = set_up_organization(owner=User.objects.create_user(f"{number}@example.com", "long enough secret"))
        grant_credit(organization=other, amount_pusd=MAX_PUSD - 10**12, reference=f"all-{number}")
    assert differences() == []


def test_the_command_prints_json_and_ends_well(settled_job: Job) -> None:
    out = StringIO()
    call_command("reconcile_billing", "--json", stdout=out)
    assert json.loads(out.getvalue()) == {"usage_pusd": COST_PUSD, "journal_pusd": COST_PUSD, "differences": []}


@pytest.mark.parametrize("options", [["--json"], []])
def test_the_command_ends_with_1_when_records_differ(options: list[str], organization: Organization) -> None:
    Balance.objects.update(held_pusd=9)
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("reconcile_billing", *options, stdout=out)
    assert ended.value.code == 1
    assert organization.pk in out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_it_reads_one_snapshot_and_stops_no_writer(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    total = reconciliation._total

    def settle_meanwhile() -> None:
        job = add_job(project, state=Job.State.COMPLETED, completion_tokens=10)
        with transaction.atomic():
            job.cost_pusd = settle_hold(request_id=job.pk, prompt_tokens=40, completion_tokens=10) or 0
            job.save()

    def total_during_traffic(query: str) -> int:
        found = total(query)
        assert run_at_once(settle_meanwhile) == [None]
        return found

    monkeypatch.setattr(reconciliation, "_total", total_during_traffic)
    found = reconcile_billing()
    assert (found.usage_pusd, found.journal_pusd, found.differences) == (0, 0, [])
    monkeypatch.undo()
    assert reconcile_billing().usage_pusd == 2 * COST_PUSD == reconcile_billing().journal_pusd
