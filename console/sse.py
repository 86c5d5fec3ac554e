"""Server-sent events whose data is HTML, exact to the last space and newline."""

from html import escape


def format_text_event(event: str, text: str, *, event_id: int) -> bytes:
    """One event that appends `text`, escaped; a carriage return would end the line, so it is named."""
    return format_event(event, escape(text).replace("\r", "&#13;"), event_id=event_id)


def format_event(event: str, html: str, *, event_id: int | None = None) -> bytes:
    """One event. Every line of the data is prefixed, and one space after the colon is not part of it."""
    lines = [f"event: {event}"]
    if event_id is not None:
        lines.append(f"id: {event_id}")
    lines += [f"data: {line}" for line in html.split("\n")]
    return ("\n".join(lines) + "\n\n").encode()
