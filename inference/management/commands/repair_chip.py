"""`manage.py repair_chip CHIP`: marks a chip as working again."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from inference.exceptions import DeploymentError
from inference.queues import call_workers
from inference.restoration import repair_chip


class Command(BaseCommand):
    help = "Marks a chip as working again; what was out of service for want of it comes back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("chip", type=int, help="its number, from 0 on")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            restored = repair_chip(number=options["chip"])
        except DeploymentError as error:
            raise CommandError(str(error)) from None
        call_workers()
        names = [deployment.model_id for deployment in restored]
        text = f"Chip {options['chip']} works again. In service again: {', '.join(names) or 'nothing was out of it'}."
        found = {"chip": options["chip"], "restored": names}
        self.stdout.write(json.dumps(found) if options["json"] else text)
