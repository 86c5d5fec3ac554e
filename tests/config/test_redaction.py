"""Keys never reach a log."""

import io
import logging

import pytest

from config.redaction import RedactingFilter, RedactingFormatter

KEY = "lpu_sk_AbCdEfGhJkMnPqRs"


@pytest.fixture
def logged() -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    writer = logging.StreamHandler(stream)
    writer.addFilter(RedactingFilter())
    writer.setFormatter(RedactingFormatter("{message}", style="{"))
    logger = logging.Logger("redaction")
    logger.addHandler(writer)
    return logger, stream


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        (f"key {KEY}", ()),
        ("key %s", (KEY,)),
        ("headers %s", ({"authorization": f"Bearer {KEY}"},)),
        ("stripe %s", ("sk_live_AbCdEfGhJkMnPqRs",)),
        ("webhook %s", ("whsec_AbCdEfGhJkMnPqRs",)),
    ],
)
def test_it_strikes_out_keys(
    logged: tuple[logging.Logger, io.StringIO], message: str, arguments: tuple[object, ...]
) -> None:
    logger, stream = logged
    logger.error(message, *arguments)
    assert "AbCdEfGhJkMnPqRs" not in stream.getvalue()
    assert "[redacted]" in stream.getvalue()


def test_it_strikes_out_keys_in_tracebacks(logged: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = logged
    try:
        raise ValueError(KEY)
    except ValueError:
        logger.exception("failed")
    assert "ValueError" in stream.getvalue()
    assert "AbCdEfGhJkMnPqRs" not in stream.getvalue()
