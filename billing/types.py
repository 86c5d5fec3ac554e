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
class UsedTokens:
    """What a request is charged for. `cached` of the prompt's tokens were in the prefix cache; a batch costs half."""

    prompt: int
    completion: int
    cached: int = 0
    is_batch: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.cached <= self.prompt or self.completion < 0:
            raise ValueError("Tokens are not negative, and no more are cached than the prompt has.")


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """Asks to set aside the most that a request can cost: every token of `most`, none of them cached."""

    request_id: str
    organization_id: str
    model: str
    most: UsedTokens


@dataclass(frozen=True, slots=True)
class HoldClosing:
    """How a hold is to end: charged for what was used, or released where that is None."""

    request_id: str
    used: UsedTokens | None


@dataclass(frozen=True, slots=True)
class Charge:
    """What a closed hold means for its organization's balance, in picodollars; 0 <= cost <= held."""

    request_id: str
    organization_id: str
    held_pusd: int
    cost_pusd: int


@dataclass(frozen=True, slots=True)
class Funds:
    """An organization's money at one moment, in picodollars."""

    balance_pusd: int
    held_pusd: int

    @property
    def available_pusd(self) -> int:
        return self.balance_pusd - self.held_pusd
