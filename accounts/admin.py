"""Staff's pages for people, organizations, projects and keys. No page shows a digest or a password hash."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as AuthGroupAdmin
from django.contrib.auth.admin import UserAdmin as AuthUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import ApiKey, AuditEvent, Membership, Organization, Plan, Project, User
from accounts.read_only_admin import ReadOnlyAdmin
from accounts.services import change_plan, revoke_api_key, set_content_keeping


def _actor(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise TypeError("The admin site lets only users in.")
    return request.user


class NewUserForm(UserCreationForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = ("email",)


class UserForm(UserChangeForm):  # type: ignore[misc]
    class Meta:
        model = User
        fields = "__all__"


class MembershipInline(TabularInline):  # type: ignore[misc]
    model = Membership
    extra = 0
    autocomplete_fields = ("user", "organization")
    readonly_fields = ("created_at",)


class ProjectInline(TabularInline):  # type: ignore[misc]
    model = Project
    extra = 0
    can_delete = False
    show_change_link = True
    fields = ("name", "is_default", "created_at")
    readonly_fields = ("is_default", "created_at")


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(AuthGroupAdmin, ModelAdmin):  # type: ignore[misc]
    pass


@admin.register(User)
class UserAdmin(AuthUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    ordering = ("-date_joined",)
    list_display = ("email", "name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", "date_joined")
    search_fields = ("email", "name")
    show_full_result_count = False
    readonly_fields = ("date_joined", "last_login")
    inlines = (MembershipInline,)
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("date_joined", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "usable_password", "password1", "password2")}),)

    def get_inlines(self, request: HttpRequest, obj: User | None) -> tuple[type[TabularInline], ...]:
        return self.inlines if obj else ()


@admin.register(Organization)
class OrganizationAdmin(ModelAdmin):  # type: ignore[misc]
    """Organizations are made by signing up, which also opens their account, and are never deleted: the ledger stays."""

    list_display = ("name", "id", "plan", "created_at")
    list_filter = ("plan", "created_at")
    search_fields = ("=id", "name", "=memberships__user__email")
    show_full_result_count = False
    ordering = ("-created_at",)
    fields = ("id", "name", "plan", "created_at")
    readonly_fields = ("id", "created_at")
    inlines = (MembershipInline, ProjectInline)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "plan" in form.changed_data:
            change_plan(organization=obj, plan=Plan(obj.plan), changed_by=_actor(request))


@admin.register(Membership)
class MembershipAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("user", "organization", "role", "created_at")
    list_filter = ("role", "created_at")
    search_fields = ("user__email", "=organization__id", "organization__name")
    list_select_related = ("user", "organization")
    show_full_result_count = False
    ordering = ("-created_at",)
    autocomplete_fields = ("user", "organization")
    readonly_fields = ("created_at",)


@admin.register(Project)
class ProjectAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "id", "organization", "is_default", "keeps_content", "created_at")
    list_filter = ("is_default", "keeps_content", "created_at")
    search_fields = ("=id", "name", "=organization__id", "organization__name")
    list_select_related = ("organization",)
    show_full_result_count = False
    ordering = ("-created_at",)
    autocomplete_fields = ("organization",)
    fields = ("id", "organization", "name", "is_default", "keeps_content", "created_at")
    readonly_fields = ("id", "is_default", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> tuple[str, ...]:
        # Jobs and keys belong to the organization that the project had when they were made.
        return (*self.readonly_fields, "organization") if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        """Keeping content is its organization's decision: who changed it is written down."""
        keeps_content = obj.keeps_content
        obj.keeps_content = bool(form.initial.get("keeps_content", False))
        super().save_model(request, obj, form, change)
        set_content_keeping(project=obj, keeps_content=keeps_content, changed_by=_actor(request))

    def has_delete_permission(self, request: HttpRequest, obj: Project | None = None) -> bool:
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "label",
        "project",
        "organization",
        "created_by",
        "created_at",
        "last_used_at",
        "revoked_at",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "created_at", "last_used_at")
    search_fields = ("=id", "name", "prefix__startswith", "=last_four", "=project__organization__id")
    list_select_related = ("project__organization", "created_by")
    ordering = ("-created_at",)
    fields = ("id", *list_display)
    actions = ("revoke_keys",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        """A label is searched by its two ends."""
        found: tuple[QuerySet[ApiKey], bool] = super().get_search_results(
            request, queryset, search_term.replace("…", " ")
        )
        return found

    @admin.display(ordering="project__organization__name")
    def organization(self, key: ApiKey) -> str:
        return key.project.organization.name

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_apikey")

    @admin.action(description="Revoke selected API keys", permissions=["revoke"])
    def revoke_keys(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        keys = queryset.select_related("project__organization")
        revoked = sum(revoke_api_key(api_key=key, revoked_by=_actor(request)) for key in keys)
        self.message_user(request, f"API keys revoked: {revoked}.", messages.SUCCESS)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "action", "target", "organization", "actor")
    list_filter = ("created_at",)
    search_fields = ("=action", "=target", "=organization__id", "=actor__email")
    list_select_related = ("organization", "actor")
    ordering = ("-created_at",)
    fields = list_display
