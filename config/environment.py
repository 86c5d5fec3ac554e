"""Typed reads of the process environment, with errors that name the variable and what it takes."""

import os
import secrets
from pathlib import Path
from typing import Literal

from django.core.exceptions import ImproperlyConfigured

Environment = Literal["development", "test", "production"]


def read_text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def read_flag(name: str) -> bool:
    value = read_text(name, "0").lower()
    if value not in {"0", "1", "true", "false"}:
        raise ImproperlyConfigured(f"{name} is {value!r}; it takes 1 or 0.")
    return value in {"1", "true"}


def read_whole(name: str, default: int) -> int:
    value = read_text(name, str(default))
    if not value.isdigit():
        raise ImproperlyConfigured(f"{name} is {value!r}; it takes a whole number.")
    return int(value)


def read_share(name: str, default: float) -> float:
    value = read_text(name, str(default))
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise ImproperlyConfigured(f"{name} is {value!r}; it takes a number from 0 to 1.")
    return share


def read_list(name: str) -> list[str]:
    return [part.strip() for part in read_text(name).split(",") if part.strip()]


def read_environment() -> Environment:
    """`LPU_ENV`; production when nothing is said, so that a forgotten variable never weakens a deployment."""
    value = read_text("LPU_ENV", "production")
    if value == "development":
        return "development"
    if value == "test":
        return "test"
    if value == "production":
        return "production"
    raise ImproperlyConfigured(f"LPU_ENV is {value!r}; it takes development, test or production.")


def read_data_dir(base_dir: Path) -> Path:
    """`LPU_DATA`, created for its owner alone: it holds the database, the secret key and the mail of development."""
    data_dir = Path(read_text("LPU_DATA", str(base_dir / ".data"))).expanduser().resolve()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return data_dir


def read_secret_key(environment: Environment, data_dir: Path) -> str:
    """`LPU_SECRET_KEY`; outside production one is made at the first start and kept in the data folder."""
    given = read_text("LPU_SECRET_KEY")
    if given:
        return given
    if environment == "production":
        raise ImproperlyConfigured(
            "LPU_SECRET_KEY is not set. Production needs one; for development run `python3 dev.py up`, "
            "or set LPU_ENV=development."
        )
    path = data_dir / "secret_key"
    try:
        # Exclusive creation: of several processes that start at once, one writes and the others read.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
    return path.read_text().strip()
