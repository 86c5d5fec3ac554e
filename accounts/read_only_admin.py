"""Admin pages for rows that only the product itself writes."""

from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """Staff look and search; nobody adds, changes or deletes. Pages go on without ever counting the table."""

    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
