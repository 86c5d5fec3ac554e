"""A real Chromium on the real path: server, queue and worker in this process.

Playwright's sync API runs an event loop in the main thread, so these tests have a pytest of their own.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache

from tests.console.conftest import PASSWORD

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Django refuses database work beside a running event loop; here the loop is Playwright's and never touches Django.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@dataclass
class Site:
    """The running product, one open page of it, and what a well-behaved page leaves empty."""

    url: str
    page: Any
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")

    def sign_up(self, email: str = "ada@example.com") -> None:
        self.open("/signup")
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign up").click()
        self.page.wait_for_url("**/home")

    def ask(self, prompt: str) -> None:
        self.page.get_by_label("Model").select_option("null-16")
        self.page.get_by_label("Message").fill(prompt)
        self.page.keyboard.press("Enter")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("No Chromium on PATH.")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def site(chromium: Any, server: str, worker_pulse: None, settings: Any, tmp_path: Path) -> Iterator[Site]:
    """Fails a test whose pages complain in the console, throw, or ask another host for anything."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = settings.MAIL_DIR = tmp_path / "mail"
    settings.PUBLIC_URL = server
    cache.clear()
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(15_000)
    site = Site(url=server, page=context.new_page())
    _listen(site)
    yield site
    context.close()
    assert site.complaints == []


def _listen(site: Site) -> None:
    def on_console(message: Any) -> None:
        if message.type in {"error", "warning"}:
            site.complaints.append(message.text)

    def on_request(request: Any) -> None:
        if not request.url.startswith(f"{site.url}/"):
            site.complaints.append(f"asked another host: {request.url}")

    site.page.on("console", on_console)
    site.page.on("pageerror", lambda error: site.complaints.append(str(error)))
    site.page.on("request", on_request)
