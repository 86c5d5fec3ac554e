"""What the product's own records say after a run: jobs, ledger and holds, and whether they tell one story."""

import json
import time
from dataclasses import asdict, dataclass

from product import Product

COUNTS = """\
import json
from django.db.models import Sum
from billing.models import Balance, Journal
from inference.models import Check, Job
usage = Journal.objects.filter(kind="usage")
print("COUNTS", json.dumps({
    "active_jobs": Job.objects.filter(state__in=Job.ACTIVE).count(),
    "completed_jobs": Job.objects.filter(state="completed").count(),
    "failed_jobs": Job.objects.filter(state="failed").count(),
    "billed_jobs": Job.objects.filter(cost_pusd__gt=0).count(),
    "usage_entries": usage.count(),
    "requests_in_usage_entries": usage.values("reference").distinct().count(),
    "checks": Check.objects.exclude(verdict="dropped").count(),
    "checks_that_differ": Check.objects.filter(verdict="differs").count(),
    "held_pusd": Balance.objects.aggregate(held=Sum("held_pusd"))["held"] or 0,
}))"""


@dataclass(frozen=True, slots=True)
class Books:
    """Rows and sums; `differences` is what `reconcile_billing` found."""

    active_jobs: int
    completed_jobs: int
    failed_jobs: int
    billed_jobs: int
    usage_entries: int
    requests_in_usage_entries: int
    checks: int
    checks_that_differ: int
    held_pusd: int
    usage_pusd: int
    ledger_pusd: int
    differences: int

    def list_violations(self) -> list[str]:
        """What must not be, once nothing is asked any more."""
        checks = {
            f"{self.active_jobs} jobs are still active": self.active_jobs,
            f"{self.held_pusd:,} pUSD are still held": self.held_pusd,
            f"jobs used {self.usage_pusd:,} pUSD, the ledger says {self.ledger_pusd:,}": self.usage_pusd
            - self.ledger_pusd,
            f"{self.billed_jobs} jobs cost something, {self.usage_entries} entries say so": self.billed_jobs
            - self.usage_entries,
            f"{self.usage_entries} entries are of {self.requests_in_usage_entries} requests": self.usage_entries
            - self.requests_in_usage_entries,
            f"{self.checks_that_differ} checks found another answer": self.checks_that_differ,
            f"reconcile_billing finds {self.differences} differences": self.differences,
        }
        return [violation for violation, is_so in checks.items() if is_so]

    def __str__(self) -> str:
        return "\n".join(f"| {name.replace('_', ' ')} | {value:,} |" for name, value in asdict(self).items())


def read_books(product: Product, *, wait_s: float = 60.0) -> Books:
    """As they stand when no job is active any more, or after `wait_s` all the same."""
    deadline = time.monotonic() + wait_s
    counts = _count(product)
    while counts["active_jobs"] and time.monotonic() < deadline:
        time.sleep(1.0)
        counts = _count(product)
    found = json.loads(product.manage("reconcile_billing", "--json", may_fail=True))
    return Books(
        **counts,
        usage_pusd=found["usage_pusd"],
        ledger_pusd=found["journal_pusd"],
        differences=len(found["differences"]),
    )


def _count(product: Product) -> dict[str, int]:
    said = product.manage("shell", "-v", "0", "-c", COUNTS)
    counts: dict[str, int] = json.loads(said.rsplit("COUNTS ", 1)[1])
    return counts
