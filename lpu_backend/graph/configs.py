"""Configurations of published models, by name, and of any model, by path. No weights."""

import json
from pathlib import Path
from typing import Any

from lpu_backend.exceptions import CheckpointError

_FOLDER = Path(__file__).parent.parent / "data" / "configs"


def list_config_names() -> list[str]:
    """Models whose config.json comes along; each file's `source` says where its fields are from."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def load_config(name: str) -> dict[str, Any]:
    """The fields of a config.json: of a name of `list_config_names`, a file, or a checkpoint's folder.

    CheckpointError if it is neither or no JSON object; OSError.
    """
    if name in list_config_names():
        return _read(_FOLDER / f"{name}.json")
    path = Path(name)
    path = path / "config.json" if path.is_dir() else path
    if not path.exists():
        raise CheckpointError(f"{name} is no file, and no model of {', '.join(list_config_names())}")
    return _read(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise CheckpointError(f"{path} is no JSON") from None
    if not isinstance(fields, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return fields
