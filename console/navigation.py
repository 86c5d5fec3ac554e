"""The console's pages, in the order of the navigation."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

PAGES = (
    ("home", "Home"),
    ("api-keys", "API keys"),
    ("quickstart", "Quickstart"),
    ("playground", "Playground"),
    ("usage", "Usage"),
    ("billing", "Billing"),
)
ICONS = {"api-keys": "icons/key.svg"}


@dataclass(frozen=True, slots=True)
class Link:
    url: str
    label: str
    icon: str
    is_current: bool


def list_links(request: HttpRequest) -> list[Link]:
    links = []
    for name, label in PAGES:
        url = reverse(f"console:{name}")
        links.append(Link(url, label, ICONS.get(name, f"icons/{name}.svg"), is_current=request.path == url))
    return links
