"""`manage.py fail_chip CHIP`: marks a chip as failed; what lay on it moves to a spare."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.exceptions import DeploymentError
from inference.queues import call_workers
from inference.restoration import ChipFailure, fail_chip


class Command(BaseCommand):
    help = "Marks a chip as failed; the instance on it moves to a spare, and its running jobs pause and go on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("chip", type=int, help="its number, from 0 on")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            failure = fail_chip(number=options["chip"])
        except DeploymentError as error:
            raise CommandError(str(error)) from None
        call_workers()
        self.stdout.write(json.dumps(_as_json(options["chip"], failure)) if options["json"] else _as_text(failure))


def _as_json(chip: int, failure: ChipFailure) -> dict[str, Any]:
    deployment = failure.deployment
    return {
        "chip": chip,
        "model": deployment.model_id if deployment else None,
        "deployment": deployment.pk if deployment else None,
        "state": deployment.state if deployment else None,
        "reason": deployment.reason if deployment else "",
        "placement": list(failure.placement),
    }


def _as_text(failure: ChipFailure) -> str:
    if failure.deployment is None:
        return "The chip was idle."
    if not failure.placement:
        return f"{failure.deployment} is out of service: {failure.deployment.reason}"
    return f"{failure.deployment} lies on chips {', '.join(map(str, failure.placement))} now."
