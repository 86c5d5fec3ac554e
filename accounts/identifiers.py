"""Opaque, prefixed identifiers: a reader, a log line and a secret scanner can all tell what one names."""

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz"
ID_LENGTH = 20
SECRET_LENGTH = 40
KEY_PREFIX = "lpu_sk_"


def random_text(length: int) -> str:
    """Each character is drawn evenly, to within 2^-64: one call to the system's generator, not one for each."""
    digits, number = [], secrets.randbits(6 * length + 64)
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(digits)


def new_organization_id() -> str:
    return f"org_{random_text(ID_LENGTH)}"


def new_project_id() -> str:
    return f"proj_{random_text(ID_LENGTH)}"


def new_api_key_id() -> str:
    return f"key_{random_text(ID_LENGTH)}"


def new_api_key_secret() -> str:
    """About 230 bits from the system's generator."""
    return f"{KEY_PREFIX}{random_text(SECRET_LENGTH)}"
