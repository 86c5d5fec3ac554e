"""Values that billing hands to the layers above."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PriceQuote:
    """What a model's tokens cost, in picodollars per token."""

    input_pusd: int
    output_pusd: int


@dataclass(frozen=True, slots=True)
class Funds:
    """An organization's money at one moment, in picodollars."""

    balance_pusd: int
    held_pusd: int

    @property
    def available_pusd(self) -> int:
        return self.balance_pusd - self.held_pusd
