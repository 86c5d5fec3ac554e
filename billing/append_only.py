"""Triggers that make the ledger append-only in the database itself, so that raw SQL is refused as well.

Three promises, kept by PostgreSQL and SQLite alike:

- postings, journals and prices are never updated, deleted, truncated, or replaced by SQLite's INSERT OR REPLACE;
- a journal has at least two postings, and they sum to zero, when its transaction commits;
- a violation is an IntegrityError.

PostgreSQL checks the sum by deferred constraint triggers. SQLite has none, but it defers foreign keys: an unfinished
journal has a row in `billing_unbalanced_journal` whose foreign key cannot be met, and the posting that evens it
out removes the row. A commit before that fails. The table is empty outside transactions.

On SQLite a migration that alters one of these tables rebuilds it and loses its triggers: end it with `create_triggers`.
"""

from django.db.backends.base.base import BaseDatabaseWrapper

KEYS = {
    "billing_posting": "journal_id = NEW.journal_id AND account = NEW.account",
    "billing_journal": "kind = NEW.kind AND reference = NEW.reference",
    "billing_price": "model = NEW.model AND effective_at = NEW.effective_at",
}

POSTGRESQL_FUNCTIONS = (
    """
    CREATE OR REPLACE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION billing_check_journal() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        checked bigint := (to_jsonb(NEW) ->> TG_ARGV[0])::bigint;
    BEGIN
        IF (SELECT COUNT(*) < 2 OR SUM(amount_pusd) <> 0 FROM billing_posting WHERE journal_id = checked) THEN
            RAISE EXCEPTION 'journal % does not balance', checked USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER billing_journal_balances AFTER INSERT ON billing_journal
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_check_journal('id')
    """,
    """
    CREATE CONSTRAINT TRIGGER billing_posting_balances AFTER INSERT ON billing_posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_check_journal('journal_id')
    """,
)

SQLITE_BALANCE = (
    """
    CREATE TABLE billing_unbalanced_journal (
        journal_id integer PRIMARY KEY CHECK (journal_id > 0),
        never integer NOT NULL UNIQUE CHECK (never = -journal_id)
            REFERENCES billing_unbalanced_journal (journal_id) DEFERRABLE INITIALLY DEFERRED
    )
    """,
    """
    CREATE TRIGGER billing_journal_balances AFTER INSERT ON billing_journal BEGIN
        INSERT INTO billing_unbalanced_journal VALUES (NEW.id, -NEW.id);
    END
    """,
    """
    CREATE TRIGGER billing_posting_balances AFTER INSERT ON billing_posting BEGIN
        DELETE FROM billing_unbalanced_journal WHERE journal_id = NEW.journal_id;
        INSERT INTO billing_unbalanced_journal
            SELECT journal_id, -journal_id FROM billing_posting WHERE journal_id = NEW.journal_id
            GROUP BY journal_id HAVING COUNT(*) < 2 OR SUM(amount_pusd) <> 0;
    END
    """,
)


def create_triggers(connection: BaseDatabaseWrapper) -> None:
    _execute(connection, _postgresql_creation() if connection.vendor == "postgresql" else _sqlite_creation())


def drop_triggers(connection: BaseDatabaseWrapper) -> None:
    """For migrations that must change a guarded table; the same migration calls `create_triggers` again."""
    _execute(connection, _postgresql_removal() if connection.vendor == "postgresql" else _sqlite_removal())


def _execute(connection: BaseDatabaseWrapper, statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _postgresql_creation() -> list[str]:
    statements = list(POSTGRESQL_FUNCTIONS)
    for table in KEYS:
        refuse = "EXECUTE FUNCTION billing_refuse_change()"
        statements += [
            f"CREATE TRIGGER {table}_keeps_rows BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {refuse}",
            f"CREATE TRIGGER {table}_keeps_all BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}",
        ]
    return statements


def _postgresql_removal() -> list[str]:
    functions = ("billing_refuse_change", "billing_check_journal")
    return [f"DROP FUNCTION IF EXISTS {function}() CASCADE" for function in functions]


def _sqlite_creation() -> list[str]:
    statements = list(SQLITE_BALANCE)
    for table, key in KEYS.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        exists = f"EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id OR ({key}))"  # noqa: S608  both are constants above
        statements += [
            f"CREATE TRIGGER {table}_keeps_rows BEFORE UPDATE ON {table} {refuse}",
            f"CREATE TRIGGER {table}_keeps_all BEFORE DELETE ON {table} {refuse}",
            f"CREATE TRIGGER {table}_replaces_none BEFORE INSERT ON {table} WHEN {exists} {refuse}",
        ]
    return statements


def _sqlite_removal() -> list[str]:
    names = ["billing_journal_balances", "billing_posting_balances"]
    names += [f"{table}_{rule}" for table in KEYS for rule in ("keeps_rows", "keeps_all", "replaces_none")]
    return [f"DROP TRIGGER IF EXISTS {name}" for name in names] + ["DROP TABLE IF EXISTS billing_unbalanced_journal"]
