"""From the landing page to a streamed, billed answer, as a developer with a browser goes."""

import re
from typing import Any

from accounts.selectors import get_caller
from inference.models import Job
from tests.browser.conftest import Site
from tests.serving import wait_for_end


def test_a_developer_signs_up_gets_a_key_and_an_answer_and_signs_out(site: Site) -> None:
    page = site.page
    site.open("/")
    page.get_by_role("link", name="Create an account").click()
    site.sign_up()

    page.get_by_role("link", name="API keys").first.click()
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Create key").click()
    secret = page.get_by_test_id("new-key").inner_text()
    assert get_caller(f"Bearer {secret}").organization_id
    assert f"Bearer {secret}" in page.locator("#snippet-curl").inner_text()
    page.get_by_role("tab", name="openai").click()
    assert f'api_key="{secret}"' in page.locator("#snippet-openai").inner_text()
    page.reload()
    assert secret not in page.content()

    page.get_by_role("link", name="Playground").click()
    site.ask("Hello")
    page.get_by_test_id("emulated").wait_for()
    assert page.get_by_test_id("answer").inner_text().split() == [f"tok{n:02d}" for n in range(16)]
    assert re.fullmatch(r"[\d.,]+ ms", page.get_by_test_id("ttft").inner_text())
    assert page.get_by_test_id("completion-tokens").inner_text() == "16"

    page.get_by_role("link", name="Usage").click()
    assert page.get_by_test_id("total-requests").inner_text() == "1"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site.url}/")
    site.open("/home")
    assert page.url.endswith("/login?next=/home")


def test_the_confirmation_mail_is_one_click_away(site: Site) -> None:
    site.sign_up()
    site.page.get_by_role("link", name="Open the mail").click()
    site.page.get_by_role("link", name=re.compile("confirm-email")).click()
    site.open("/home")
    assert site.page.get_by_text("Confirm your e-mail address").count() == 0


def test_a_key_is_revoked_after_a_question(site: Site) -> None:
    site.sign_up()
    site.open("/keys")
    site.page.get_by_label("Name").fill("laptop")
    site.page.get_by_role("button", name="Create key").click()
    site.page.get_by_role("button", name="Revoke laptop").click()
    site.page.get_by_role("button", name="Revoke the key").click()
    site.page.get_by_text("is revoked").wait_for()
    assert site.page.get_by_role("button", name="Revoke laptop").count() == 0


def test_stop_ends_an_answer_early(site: Site, slow_null_model: None) -> None:
    site.sign_up()
    site.open("/playground")
    site.ask("Hello")
    site.page.get_by_test_id("answer").get_by_text("tok01").wait_for()
    site.page.get_by_role("button", name="Stop").click()
    site.page.get_by_text("Ended by").wait_for()
    assert Job.objects.get().completion_tokens < 16
    assert site.page.get_by_role("button", name="Stop").count() == 0


def test_closing_the_page_cancels_the_answer(site: Site, slow_null_model: None) -> None:
    site.sign_up()
    site.open("/playground")
    site.ask("Hello")
    site.page.get_by_test_id("answer").get_by_text("tok01").wait_for()
    site.page.close()
    assert wait_for_end(Job.objects.get().pk).state == Job.State.CANCELLED


def test_a_second_turn_knows_the_first(site: Site) -> None:
    site.sign_up()
    site.open("/playground")
    site.ask("Hello")
    site.page.get_by_test_id("emulated").wait_for()
    site.ask("And again?")
    site.page.get_by_test_id("emulated").nth(1).wait_for()
    first, second = Job.objects.order_by("created_at")
    assert second.prompt_tokens > first.prompt_tokens + first.completion_tokens


def test_a_fault_is_shown_where_the_answer_would_be(site: Site, broken_null_model: None) -> None:
    site.sign_up()
    site.open("/playground")
    site.ask("Hello")
    site.page.get_by_text("Nothing was billed").wait_for()


def test_an_ended_session_leads_to_log_in_and_back(site: Site) -> None:
    site.sign_up()
    site.open("/playground")
    site.page.context.clear_cookies(name="sessionid")
    site.ask("Hello")
    site.page.wait_for_url("**/login?next=%2Fplayground")


def test_the_whole_way_works_by_keyboard(site: Site) -> None:
    page = site.page
    site.open("/signup")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.get_by_label("Email").focus()
    page.keyboard.type("keys@example.com")
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse battery staple")
    page.keyboard.press("Enter")
    page.wait_for_url("**/home")
    _press_until(page, "Tab", "API keys")
    page.keyboard.press("Enter")
    page.wait_for_url("**/keys")
    page.get_by_label("Name").wait_for()
    _press_until_label(page, "id_name")
    page.keyboard.type("laptop")
    page.keyboard.press("Enter")
    page.get_by_test_id("new-key").wait_for()
    _press_until(page, "Tab", "curl")
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="openai").get_attribute("aria-selected") == "true"
    assert page.locator("#panel-openai").is_visible()
    assert not page.locator("#panel-curl").is_visible()


def _press_until(page: Any, key: str, text: str) -> None:
    for _ in range(40):
        page.keyboard.press(key)
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            return
    raise AssertionError(f"{text} is not reached with {key}.")


def _press_until_label(page: Any, element_id: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == element_id:
            return
    raise AssertionError(f"{element_id} is not reached.")
