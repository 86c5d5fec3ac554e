"""The models that ship."""

from django.db import migrations

MODELS = (
    {
        "id": "lpu-demo",
        "display_name": "LPU Demo",
        "description": "A small demonstration model that ships with the console. It answers simple questions, and is often wrong.",
        "context_window": 1024,
        "default_max_completion_tokens": 512,
    },
    {
        "id": "null-16",
        "display_name": "Null 16",
        "description": "Answers sixteen fixed tokens at once, for measuring the path. Served only with LPU_NULL_MODEL=1.",
        "context_window": 8192,
        "default_max_completion_tokens": 16,
    },
)


def add_models(apps, schema_editor):
    LanguageModel = apps.get_model("inference", "LanguageModel")
    for fields in MODELS:
        LanguageModel.objects.create(**fields)


class Migration(migrations.Migration):
    dependencies = [("inference", "0001_initial")]
    operations = [migrations.RunPython(add_models, migrations.RunPython.noop)]
