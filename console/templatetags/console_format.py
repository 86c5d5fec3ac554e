"""How figures are written on pages."""

from django import template

from billing.money import format_usd

register = template.Library()

SECOND_UNITS = ((1.0, 1, "s"), (1e-3, 1e3, "ms"), (1e-6, 1e6, "µs"), (0.0, 1e9, "ns"))


@register.filter
def usd(amount_pusd: int) -> str:
    return format_usd(amount_pusd)


@register.filter
def signed_usd(amount_pusd: int) -> str:
    """An amount with its sign: what a ledger entry adds or takes."""
    sign = "−" if amount_pusd < 0 else "+"  # noqa: RUF001 - a minus sign, as wide as the plus
    return f"{sign}{format_usd(abs(amount_pusd))}"


@register.filter
def seconds(value: float) -> str:
    """A duration in the unit that leaves three significant digits before the point at most."""
    for least, per_second, unit in SECOND_UNITS:
        if value >= least:
            return f"{value * per_second:,.3g} {unit}"
    raise ValueError("A duration is not negative.")
