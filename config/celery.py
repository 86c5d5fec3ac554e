"""The Celery application: one queue per model, and `periodic` for what beat asks for."""

from celery import Celery

app = Celery("lpu_console")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
