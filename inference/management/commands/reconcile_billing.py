"""`manage.py reconcile_billing [--json]`: exit status 1 when jobs, holds, balances and the ledger disagree."""

import json
import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from inference.reconciliation import Reconciliation, reconcile_billing


class Command(BaseCommand):
    help = "Compares jobs, holds and balances with the ledger, to the picodollar."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: object, **options: object) -> None:
        found = reconcile_billing()
        self.stdout.write(json.dumps(found.to_json()) if options["json"] else _as_text(found))
        if found.differences:
            sys.exit(1)


def _as_text(found: Reconciliation) -> str:
    lines = [f"Usage of jobs:    {found.usage_pusd:>30,} pUSD", f"Usage in ledger:  {found.journal_pusd:>30,} pUSD"]
    lines += [
        f"{one.kind} {one.id}: expected {one.expected_pusd:,}, found {one.found_pusd:,} pUSD"
        for one in found.differences
    ]
    return "\n".join([*lines, f"Differences: {len(found.differences)}"])
