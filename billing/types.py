"""Values that billing hands to the layers above."""

from dataclasses import dataclass

from billing.money import MAX_PUSD


@dataclass(frozen=True, slots=True)
class PriceQuote:
    """What a model's tokens cost, in picodollars per token. ValueError for what the ledger could not hold."""

    input_pusd: int
    output_pusd: int

    def __post_init__(self) -> None:
        if not 0 <= min(self.input_pusd, self.output_pusd) <= max(self.input_pusd, self.output_pusd) <= MAX_PUSD:
            raise ValueError(f"a token costs from 0 to {MAX_PUSD:,} pUSD")


@dataclass(frozen=True, slots=True)
class Funds:
    """An organization's money at one moment, in picodollars."""

    balance_pusd: int
    held_pusd: int

    @property
    def available_pusd(self) -> int:
        return self.balance_pusd - self.held_pusd
