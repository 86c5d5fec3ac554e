"""The admin site as a whole, and the pages of what has no admin of its own: reports and e-mail addresses."""

from allauth.account.admin import EmailAddressAdmin as AllauthEmailAddressAdmin
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from accounts.read_only_admin import ReadOnlyAdmin
from console.models import WeeklyReport
from console.weekly_report import format_report

admin.site.site_header = "LPU Console"
admin.site.site_title = "LPU Console"
admin.site.index_title = "Administration"

admin.site.unregister(EmailAddress)


@admin.register(EmailAddress)
class EmailAddressAdmin(AllauthEmailAddressAdmin, ModelAdmin):  # type: ignore[misc]
    list_select_related = ("user",)
    show_full_result_count = False


@admin.register(WeeklyReport)
class WeeklyReportAdmin(ReadOnlyAdmin):
    list_display = ("week", "developers", "new_developers", "growth_percent", "requests", "revenue_usd", "stored_at")
    search_fields = ("week",)
    ordering = ("-week",)
    fields = ("week", "stored_at", "report")

    @admin.display
    def developers(self, report: WeeklyReport) -> int:
        return int(report.figures["developers"])

    @admin.display(description="new")
    def new_developers(self, report: WeeklyReport) -> int:
        return int(report.figures["new_developers"])

    @admin.display(description="growth, %")
    def growth_percent(self, report: WeeklyReport) -> float | None:
        growth: float | None = report.figures["growth_percent"]
        return growth

    @admin.display
    def requests(self, report: WeeklyReport) -> int:
        return int(report.figures["requests"])

    @admin.display(description="revenue, USD")
    def revenue_usd(self, report: WeeklyReport) -> str:
        return str(report.figures["revenue_usd"])

    @admin.display
    def report(self, report: WeeklyReport) -> SafeString:
        return format_html('<pre style="white-space: pre-wrap">{}</pre>', format_report(report.figures))
