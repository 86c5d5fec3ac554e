"""Many new rows of one table in one statement, for the tables that every request writes to.

Django's bulk_create compiles, and the driver then quotes, each value of each row. Most of them are the same in all
rows: those are said once.
"""

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import Model

VARIABLES = 30_000  # SQLite takes 32,766 of them in one statement


def insert_rows(rows: Sequence[Model], *, returning: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """Inserts rows of one model, each with a primary key unless the database numbers them.

    Returns the columns `returning` of each, in no certain order. Raises IntegrityError as any insert does.
    """
    most = VARIABLES // len(rows[0]._meta.concrete_fields) if rows else 1
    parts = [rows[start : start + most] for start in range(0, len(rows), most)]
    return [found for part in parts for found in _insert(part, returning)]


def _insert(rows: Sequence[Model], returning: Sequence[str]) -> list[tuple[Any, ...]]:
    fields = [field for field in rows[0]._meta.concrete_fields if rows[0].pk is not None or not field.primary_key]
    columns = {str(field.column): [_value(field, row) for row in rows] for field in fields}
    shared = {name: values[0] for name, values in columns.items() if values.count(values[0]) == len(values)}
    # What no row has is left out: it would need a type. One column varies, so that there is something to select.
    shared.pop(str(fields[0].column), None)
    varying = [name for name in columns if name not in shared]
    said = [name for name, value in shared.items() if value is not None]
    places = ", ".join([f"({', '.join(['%s'] * len(varying))})"] * len(rows))
    statement = (
        f'INSERT INTO "{rows[0]._meta.db_table}" ({", ".join(said + varying)}) '  # noqa: S608  names of our own
        f"SELECT {', '.join(['%s'] * len(said) + [f'each.column{n}' for n in range(1, len(varying) + 1)])} "
        f"FROM (VALUES {places}) AS each"
    )
    if returning:
        statement += f" RETURNING {', '.join(returning)}"
    values = [value for row in zip(*(columns[name] for name in varying), strict=True) for value in row]
    with connection.cursor() as cursor:
        cursor.execute(statement, [shared[name] for name in said] + values)
        return cursor.fetchall() if returning else []


def _value(field: Any, row: Model) -> Any:
    """PostgreSQL's driver takes values as they are; SQLite's knows no time with a zone, which Django writes as text."""
    value = getattr(row, field.attname)
    return value if connection.vendor == "postgresql" else field.get_db_prep_save(value, connection)
