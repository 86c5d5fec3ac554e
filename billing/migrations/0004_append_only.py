"""Postings, journals and prices become append-only in the database; see billing/append_only.py."""

from django.db import migrations

from billing.append_only import create_triggers, drop_triggers


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_top_up_addresses_and_bounds")]
    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: create_triggers(schema_editor.connection),
            lambda apps, schema_editor: drop_triggers(schema_editor.connection),
        )
    ]
