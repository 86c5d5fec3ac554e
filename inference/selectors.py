"""Public reads of inference: the models that are served, and what was used of them."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Sum, When
from django.db.models.functions import Coalesce, TruncDay, TruncHour, TruncMinute

from inference.models import Job, LanguageModel
from inference.types import BucketWidth, EndEvent, UsageBucket, UsageGroup, UsageRow

NULL_MODEL = "null-16"
BUCKET_WIDTHS: dict[BucketWidth, timedelta] = {
    "1m": timedelta(minutes=1),
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
}
TRUNCATIONS = {"1m": TruncMinute, "1h": TruncHour, "1d": TruncDay}
GROUP_COLUMNS: dict[UsageGroup, str] = {"model": "model_id", "project_id": "project_id", "api_key_id": "api_key_id"}
# The jobs that were charged: a fault bills nothing, nor does a cancel that came before the model was asked.
BILLED = Q(state=Job.State.COMPLETED) | Q(state=Job.State.CANCELLED, prompt_tokens__gt=0)


def list_models() -> list[LanguageModel]:
    """The models that requests may name, the default first, then by name."""
    default_first = Case(When(pk=settings.DEFAULT_MODEL, then=0), default=1)
    return list(_served_models().order_by(default_first, "pk"))


def get_model(model_id: str) -> LanguageModel | None:
    return _served_models().filter(pk=model_id).first()


def get_models(model_ids: Collection[str]) -> dict[str, LanguageModel]:
    """Those of the models that requests may name."""
    return {model.pk: model for model in _served_models().filter(pk__in=model_ids)}


def _served_models() -> QuerySet[LanguageModel]:
    """With their deployments, so that a call's look-up stays one query."""
    models = LanguageModel.objects.filter(is_active=True).select_related("deployment")
    return models if settings.SERVES_NULL_MODEL else models.exclude(pk=NULL_MODEL)


def floor_to_bucket(at: datetime, bucket_width: BucketWidth) -> datetime:
    """The UTC boundary at or before `at`."""
    width_s = BUCKET_WIDTHS[bucket_width] // timedelta(seconds=1)
    return datetime.fromtimestamp(int(at.timestamp()) // width_s * width_s, UTC)


def list_usage(
    *,
    organization_id: str,
    start_at: datetime,
    end_at: datetime,
    bucket_width: BucketWidth,
    group_by: Sequence[UsageGroup] = (),
    project_ids: Sequence[str] = (),
    models: Sequence[str] = (),
    api_key_ids: Sequence[str] = (),
) -> list[UsageBucket]:
    """Billed usage from `start_at` (inclusive) to `end_at` (exclusive), oldest first; an empty filter means all.

    Buckets lie on UTC boundaries; the first and the last are cut to the range asked for, so that their sum is exactly
    that range. A job counts where it was created, once it has ended. One query, whatever the number of buckets.
    """
    jobs = _billed_between(start_at, end_at).filter(organization_id=organization_id)
    filters = {"project_id__in": project_ids, "model_id__in": models, "api_key_id__in": api_key_ids}
    jobs = jobs.filter(**{lookup: list(values) for lookup, values in filters.items() if values})
    rows = _rows_by_bucket(jobs, bucket_width, group_by)
    return [
        UsageBucket(start_at=max(start, start_at), end_at=min(end, end_at), rows=rows[start])
        for start, end in _boundaries(start_at, end_at, bucket_width)
    ]


def get_total_usage(*, start_at: datetime, end_at: datetime) -> UsageRow:
    """Billed usage of all organizations together, of jobs created from `start_at` up to, not including, `end_at`."""
    totals = _billed_between(start_at, end_at).aggregate(
        requests=Count("pk"),
        prompt_tokens=Coalesce(Sum("prompt_tokens"), 0),
        cached_tokens=Coalesce(Sum("cached_tokens"), 0),
        completion_tokens=Coalesce(Sum("completion_tokens"), 0),
        cost_pusd=Coalesce(Sum("cost_pusd"), 0),
    )
    return UsageRow(**totals)


def list_active_organization_ids(*, start_at: datetime, end_at: datetime) -> QuerySet[Job, str]:
    """Organizations with a billed job created in the range; unevaluated, to serve as a subquery."""
    return _billed_between(start_at, end_at).values_list("organization_id", flat=True).distinct()


def list_first_call_organization_ids(*, start_at: datetime, end_at: datetime) -> QuerySet[Job, str]:
    """Organizations whose very first billed job was created in the range; unevaluated, to serve as a subquery."""
    before = Job.objects.filter(BILLED, organization_id=OuterRef("organization_id"), created_at__lt=start_at)
    return list_active_organization_ids(start_at=start_at, end_at=end_at).filter(~Exists(before))


def _billed_between(start_at: datetime, end_at: datetime) -> QuerySet[Job]:
    return Job.objects.filter(BILLED, created_at__gte=start_at, created_at__lt=end_at)


def _boundaries(start_at: datetime, end_at: datetime, bucket_width: BucketWidth) -> Iterator[tuple[datetime, datetime]]:
    width = BUCKET_WIDTHS[bucket_width]
    start = floor_to_bucket(start_at, bucket_width)
    while start < end_at:
        yield start, start + width
        start += width


def _rows_by_bucket(
    jobs: QuerySet[Job], bucket_width: BucketWidth, group_by: Sequence[UsageGroup]
) -> defaultdict[datetime, list[UsageRow]]:
    columns = [GROUP_COLUMNS[group] for group in group_by]
    bucket = TRUNCATIONS[bucket_width]("created_at", tzinfo=UTC)
    totals = jobs.values(*columns, bucket=bucket).annotate(
        requests=Count("pk"),
        prompts=Sum("prompt_tokens"),
        cached=Sum("cached_tokens"),
        completions=Sum("completion_tokens"),
        cost=Sum("cost_pusd"),
    )
    rows: defaultdict[datetime, list[UsageRow]] = defaultdict(list)
    # Named explicitly, because SQLite and PostgreSQL disagree about where NULL sorts.
    order = [F(column).asc(nulls_last=True) for column in columns]
    for total in totals.order_by("bucket", *order):
        rows[total["bucket"]].append(
            UsageRow(
                requests=total["requests"],
                prompt_tokens=total["prompts"],
                completion_tokens=total["completions"],
                cost_pusd=total["cost"],
                cached_tokens=total["cached"],
                **{group: total[GROUP_COLUMNS[group]] for group in group_by},
            )
        )
    return rows


def get_ending(request_id: str) -> EndEvent | None:
    """How a job ended, from its settled row; None while it is active."""
    job = Job.objects.filter(pk=request_id).exclude(state__in=Job.ACTIVE).first()
    return None if job is None else ending_of(job)


def ending_of(job: Job) -> EndEvent:
    """How a job ended, without a query: `job` as it was read, or as `end_jobs` left it."""
    started_at = job.started_at or job.finished_at or job.created_at
    finished_at = job.finished_at or started_at
    first_token_at = job.first_token_at or finished_at
    return EndEvent(
        state=job.state,
        finish_reason=job.finish_reason,
        error_code=job.error_code,
        prompt_tokens=job.prompt_tokens,
        completion_tokens=job.completion_tokens,
        cost_pusd=job.cost_pusd,
        queue_time=(started_at - job.created_at).total_seconds(),
        prompt_time=(first_token_at - started_at).total_seconds(),
        completion_time=(finished_at - first_token_at).total_seconds(),
        emulated=_emulated(job),
        cached_tokens=job.cached_tokens,
    )


def _emulated(job: Job) -> dict[str, str | int | float]:
    """The `x_lpu` object: what the emulated hardware would have taken, never mixed with wall-clock times."""
    return {
        "chips": job.chips,
        "cycles": job.cycles,
        "saved_cycles": job.saved_cycles,
        "seconds": job.emulated_seconds,
        "tokens_per_second": job.emulated_tokens_per_second,
        "program_hash": job.program_hash,
        "mode": job.timing_mode,
    }
