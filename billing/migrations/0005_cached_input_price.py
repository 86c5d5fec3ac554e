"""What a prompt's token costs that the prefix cache had: half of the input price, rounded down, for every version so far."""

from django.db import migrations, models
from django.db.models import F

from billing.append_only import create_triggers, drop_triggers


def drop(apps, schema_editor):
    drop_triggers(schema_editor.connection)


def halve(apps, schema_editor):
    # Whole numbers divided are a whole number, rounded down, on SQLite and PostgreSQL alike.
    apps.get_model("billing", "Price").objects.update(cached_input_pusd=F("input_pusd") / 2)


def create(apps, schema_editor):
    create_triggers(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_append_only")]
    operations = [
        migrations.RunPython(drop, create),
        migrations.AddField(
            "price",
            "cached_input_pusd",
            models.BigIntegerField(
                "cached input, pUSD per token", blank=True, default=0, help_text="Empty: half of the input price."
            ),
            preserve_default=False,
        ),
        migrations.RunPython(halve, migrations.RunPython.noop),
        migrations.AddConstraint(
            "price",
            models.CheckConstraint(
                condition=models.Q(cached_input_pusd__gte=0, cached_input_pusd__lte=F("input_pusd")),
                name="price_cached_is_no_dearer",
            ),
        ),
        migrations.RunPython(create, drop),
    ]
