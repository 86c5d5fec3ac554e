"""`manage.py cluster [--json]`: the inventory, and what lies on it."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.cluster import describe_cluster
from lpu_backend import TopologyError


class Command(BaseCommand):
    help = "Shows the cluster's chips, and which deployment has which."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = describe_cluster()
        except TopologyError as error:
            raise CommandError(f"LPU_CLUSTER_CHIPS: {error}") from None
        self.stdout.write(json.dumps(found) if options["json"] else _as_text(found))


def _as_text(found: dict[str, Any]) -> str:
    spares = f"{len(found['free_spare_nodes']):,} of {len(found['spare_nodes']):,} spare nodes"
    lines = [
        f"{found['chips']:,} chips in {found['nodes']:,} nodes and {found['racks']:,} racks",
        f"Free: {found['free_chips']:,} chips, and {spares}",
        f"Failed chips: {', '.join(map(str, found['failed_chips'])) or 'none'}",
    ]
    for one in found["deployments"]:
        nodes = ", ".join(map(str, one["nodes"])) or "none"
        lines.append(
            f"{one['model']} #{one['deployment']}: {one['state']}, {one['chips']:,} chips on nodes {nodes}, "
            f"at most {one['max_batch']:,} jobs at once, pacing {one['pacing']}{_reason(one['reason'])}"
        )
    for model, depths in found["waiting_jobs"].items():
        waiting = ", ".join(f"{count:,} {tier}" for tier, count in depths.items())
        lines.append(f"Waiting for {model}: {waiting}")
    return "\n".join(lines)


def _reason(reason: str) -> str:
    return f" ({reason})" if reason else ""
