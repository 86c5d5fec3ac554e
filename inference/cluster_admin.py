"""Staff's pages for the cluster: deployments, which a form makes and an action retires, and chips.

Whatever changes placements runs outside the transaction that Django's admin opens for its own forms: the services open
theirs, and on SQLite a writer must not wait for its turn with one open.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.read_only_admin import ReadOnlyAdmin
from billing.money import price_per_token_pusd
from billing.types import PriceQuote
from inference.chips import get_topology, list_placement
from inference.deployments import retire_model, set_pacing
from inference.exceptions import DeploymentError
from inference.models import ClusterChip, Deployment
from inference.queues import call_workers
from inference.restoration import fail_chip, repair_chip
from inference.rollout import place_model
from lpu_backend import Inventory

PRICE_HELP = "USD per million tokens. Empty: as before, else as the default model's."


class DeployForm(forms.Form):
    """What `deploy_model` takes."""

    path = forms.CharField(
        label="Checkpoint folder",
        max_length=1000,
        help_text="On every machine that is to serve it.",
        widget=UnfoldAdminTextInputWidget,
    )
    name = forms.CharField(
        label="Model id",
        max_length=100,
        help_text="What requests call it. One in use is swapped: its running jobs end on what they began with.",
        widget=UnfoldAdminTextInputWidget,
    )
    chips = forms.IntegerField(
        min_value=1,
        required=False,
        help_text="1 to 8, or whole nodes of 8. Empty: the fewest that hold it.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
    price_input = forms.DecimalField(
        label="Price of input", min_value=0, required=False, help_text=PRICE_HELP, widget=UnfoldAdminTextInputWidget
    )
    price_output = forms.DecimalField(
        label="Price of output", min_value=0, required=False, help_text=PRICE_HELP, widget=UnfoldAdminTextInputWidget
    )
    pacing = forms.ChoiceField(choices=Deployment.Pacing.choices, widget=UnfoldAdminSelectWidget)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        prices = (cleaned.get("price_input"), cleaned.get("price_output"))
        cleaned["price"] = None
        if self.errors or prices == (None, None):
            return cleaned
        if None in prices:
            raise forms.ValidationError("A price has two parts: give both, or neither.")
        try:
            cleaned["price"] = PriceQuote(*(price_per_token_pusd(price) for price in prices if price is not None))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        return cleaned


@admin.register(Deployment)
class DeploymentAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("__str__", "state", "chips", "max_batch", "pacing", "program", "created_at", "in_service_at")
    list_filter = ("state", "model", "pacing")
    search_fields = ("model__id", "path", "program_hash")
    list_select_related = ("model",)
    ordering = ("-pk",)
    show_full_result_count = False
    actions = ("retire_models",)
    actions_on_top = True
    fields = (
        "model",
        "state",
        "reason",
        "pacing",
        "path",
        "chips",
        "minimum_chips",
        "bytes_per_chip",
        "max_batch",
        "context_window",
        "timing_mode",
        "program_hash",
        "placement",
        "generation",
        "created_at",
        "in_service_at",
        "draining_at",
        "ended_at",
    )
    readonly_fields = tuple(name for name in fields if name != "pacing")

    def has_delete_permission(self, request: HttpRequest, obj: Deployment | None = None) -> bool:
        return False

    def has_retire_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("inference.change_deployment")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The form, and what it asks for: placed here, loaded and put into service by the workers."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = DeployForm(request.POST or None)
        if request.method == "POST" and form.is_valid() and self._deploy(request, form):
            return redirect("admin:inference_deployment_changelist")
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Deploy a model", "form": form}
        return TemplateResponse(request, "admin/inference/deployment/deploy.html", context)

    def _deploy(self, request: HttpRequest, form: DeployForm) -> bool:
        try:
            deployment = place_model(
                model_id=form.cleaned_data["name"],
                folder=Path(form.cleaned_data["path"]),
                chips=form.cleaned_data["chips"],
                pacing=form.cleaned_data["pacing"],
                price=form.cleaned_data["price"],
                report=lambda line: None,
            )
        except DeploymentError as error:
            form.add_error(None, str(error))
            return False
        self.message_user(request, f"{deployment} is placed; the workers are loading it.", messages.SUCCESS)
        return True

    def save_model(self, request: HttpRequest, obj: Deployment, form: Any, change: bool) -> None:
        """Its pacing alone: workers may have written the rest since the page was opened."""
        set_pacing(deployment=obj, pacing=obj.pacing)

    @admin.action(description="Retire the models of the selected deployments", permissions=["retire"])
    def retire_models(self, request: HttpRequest, queryset: QuerySet[Deployment]) -> None:
        for model_id in sorted(set(queryset.values_list("model_id", flat=True))):
            try:
                retire_model(model_id=model_id)
            except DeploymentError as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.message_user(request, f"{model_id} takes no new calls; its jobs end.", messages.SUCCESS)
        call_workers()

    @admin.display(description="program")
    def program(self, deployment: Deployment) -> str:
        return deployment.program_hash[:16]

    @admin.display(description="placed on chips")
    def placement(self, deployment: Deployment) -> str:
        return ", ".join(map(str, list_placement(deployment))) or "none"


@admin.register(ClusterChip)
class ClusterChipAdmin(ReadOnlyAdmin):
    list_display = ("number", "node", "rack", "is_spare", "deployment", "position", "failed_at")
    list_filter = (("failed_at", admin.EmptyFieldListFilter), ("deployment", admin.EmptyFieldListFilter))
    search_fields = ("=number", "=deployment__model__id")
    list_select_related = ("deployment",)
    ordering = ("number",)
    fields = list_display
    actions = ("fail_chips", "repair_chips")

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("inference.change_clusterchip")

    @admin.action(description="Mark selected chips as failed", permissions=["operate"])
    def fail_chips(self, request: HttpRequest, queryset: QuerySet[ClusterChip]) -> None:
        self._change(request, queryset, lambda number: fail_chip(number=number), "failed")

    @admin.action(description="Mark selected chips as repaired", permissions=["operate"])
    def repair_chips(self, request: HttpRequest, queryset: QuerySet[ClusterChip]) -> None:
        self._change(request, queryset, lambda number: repair_chip(number=number), "repaired")

    def _change(
        self, request: HttpRequest, queryset: QuerySet[ClusterChip], change: Callable[[int], object], done: str
    ) -> None:
        changed = 0
        for number in queryset.order_by("number").values_list("number", flat=True):
            try:
                change(number)
                changed += 1
            except DeploymentError as error:
                self.message_user(request, str(error), messages.WARNING)
        call_workers()
        self.message_user(request, f"Chips {done}: {changed}.", messages.SUCCESS)

    @admin.display
    def node(self, chip: ClusterChip) -> int:
        return get_topology().node_of(chip.number)

    @admin.display
    def rack(self, chip: ClusterChip) -> int:
        return get_topology().rack_of(chip.number)

    @admin.display(boolean=True, description="spare")
    def is_spare(self, chip: ClusterChip) -> bool:
        return Inventory(get_topology()).is_spare(self.node(chip))
