from typing import Any

from django.test import Client

from accounts.types import IssuedKey
from tests.console.pages import text_of


def test_it_shows_a_call_in_three_dialects(browser: Client, settings: Any) -> None:
    settings.PUBLIC_URL = "https://lpu.example"
    text = text_of(browser.get("/quickstart"))
    assert "curl https://lpu.example/v1/chat/completions" in text
    assert 'base_url="https://lpu.example/v1"' in text
    assert 'base_url="https://lpu.example"' in text
    assert text.count("YOUR_API_KEY") == 4


def test_it_asks_for_a_key_while_there_is_none(browser: Client) -> None:
    assert "Create a key" in text_of(browser.get("/quickstart"))


def test_it_offers_another_key_afterwards(browser: Client, issued_key: IssuedKey) -> None:
    assert "Create another key" in text_of(browser.get("/quickstart"))


def test_home_marks_what_is_done(browser: Client, issued_key: IssuedKey) -> None:
    assert text_of(browser.get("/home")).count("done") == 1
