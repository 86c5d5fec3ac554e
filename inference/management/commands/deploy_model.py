"""`manage.py deploy_model PATH --name ID`: a checkpoint folder into service, beside what runs."""

import json
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.money import price_per_token_pusd
from billing.types import PriceQuote
from inference.cluster import describe_deployment
from inference.exceptions import DeploymentError
from inference.models import Deployment
from inference.rollout import deploy_model

TIMEOUT_S = 900


class Command(BaseCommand):
    help = "Compiles and places a checkpoint folder, and puts it into service without a restart."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="the checkpoint folder, on every machine that is to serve it")
        parser.add_argument("--name", required=True, metavar="ID", help="what requests call it; one in use is swapped")
        parser.add_argument("--chips", type=int, help="1 to 8, or whole nodes of 8 (default: the fewest that hold it)")
        parser.add_argument("--price-input", metavar="USD", help="per million tokens (default: as before, else as")
        parser.add_argument("--price-output", metavar="USD", help="the default model's)")
        parser.add_argument("--pacing", choices=Deployment.Pacing.values, default=Deployment.Pacing.HOST)
        parser.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="S", help="for the workers to load it")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()

        def report(line: str) -> None:
            self.stderr.write(f"{time.monotonic() - began:6.1f} s  {line}")

        try:
            deployment = deploy_model(
                model_id=options["name"],
                folder=options["path"],
                chips=options["chips"],
                pacing=options["pacing"],
                price=_read_price(options["price_input"], options["price_output"]),
                report=report,
                timeout_s=options["timeout"],
            )
        except DeploymentError as error:
            raise CommandError(str(error)) from None
        described = describe_deployment(deployment) | {"seconds": round(time.monotonic() - began, 3)}
        text = f"{deployment.model_id} is in service on {deployment.chips:,} of the cluster's chips."
        self.stdout.write(json.dumps(described) if options["json"] else text)


def _read_price(price_input: str | None, price_output: str | None) -> PriceQuote | None:
    if price_input is None and price_output is None:
        return None
    if price_input is None or price_output is None:
        raise CommandError("A price has two parts: --price-input and --price-output.")
    try:
        return PriceQuote(*(price_per_token_pusd(Decimal(text)) for text in (price_input, price_output)))
    except (InvalidOperation, OverflowError, ValueError) as error:
        raise CommandError(f"A price is USD per million tokens, for example 0.59: {error}") from None
