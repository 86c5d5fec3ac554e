"""The prices of the models that ship: $0.05 and $0.08 per million tokens in and out."""

from datetime import datetime, timezone

from django.db import migrations

MODELS = ("lpu-demo", "null-16")
EFFECTIVE_AT = datetime(2026, 1, 1, tzinfo=timezone.utc)


def add_prices(apps, schema_editor):
    Price = apps.get_model("billing", "Price")
    for model in MODELS:
        Price.objects.create(model=model, input_pusd=50_000, output_pusd=80_000, effective_at=EFFECTIVE_AT)


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]
    operations = [migrations.RunPython(add_prices, migrations.RunPython.noop)]
