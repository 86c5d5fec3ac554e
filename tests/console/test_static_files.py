import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def test_a_file_comes_whole_with_its_type(client: Client) -> None:
    response = client.get("/static/js/theme.js")
    assert not response.streaming
    assert response["Content-Type"].startswith("text/javascript")
    assert b"localStorage" in response.content


def test_an_unchanged_file_is_not_sent_again(client: Client) -> None:
    first = client.get("/static/favicon.svg")
    again = client.get("/static/favicon.svg", headers={"if-modified-since": first["Last-Modified"]})
    assert again.status_code == 304
    assert again.content == b""
