"""The mail that development keeps in files instead of sending."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

# Django's file backend writes a line of this many dashes after each message.
SEPARATOR = b"\n" + b"-" * 79 + b"\n"
SHOWN_MAILS = 50


@dataclass(frozen=True, slots=True)
class Mail:
    subject: str
    to: str
    text: str
    sent_at: datetime


def list_mails(folder: Path) -> list[Mail]:
    """The newest messages in `folder`, newest first; empty where no mail was ever written."""
    files = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    mails = [mail for path in files[:SHOWN_MAILS] for mail in reversed(_read_mails(path))]
    return mails[:SHOWN_MAILS]


def _read_mails(path: Path) -> list[Mail]:
    return [_parse_mail(content, path) for content in path.read_bytes().split(SEPARATOR) if content.strip()]


def _parse_mail(content: bytes, path: Path) -> Mail:
    message = message_from_bytes(content, policy=policy.default)
    if not isinstance(message, EmailMessage):
        raise TypeError(f"{path.name} holds no mail.")
    body = message.get_body(preferencelist=("plain",))
    return Mail(
        subject=str(message["Subject"]),
        to=str(message["To"]),
        text=body.get_content().strip() if body else "",
        sent_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
    )
