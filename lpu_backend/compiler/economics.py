"""Tokens per dollar and per watt, with everything that is assumed in them."""

from dataclasses import dataclass
from typing import NamedTuple

from lpu_backend.chip import ChipSpec
from lpu_backend.compiler.step_time import Rates

_SECONDS_A_YEAR = 365 * 24 * 3600
_JOULES_A_KWH = 3_600_000


@dataclass(frozen=True)
class Prices:
    """What chips and energy cost. The price is that of a card at retail; lifetime, use and energy are assumed."""

    chip_usd: float = 20_000.0
    lifetime_years: float = 5.0
    energy_usd_per_kwh: float = 0.10

    def describe(self, chip: ChipSpec) -> str:
        return (
            f"assumed: ${self.chip_usd:,.0f} a chip (a card at retail), written off over {self.lifetime_years:g} years "
            f"of full use; ${self.energy_usd_per_kwh:.2f} a kWh at {chip.system_power_watts} W a chip (SHIP, system)"
        )


class Economy(NamedTuple):
    """`tokens_per_watt` is tokens a second for each watt, which is tokens a joule. All users at once."""

    tokens_per_dollar: float
    tokens_per_watt: float


def find_economy(rates: Rates, chips: int, chip: ChipSpec, prices: Prices) -> Economy:
    """Every chip is paid for and powered, also those that hold nothing."""
    watts = chips * chip.system_power_watts
    usd_per_second = chips * prices.chip_usd / (prices.lifetime_years * _SECONDS_A_YEAR)
    usd_per_second += watts / _JOULES_A_KWH * prices.energy_usd_per_kwh
    return Economy(rates.tokens_per_second / usd_per_second, rates.tokens_per_second / watts)
