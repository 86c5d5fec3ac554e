"""The Celery application: one queue per model, and `periodic` for what beat asks for."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("lpu_console")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
