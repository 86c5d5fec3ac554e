"""What the console itself keeps: the weekly reports it has sent."""

from django.db import models
from django.utils import timezone


class WeeklyReport(models.Model):
    """Developer metrics of one ISO week (UTC), as they stood when the report was stored."""

    week = models.CharField(max_length=8, unique=True, help_text="ISO week, for example 2026-W05")
    figures = models.JSONField()
    stored_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.week
