"""config.json of a checkpoint: read, checked and refused by name before any weight is read."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from lpu_backend.exceptions import CheckpointError
from lpu_backend.graph.families import make_graph
from lpu_backend.graph.nodes import ModelGraph

CONFIG_FILE = "config.json"
GENERATION_CONFIG_FILE = "generation_config.json"

T = TypeVar("T")


class _EndOfTurn(msgspec.Struct):
    eos_token_id: int | list[int] | None = None


def read_graph(folder: Path) -> ModelGraph:
    """The model of `folder/config.json`. Raises CheckpointError with the field that cannot be served."""
    return make_graph(decode_json_file(folder / CONFIG_FILE, dict[str, Any]))


def read_end_of_turn_ids(folder: Path) -> frozenset[int]:
    """Ids that end an answer: generation_config.json's `eos_token_id`, else config.json's; one id or a list."""
    path = folder / GENERATION_CONFIG_FILE
    ids = decode_json_file(path, _EndOfTurn).eos_token_id if path.is_file() else None
    if ids is None:
        ids = decode_json_file(folder / CONFIG_FILE, _EndOfTurn).eos_token_id
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)


def decode_json_file(path: Path, shape: type[T]) -> T:
    """Decode a JSON file of the folder into `shape`. Raises CheckpointError that names the file and the field."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except OSError as error:
        raise CheckpointError(f"{path.name}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path.name}: {error}") from error
