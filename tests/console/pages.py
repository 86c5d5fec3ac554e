"""Reading a page the way a test asks about it."""

import re
from html import unescape
from typing import Any


def text_of(response: Any) -> str:
    """What a page says, without tags and with single spaces."""
    body = re.sub(r"<(head|script)\b.*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def text_in(response: Any, testid: str) -> str:
    """What the one element with this `data-testid` says."""
    found = re.findall(rf'data-testid="{testid}"[^>]*>(.*?)</', response.content.decode(), flags=re.DOTALL)
    assert len(found) == 1, f"{len(found)} elements with data-testid={testid}"
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[0])).split())
