"""What beat asks of the console."""

import logging

from celery import shared_task

from console import weekly_report

logger = logging.getLogger(__name__)


@shared_task(name="console.store_weekly_report")
def store_weekly_report() -> None:
    """Stores the last full week's report and mails it to staff."""
    report = weekly_report.store_weekly_report(week=weekly_report.get_last_week())
    mailed = weekly_report.send_weekly_report(report=report)
    logger.info("Stored the report of week %s and mailed it to %d members of staff.", report.week, mailed)
