from pathlib import Path
from typing import Any

from django.core.mail import get_connection, send_mail
from django.core.mail.message import EmailMessage
from django.test import Client

from tests.console.pages import text_of


def test_it_says_that_there_is_no_mail_yet(client: Client, mail_dir: Path) -> None:
    assert "No mail yet." in text_of(client.get("/dev/mail"))


def test_it_shows_every_mail_with_its_text_escaped(client: Client, mail_dir: Path) -> None:
    mails = [EmailMessage(f"Subject {n}", f"<b>Körper</b> {n}", "a@example.com", ["b@example.com"]) for n in range(2)]
    get_connection().send_messages(mails)
    response = client.get("/dev/mail")
    assert "Subject 1 To b@example.com" in text_of(response)
    assert "<b>Körper</b> 0" in text_of(response)
    assert b"<b>" not in response.content


def test_production_has_no_such_page(client: Client, mail_dir: Path, settings: Any) -> None:
    send_mail("A secret", "text", "a@example.com", ["b@example.com"])
    settings.IS_PRODUCTION = True
    assert client.get("/dev/mail").status_code == 404
