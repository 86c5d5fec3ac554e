"""Every page in both themes: no accessibility violation, nothing wider than a phone, a remembered theme."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Site

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
VISITOR_PAGES = ("/", "/signup", "/login", "/logout", "/account/password/reset", "/dev/mail")
PAGES = ("/home", "/keys", "/quickstart", "/playground", "/usage", "/billing", "/dev/mail", "/account/email")
THEMES = ("light", "dark")


def list_violations(page: Any) -> list[str]:
    """What axe-core finds on the page as it stands: rule and first element."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document)")["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:160]}" for each in found]


def check_page(site: Site, name: str, theme: str, folder: Path) -> None:
    page = site.page
    page.emulate_media(color_scheme=theme)
    assert list_violations(page) == [], f"{name} in {theme}"
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        wider = page.evaluate("document.documentElement.scrollWidth - document.body.offsetWidth")
        assert wider == 0, f"{name} is {wider} px wider than a screen of {width}"
        # Playwright hides the caret with an inline style, which the pages' policy rightly refuses.
        page.screenshot(path=folder / f"{name.strip('/') or 'landing'}-{theme}-{width}.png", caret="initial")
    page.set_viewport_size({"width": 1280, "height": 800})


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("path", VISITOR_PAGES)
def test_a_visitors_page_is_in_order(site: Site, path: str, theme: str, tmp_path: Path) -> None:
    site.open(path)
    check_page(site, path.replace("/", "-"), theme, tmp_path)


@pytest.mark.parametrize("theme", THEMES)
def test_the_console_is_in_order_while_it_is_empty(site: Site, theme: str, tmp_path: Path) -> None:
    site.sign_up()
    for path in PAGES:
        site.open(path)
        check_page(site, path.replace("/", "-"), theme, tmp_path)


@pytest.mark.parametrize("theme", THEMES)
def test_the_console_is_in_order_with_a_key_and_an_answer(site: Site, theme: str, tmp_path: Path) -> None:
    site.sign_up()
    site.open("/keys")
    site.page.get_by_label("Name").fill("laptop")
    site.page.get_by_role("button", name="Create key").click()
    site.page.get_by_test_id("new-key").wait_for()
    check_page(site, "new-key", theme, tmp_path)
    site.page.get_by_role("button", name="Revoke laptop").click()
    check_page(site, "revoke", theme, tmp_path)
    site.open("/playground")
    site.ask("Hello")
    site.page.get_by_test_id("emulated").wait_for()
    check_page(site, "answered", theme, tmp_path)
    for path in PAGES:
        site.open(path)
        check_page(site, f"used{path.replace('/', '-')}", theme, tmp_path)


def test_a_chosen_theme_is_remembered_and_set_before_the_page_is_drawn(site: Site) -> None:
    page = site.page
    page.emulate_media(color_scheme="light")
    site.open("/login")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Use the dark theme").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    site.open("/signup")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    # The script that sets the theme blocks the first paint: neither deferred nor asynchronous.
    assert page.evaluate("(s => s.defer || s.async)(document.querySelector('script[src*=theme]'))") is False


def test_nothing_moves_while_an_answer_streams_in(site: Site, slow_null_model: None) -> None:
    page = site.page
    site.sign_up()
    site.open("/playground")
    site.ask("Hello")
    page.get_by_test_id("answer").get_by_text("tok00").wait_for()
    before = page.get_by_test_id("figures").bounding_box()
    page.get_by_test_id("answer").get_by_text("tok05").wait_for()
    assert page.get_by_test_id("figures").bounding_box() == before
