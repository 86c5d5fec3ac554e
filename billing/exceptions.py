"""What billing refuses, with the API's own codes."""


class BillingError(Exception):
    """Base of what billing refuses."""


class InsufficientBalanceError(BillingError):
    code = "insufficient_balance"
    status = 402
    message = (
        "The balance does not cover this request. Add credit on the billing page, or lower `max_completion_tokens`."
    )


class NoPriceError(BillingError):
    """A model without a price in effect cannot be served: it could not be billed."""


class PaymentsNotConfiguredError(BillingError):
    message = "Payments are not configured on this installation."


class PaymentUnavailableError(BillingError):
    message = "The payment service did not answer. You have not been charged; try again in a minute."


class TopUpAmountError(BillingError):
    message = "A top-up is between $5 and $1,000."


class TopUpNotFoundError(BillingError):
    """A Checkout session that no top-up of ours began, or that Stripe does not know."""


class TopUpMismatchError(BillingError):
    """Stripe was paid another amount or currency than was asked for: a person has to look, and nothing is credited."""


class EventSignatureError(BillingError):
    """A webhook that Stripe did not sign, or not within the last minutes."""


class LedgerError(BillingError):
    """A journal that must not be posted; whoever sees it lets the transaction fail."""


class ChargeExceedsHoldError(LedgerError):
    """More was used than was set aside: the caller broke its own bound, and the hold stays open."""
