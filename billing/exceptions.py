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
