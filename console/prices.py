"""Prices as people read them: USD per million tokens."""

from dataclasses import dataclass
from decimal import Decimal

from billing.exceptions import NoPriceError
from billing.money import PUSD_PER_USD_PER_MILLION
from billing.selectors import get_price
from inference.selectors import list_models


@dataclass(frozen=True, slots=True)
class PriceLine:
    model: str
    input_usd: str
    cached_input_usd: str
    output_usd: str


def list_prices() -> list[PriceLine]:
    """The prices in effect now of the models that requests may name."""
    lines = []
    for model in list_models():
        try:
            price = get_price(model.pk)
        except NoPriceError:
            continue
        usd = (_per_million(pusd) for pusd in (price.input_pusd, price.cached_input_pusd, price.output_pusd))
        lines.append(PriceLine(model.pk, *usd))
    return lines


def _per_million(pusd_per_token: int) -> str:
    whole, _, decimals = f"{Decimal(pusd_per_token) / PUSD_PER_USD_PER_MILLION:f}".partition(".")
    return f"{whole}.{decimals.ljust(2, '0')}"
