"""Units of money. Everything inside is whole picodollars (pUSD); other units exist only at the edges.

USD per million tokens is micro-USD per token, so a price of 0.59 is 590,000 pUSD per token, exactly.
Signed 64 bits hold up to 9.22 million USD, which bounds one organization's balance: docs/adr/0002-whole-picodollars.md.
"""

from decimal import Decimal

PUSD_PER_USD = 10**12
PUSD_PER_CENT = 10**10
PUSD_PER_USD_PER_MILLION = 10**6
MAX_PUSD = 2**63 - 1


def price_per_token_pusd(usd_per_million: Decimal) -> int:
    """Picodollars per token of a price in USD per million tokens; ValueError if that is not a whole number."""
    exact = usd_per_million * PUSD_PER_USD_PER_MILLION
    if exact != exact.to_integral_value() or exact < 0:
        raise ValueError(f"{usd_per_million} USD per million tokens is not a whole number of picodollars per token.")
    return int(exact)


def to_usd(amount_pusd: int) -> Decimal:
    """The exact amount in USD, unrounded."""
    return Decimal(amount_pusd).scaleb(-12)


def format_usd(amount_pusd: int) -> str:
    """The amount to its last digit, with at least two decimals: what a page shows is what the ledger holds."""
    whole, _, decimals = f"{to_usd(abs(amount_pusd)):,f}".partition(".")
    return f"{'-' if amount_pusd < 0 else ''}${whole}.{decimals.rstrip('0').ljust(2, '0')}"
