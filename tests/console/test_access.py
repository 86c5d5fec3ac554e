import pytest
from django.test import Client

PRIVATE = ("/home", "/keys", "/quickstart", "/playground", "/usage", "/billing", "/set-up")
PUBLIC = ("/", "/signup", "/login", "/account/password/reset", "/dev/mail")


@pytest.mark.django_db
@pytest.mark.parametrize("path", PRIVATE)
def test_a_visitor_is_led_to_log_in(client: Client, path: str) -> None:
    assert client.get(path)["Location"] == f"/login?next={path}"


@pytest.mark.django_db
@pytest.mark.parametrize("path", PUBLIC)
def test_a_visitor_sees(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", PRIVATE[:-1])
def test_the_page_names_itself_and_its_place_in_the_navigation(browser: Client, path: str) -> None:
    page = browser.get(path).content.decode()
    assert "<title>" in page
    assert page.count('aria-current="page"') == 1
    assert page.count("<h1") == 1
    assert 'href="#content"' in page


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*PUBLIC, "/nothing-here"])
def test_every_page_forbids_inline_code_and_other_hosts(client: Client, path: str) -> None:
    headers = client.get(path).headers
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.django_db
def test_the_admin_site_keeps_its_own_scripts(client: Client) -> None:
    assert "Content-Security-Policy" not in client.get("/admin/login/").headers


@pytest.mark.parametrize("path", PRIVATE[:-1])
def test_a_page_with_private_figures_is_never_stored(browser: Client, path: str) -> None:
    assert "no-store" in browser.get(path)["Cache-Control"]


def test_signed_in_people_are_led_past_the_landing_page(browser: Client) -> None:
    assert browser.get("/")["Location"] == "/home"


@pytest.mark.django_db
def test_an_unknown_address_says_so(client: Client) -> None:
    response = client.get("/nothing-here")
    assert response.status_code == 404
    assert b"Page not found" in response.content


@pytest.mark.django_db
def test_a_form_from_elsewhere_is_refused_with_a_page() -> None:
    response = Client(enforce_csrf_checks=True).post("/login", {"login": "a@example.com", "password": "x"})
    assert response.status_code == 403
    assert b"Not allowed" in response.content
