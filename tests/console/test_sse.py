import pytest

from console.sse import format_event, format_text_event


def read_data(event: bytes) -> str:
    """What a browser hands to the page: the data lines joined, one space after the colon dropped."""
    lines = event.decode().split("\n")
    return "\n".join(line.removeprefix("data:").removeprefix(" ") for line in lines if line.startswith("data:"))


@pytest.mark.parametrize("text", [" leading", "  two", "\n", "a\nb\n", "trailing ", "", "data: x\n\nevent: done"])
def test_spaces_and_newlines_arrive_as_they_were(text: str) -> None:
    assert read_data(format_text_event("token", text, event_id=3)) == text


def test_markup_arrives_as_text() -> None:
    event = format_text_event("token", "<b>&\"'", event_id=0)
    assert read_data(event) == "&lt;b&gt;&amp;&quot;&#x27;"


def test_a_carriage_return_does_not_break_the_line() -> None:
    assert read_data(format_text_event("token", "a\r\nb", event_id=0)) == "a&#13;\nb"


def test_an_event_is_named_and_ends_with_an_empty_line() -> None:
    assert format_event("done", "done") == b"event: done\ndata: done\n\n"
