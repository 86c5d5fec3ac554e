"""Models that are served, the chips they lie on, jobs that ran on them, and the limits of an organization."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.identifiers import random_text
from accounts.models import ApiKey, Organization, Project

ID_LENGTH = 24


def new_request_id() -> str:
    return f"req_{random_text(ID_LENGTH)}"


class LanguageModel(models.Model):
    """A model that requests may name."""

    id = models.CharField(primary_key=True, max_length=100)
    display_name = models.CharField(max_length=150)
    description = models.TextField(blank=True)
    owned_by = models.CharField(max_length=100, default="lpu-console")
    context_window = models.PositiveIntegerField("context window, tokens")
    default_max_completion_tokens = models.PositiveIntegerField(
        default=512, help_text="Reserved for a request that does not say how much it may produce."
    )
    is_active = models.BooleanField("active", default=True)
    # What takes new calls. Without one, the model is served from its folder under the models directory.
    deployment = models.ForeignKey(
        "Deployment", on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "model"

    def __str__(self) -> str:
        return self.id

    @property
    def queue(self) -> str:
        return f"model.{self.id}"

    @property
    def outage(self) -> str:
        """Why calls cannot be served now; empty when they can."""
        deployment = self.deployment
        if deployment is None or deployment.state == Deployment.State.SERVING:
            return ""
        return deployment.reason or "it is out of service"


class Deployment(models.Model):
    """One instance of a model on the cluster's chips, from its placement until its last job has ended.

    A model has one that takes new calls; others of it are being loaded, or end what they began.
    """

    class State(models.TextChoices):
        LOADING = "loading"
        SERVING = "serving"
        OUT_OF_SERVICE = "out_of_service"
        DRAINING = "draining"
        RETIRED = "retired"
        FAILED = "failed"

    class Pacing(models.TextChoices):
        HOST = "host", "as fast as computed"
        HARDWARE = "hardware", "never faster than the schedule"

    LIVE: ClassVar[tuple[str, ...]] = (State.LOADING, State.SERVING, State.OUT_OF_SERVICE, State.DRAINING)
    COMPUTING: ClassVar[tuple[str, ...]] = (State.SERVING, State.DRAINING)

    model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="deployments")
    path = models.CharField("checkpoint folder", max_length=1000, help_text="On every machine that serves it.")
    pacing = models.CharField(max_length=10, choices=Pacing.choices, default=Pacing.HOST)
    state = models.CharField(max_length=20, choices=State.choices, default=State.LOADING, editable=False)
    reason = models.CharField(max_length=500, blank=True, editable=False)
    # Counts placements: a job that sees another number than it began with was on chips that failed.
    generation = models.PositiveIntegerField(default=1, editable=False)
    chips = models.PositiveIntegerField(editable=False)
    minimum_chips = models.PositiveIntegerField(editable=False)
    bytes_per_chip = models.BigIntegerField(editable=False)
    max_batch = models.PositiveIntegerField("jobs at once at most", editable=False)
    context_window = models.PositiveIntegerField("context window, tokens", editable=False)
    timing_mode = models.CharField(max_length=20, editable=False)
    program_hash = models.CharField(max_length=80, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    in_service_at = models.DateTimeField(null=True, editable=False)
    draining_at = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["model"], condition=Q(state="loading"), name="deployment_one_loading"),
        )

    def __str__(self) -> str:
        return f"{self.model_id} #{self.pk}"

    @property
    def can_compute(self) -> bool:
        return self.state in self.COMPUTING


class ClusterChip(models.Model):
    """One chip of the cluster: whether it works, and which deployment's program it runs as chip `position` of it."""

    number = models.PositiveIntegerField(primary_key=True)
    failed_at = models.DateTimeField(null=True, editable=False)
    deployment = models.ForeignKey(
        Deployment, on_delete=models.PROTECT, null=True, editable=False, related_name="placed_chips"
    )
    position = models.PositiveIntegerField(null=True, editable=False)

    class Meta:
        verbose_name = "chip"
        constraints = (
            models.CheckConstraint(condition=Q(failed_at=None) | Q(deployment=None), name="chip_failed_holds_nothing"),
            models.UniqueConstraint(fields=["deployment", "position"], name="chip_one_per_position"),
        )

    def __str__(self) -> str:
        return f"Chip {self.number}"


class RateLimit(models.Model):
    """Limits of one organization, for every model, instead of its plan's."""

    organization = models.OneToOneField(Organization, on_delete=models.CASCADE, related_name="rate_limit")
    rpm = models.PositiveBigIntegerField("requests per minute")
    rpd = models.PositiveBigIntegerField("requests per day")
    tpm = models.PositiveBigIntegerField("tokens per minute")
    tpd = models.PositiveBigIntegerField("tokens per day")

    def __str__(self) -> str:
        return f"Limits of {self.organization_id}"


class Job(models.Model):
    """One chat completion, from admission to settlement. Neither the prompt nor the answer is ever in this row."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        COMPLETED = "completed"
        CANCELLED = "cancelled"
        FAILED = "failed"

    ACTIVE: ClassVar[tuple[str, ...]] = (State.QUEUED, State.RUNNING)

    class Source(models.TextChoices):
        API = "api", "API"
        PLAYGROUND = "playground"

    class ServiceTier(models.TextChoices):
        ON_DEMAND = "on_demand"
        FLEX = "flex"
        BATCH = "batch"

    id = models.CharField(primary_key=True, max_length=40, default=new_request_id, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="jobs")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="jobs")
    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, null=True, related_name="jobs")
    model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="jobs")
    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, null=True, related_name="jobs")
    source = models.CharField(max_length=12, choices=Source.choices, default=Source.API)
    is_stream = models.BooleanField("streamed", default=False)
    service_tier = models.CharField(max_length=12, choices=ServiceTier.choices, default=ServiceTier.ON_DEMAND)
    choices = models.PositiveSmallIntegerField("answers to one prompt", default=1)

    temperature = models.FloatField()
    top_p = models.FloatField()
    seed = models.BigIntegerField()
    max_completion_tokens = models.PositiveIntegerField()
    prompt_tokens = models.PositiveIntegerField()

    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    # Attempts that ended because a chip failed under them: none of the job's own making.
    moves = models.PositiveSmallIntegerField(default=0)
    # Opens the payload in Redis; cleared at settlement, after which nothing can read it.
    payload_key = models.BinaryField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    enqueued_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    first_token_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    # Tokens of the prompt whose keys and values the worker had already; they cost half.
    cached_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cost_pusd = models.BigIntegerField(default=0)
    finish_reason = models.CharField(max_length=20, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    chips = models.PositiveIntegerField(default=0)
    cycles = models.BigIntegerField(default=0)
    saved_cycles = models.BigIntegerField("cycles that cached tokens saved", default=0)
    emulated_seconds = models.FloatField(default=0.0)
    emulated_tokens_per_second = models.FloatField(default=0.0)
    program_hash = models.CharField(max_length=80, blank=True)
    timing_mode = models.CharField(max_length=20, blank=True)

    class Meta:
        indexes = (
            models.Index(fields=["organization", "-created_at"], name="job_by_organization"),
            models.Index(fields=["created_at"], name="job_by_time"),
            models.Index(fields=["enqueued_at"], condition=Q(state__in=("queued", "running")), name="job_active"),
        )

    def __str__(self) -> str:
        return self.id

    @property
    def completion_id(self) -> str:
        return f"chatcmpl-{self.id.removeprefix('req_')}"

    @property
    def is_active(self) -> bool:
        return self.state in self.ACTIVE


class JobContent(models.Model):
    """What a job was asked and what it answered, of a project that wants that kept. No page of admin shows it."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, related_name="content")
    prompt = models.BinaryField(editable=False)  # a PromptPayload, as msgpack
    answers = models.BinaryField(editable=False)  # of each choice, a ChoiceAnswer
    program_hash = models.CharField(max_length=80)
    kept_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "content of a job"
        verbose_name_plural = "contents of jobs"
        indexes = (models.Index(fields=["kept_at"], name="content_by_time"),)

    def __str__(self) -> str:
        return f"Content of {self.job_id}"


class Check(models.Model):
    """A job that was computed a second time, and whether the same came out. Nobody pays for it, and it counts nowhere.

    `detail` says where two answers part, never what they say.
    """

    class Kind(models.TextChoices):
        REPLAY = "replay"
        LIVE = "live"

    class Verdict(models.TextChoices):
        RUNNING = "", "running"
        SAME = "same"
        DIFFERS = "differs"
        DROPPED = "dropped"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="checks")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    verdict = models.CharField(max_length=10, choices=Verdict.choices, blank=True, default=Verdict.RUNNING)
    detail = models.CharField(max_length=300, blank=True)
    worker = models.CharField("computed by", max_length=150, blank=True)
    original_worker = models.CharField("first computed by", max_length=150, blank=True)
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        indexes = (models.Index(fields=["verdict", "-started_at"], name="check_by_verdict"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} check of {self.job_id}"
