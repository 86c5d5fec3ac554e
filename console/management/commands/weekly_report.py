"""`manage.py weekly_report`: computes, stores and prints the developer metrics of one ISO week."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.weekly_report import WeekError, format_report, get_last_week, parse_week, store_weekly_report


class Command(BaseCommand):
    help = "Stores and prints the developer metrics of one ISO week (UTC); by default of the last full one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--week", help="ISO week, for example 2026-W05")
        parser.add_argument("--json", action="store_true", help="print JSON instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            week = get_last_week() if options["week"] is None else parse_week(options["week"])
        except WeekError as error:
            raise CommandError(str(error)) from None
        figures = store_weekly_report(week=week).figures
        self.stdout.write(json.dumps(figures, indent=2) if options["json"] else format_report(figures))
