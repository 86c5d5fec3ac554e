"""What was used: totals, by day and by model."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.models import Organization
from billing.money import format_usd
from console.access import organization_page
from console.charts import Chart, draw_chart
from console.usage import UsageTotal, get_usage_period

PERIODS = (7, 30)


@organization_page
def usage(request: HttpRequest, organization: Organization) -> HttpResponse:
    asked = request.GET.get("days", "")
    days = int(asked) if asked in {str(period) for period in PERIODS} else PERIODS[0]
    period = get_usage_period(organization_id=organization.pk, days=days)
    context = {
        "organization": organization,
        "periods": PERIODS,
        "days": days,
        "total": period.total,
        "by_day": list(reversed(period.by_day)),
        "by_model": period.by_model,
        "charts": _draw_charts(period.by_day),
    }
    return render(request, "console/usage.html", context)


def _draw_charts(by_day: list[UsageTotal]) -> list[Chart]:
    days = [day.label for day in by_day]
    return [
        draw_chart(title="Requests", days=days, values=[day.requests for day in by_day], as_text="{:,}".format),
        draw_chart(title="Tokens", days=days, values=[day.tokens for day in by_day], as_text="{:,}".format),
        draw_chart(title="Cost", days=days, values=[day.cost_pusd for day in by_day], as_text=format_usd),
    ]
