"""Values that accounts hands to the layers above."""

from dataclasses import dataclass, field

from accounts.models import ApiKey


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key just made: the row, and the secret to show once. The secret stays out of `repr`."""

    api_key: ApiKey
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a request runs; `api_key_id` is None for the console's own playground."""

    organization_id: str
    project_id: str
    plan: str
    api_key_id: str | None = None
