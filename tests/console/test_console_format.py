import pytest

from billing.money import format_usd
from console.templatetags.console_format import seconds, signed_usd


@pytest.mark.parametrize(
    ("amount_pusd", "text"),
    [
        (0, "$0.00"),
        (10**12, "$1.00"),
        (1, "$0.000000000001"),
        (-15 * 10**9, "-$0.015"),
        (1_234_567 * 10**12 + 5 * 10**9, "$1,234,567.005"),
    ],
)
def test_an_amount_keeps_every_digit(amount_pusd: int, text: str) -> None:
    assert format_usd(amount_pusd) == text


def test_a_ledger_amount_carries_its_sign() -> None:
    assert signed_usd(10**12) == "+$1.00"
    assert signed_usd(-1_830_000) == "\N{MINUS SIGN}$0.00000183"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0 ns"), (3e-8, "30 ns"), (0.00012, "120 µs"), (0.0125, "12.5 ms"), (2.0, "2 s")]
)
def test_a_duration_is_in_the_unit_that_suits_it(value: float, text: str) -> None:
    assert seconds(value) == text
