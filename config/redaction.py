"""Logs never carry what lets someone in: keys and bearer tokens are struck out of every line and traceback."""

import logging
import re

SECRETS = re.compile(r"(lpu_sk_|sk_live_|sk_test_|rk_live_|whsec_)[A-Za-z0-9_]{4,}|([Bb]earer )[A-Za-z0-9._~+/=-]{8,}")


def redact_text(text: str) -> str:
    return SECRETS.sub(lambda match: f"{match.group(1) or match.group(2)}[redacted]", text)


class RedactingFilter(logging.Filter):
    """Redacts the message and its arguments before any formatter sees them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact_text(record.getMessage())
        record.args = None
        return True


class RedactingFormatter(logging.Formatter):
    """Redacts the whole line once more: a traceback is only rendered here."""

    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))
