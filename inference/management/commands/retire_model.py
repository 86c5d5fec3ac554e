"""`manage.py retire_model ID`: out of service, without dropping a job."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.exceptions import DeploymentError
from inference.rollout import retire_and_wait


class Command(BaseCommand):
    help = "Takes a model out of service: no new calls, its jobs end, then its chips are free."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", metavar="ID")
        parser.add_argument("--timeout", type=float, default=settings.JOB_DEADLINE_S + 10, metavar="S")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            retired = retire_and_wait(model_id=options["model"], report=self.stderr.write, timeout_s=options["timeout"])
        except DeploymentError as error:
            raise CommandError(str(error)) from None
        freed = sum(deployment.chips for deployment in retired)
        found = {"model": options["model"], "deployments": [one.pk for one in retired], "freed_chips": freed}
        self.stdout.write(json.dumps(found) if options["json"] else f"{options['model']} is retired.")
