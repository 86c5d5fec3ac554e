"""What a request costs: one formula, for holds and for charges."""

from typing import Protocol

from billing.types import UsedTokens


class TokenPrices(Protocol):
    """Picodollars per token: of a Price, or as a hold keeps them."""

    @property
    def input_pusd(self) -> int: ...
    @property
    def cached_input_pusd(self) -> int: ...
    @property
    def output_pusd(self) -> int: ...


def cost_pusd(price: TokenPrices, used: UsedTokens) -> int:
    """Exact picodollars. A batch costs half of the full price, rounded down once; the cache saves it nothing more."""
    completion_pusd = used.completion * price.output_pusd
    if used.is_batch:
        return (used.prompt * price.input_pusd + completion_pusd) // 2
    fresh = used.prompt - used.cached
    return fresh * price.input_pusd + used.cached * price.cached_input_pusd + completion_pusd
