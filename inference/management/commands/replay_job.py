"""`manage.py replay_job req_... [--json]`: exit status 0 same, 1 differs, 2 not kept or not to be loaded here."""

import json
import socket
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from inference.models import Check
from inference.replay import NotKeptError, replay_job

EXIT_STATUS = {Check.Verdict.SAME: 0, Check.Verdict.DIFFERS: 1, Check.Verdict.DROPPED: 2}


class Command(BaseCommand):
    help = "Computes a kept job again and compares tokens, logits, text and finish reason, bit for bit."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("request_id", help="req_...")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        request_id = options["request_id"]
        try:
            check = replay_job(request_id=request_id, worker=f"manage@{socket.gethostname()}")
            verdict, detail, status = check.verdict, check.detail, EXIT_STATUS[Check.Verdict(check.verdict)]
        except NotKeptError as error:
            verdict, detail, status = "not_kept", str(error), 2
        answer = {"request_id": request_id, "verdict": verdict, "detail": detail}
        self.stdout.write(json.dumps(answer) if options["json"] else f"{verdict}: {detail}")
        if status:
            sys.exit(status)
