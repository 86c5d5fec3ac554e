"""Staff's pages for checks, and the button of a job's page that starts a replay. None of them shows content."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from accounts.read_only_admin import ReadOnlyAdmin
from inference.check_queues import choose_worker, send_replay
from inference.models import Check, Job, JobContent

PERMISSION = "inference.add_check"


@admin.register(Check)
class CheckAdmin(ReadOnlyAdmin):
    list_display = (
        "started_at",
        "job",
        "kind",
        "verdict",
        "detail",
        "original_worker",
        "worker",
        "finished_at",
    )
    list_filter = ("verdict", "kind", "started_at", "job__model")
    search_fields = ("=job__id", "worker", "original_worker")
    list_select_related = ("job",)
    ordering = ("-started_at",)
    fields = list_display


def replay_from_admin(request: HttpRequest, object_id: str) -> HttpResponse:
    """Asks a worker for a replay; the verdict stands on the job's page as soon as there is one."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    job = get_object_or_404(Job, pk=object_id)
    _start_replay(request, job)
    return redirect("admin:inference_job_change", object_id)


def _start_replay(request: HttpRequest, job: Job) -> None:
    if not JobContent.objects.filter(pk=job.pk).exists():
        messages.error(request, "The content of this job is not kept: there is nothing to replay.")
        return
    name = choose_worker(job.model_id)
    if not name:
        messages.error(request, f"No worker that serves {job.model_id} is alive.")
        return
    check = Check.objects.create(job=job, kind=Check.Kind.REPLAY, worker=name)
    try:
        send_replay(check=check, name=name)
    except BrokerError:
        check.delete()
        messages.error(request, "The queue does not answer; nothing was replayed.")
        return
    messages.success(request, f"{name} computes it again; its verdict will stand below.")


def list_verdicts(job: Job) -> str:
    """The job's checks, newest first, a line each."""
    return "\n".join(_as_line(check) for check in job.checks.order_by("-started_at")[:10]) or "none"


def _as_line(check: Check) -> str:
    at = timezone.localtime(check.started_at)
    parts = [f"{at:%Y-%m-%d %H:%M:%S}", check.kind, check.get_verdict_display(), check.detail, check.worker]
    return " · ".join(filter(None, parts))
