"""Staff's pages for models, limits and jobs. A job's row never held a prompt, and its payload key is not shown."""

from datetime import datetime

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path
from redis.exceptions import RedisError
from unfold.admin import ModelAdmin

from accounts.read_only_admin import ReadOnlyAdmin
from billing.money import to_usd
from inference import cluster_admin  # noqa: F401 - registers the cluster's pages
from inference.check_admin import list_verdicts, replay_from_admin
from inference.dispatch import get_queue_standing, list_depths
from inference.models import Job, LanguageModel, RateLimit


@admin.register(LanguageModel)
class LanguageModelAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = (
        "id",
        "display_name",
        "context_window",
        "default_max_completion_tokens",
        "is_active",
        "waiting_jobs",
        "created_at",
    )
    list_filter = ("is_active",)
    search_fields = ("id", "display_name")

    def get_readonly_fields(self, request: HttpRequest, obj: LanguageModel | None = None) -> tuple[str, ...]:
        # The id names the folder of weights, the queue and the price: another id is another model.
        return ("id",) if obj else ()

    @admin.display(description="waiting jobs")
    def waiting_jobs(self, model: LanguageModel) -> str:
        """By service tier."""
        try:
            depths = list_depths([model.pk])[model.pk]
        except RedisError:
            return "unknown"
        return ", ".join(f"{count:,} {tier}" for tier, count in depths.items() if count) or "none"


@admin.register(RateLimit)
class RateLimitAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("organization", "rpm", "rpd", "tpm", "tpd")
    search_fields = ("=organization__id", "organization__name")
    list_select_related = ("organization",)
    show_full_result_count = False
    autocomplete_fields = ("organization",)


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    change_form_outer_before_template = "admin/inference/job/replay.html"
    list_display = (
        "id",
        "created_at",
        "organization",
        "api_key",
        "model",
        "source",
        "state",
        "prompt_tokens",
        "completion_tokens",
        "cost_usd",
        "ttft_ms",
        "duration_ms",
    )
    list_filter = ("state", "model", "source", "is_stream", "created_at")
    search_fields = (
        "=id",
        "=organization__id",
        "organization__name",
        "=api_key__id",
        "api_key__prefix__startswith",
        "=api_key__last_four",
    )
    list_select_related = ("organization", "api_key", "model")
    ordering = ("-created_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "id",
                    "organization",
                    "project",
                    "api_key",
                    "model",
                    "deployment",
                    "source",
                    "service_tier",
                    "is_stream",
                )
            },
        ),
        ("Request", {"fields": ("temperature", "top_p", "seed", "max_completion_tokens")}),
        ("Outcome", {"fields": ("state", "attempts", "moves", "finish_reason", "error_code")}),
        ("Checks", {"fields": ("is_content_kept", "verdicts")}),
        ("Usage", {"fields": ("prompt_tokens", "completion_tokens", "cost_usd", "cost_pusd")}),
        (
            "Wall clock",
            {
                "fields": (
                    "created_at",
                    "enqueued_at",
                    "queue_position",
                    "started_at",
                    "first_token_at",
                    "finished_at",
                    "ttft_ms",
                    "duration_ms",
                )
            },
        ),
        (
            "Emulated",
            {
                "fields": (
                    "chips",
                    "cycles",
                    "emulated_seconds",
                    "emulated_tokens_per_second",
                    "program_hash",
                    "timing_mode",
                )
            },
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(replay_from_admin)
        return [path("<path:object_id>/replay/", view, name="inference_job_replay"), *super().get_urls()]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        """A key's label is searched by its two ends."""
        found: tuple[QuerySet[Job], bool] = super().get_search_results(request, queryset, search_term.replace("…", " "))
        return found

    @admin.display(boolean=True, description="content is kept")
    def is_content_kept(self, job: Job) -> bool:
        return hasattr(job, "content")

    @admin.display(description="computed again")
    def verdicts(self, job: Job) -> str:
        return list_verdicts(job)

    @admin.display(description="cost, USD", ordering="cost_pusd")
    def cost_usd(self, job: Job) -> str:
        """Exact: staff compare it with the ledger."""
        return f"{to_usd(job.cost_pusd).normalize():f}"

    @admin.display(description="position in the queue")
    def queue_position(self, job: Job) -> str:
        """Jobs that begin before it, and how long they take at the pace of late."""
        try:
            standing = get_queue_standing(job) if job.is_active else None
        except RedisError:
            return "unknown"
        if standing is None:
            return "it does not wait"
        wait = "" if standing.expected_wait_ms is None else f", about {standing.expected_wait_ms / 1000:,.1f} s"
        return f"{standing.jobs_ahead:,} before it{wait}"

    @admin.display(description="TTFT, ms")
    def ttft_ms(self, job: Job) -> int | None:
        return _milliseconds(job.created_at, job.first_token_at)

    @admin.display(description="duration, ms")
    def duration_ms(self, job: Job) -> int | None:
        return _milliseconds(job.created_at, job.finished_at)


def _milliseconds(start_at: datetime, end_at: datetime | None) -> int | None:
    return None if end_at is None else round((end_at - start_at).total_seconds() * 1000)
