"""Tensors of a checkpoint folder: found, checked by name, type and shape, then read as float32."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open

from lpu_backend.config import decode_json_file
from lpu_backend.exceptions import CheckpointError
from lpu_backend.graph.decoder import LM_HEAD
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.graph.tensors import Shapes, list_expected_shapes

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
SUPPORTED_DTYPES = ("BF16", "F16", "F32")


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def list_weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the folder: the single one, or those the index names. Raises CheckpointError."""
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    if (folder / INDEX_FILE).is_file():
        names = sorted(set(decode_json_file(folder / INDEX_FILE, _Index).weight_map.values()))
        for name in names:
            if Path(name).name != name or not (folder / name).is_file():
                raise CheckpointError(f"{INDEX_FILE}: weight_map: the folder has no file {name!r}")
        return [folder / name for name in names]
    for pickle_file in sorted(folder.glob("pytorch_model*.bin")):
        raise CheckpointError(f"{pickle_file.name}: pickled weights can run code and are refused; use safetensors")
    raise CheckpointError(f"{WEIGHTS_FILE}: the folder has no such file")


def check_weight_files(files: list[Path], graph: ModelGraph) -> None:
    """Compare the headers with the graph, reading no weights. Raises CheckpointError at a difference."""
    expected = list_expected_shapes(graph)
    found: set[str] = set()
    for path in files:
        for name, dtype, shape in _list_header(path):
            if _is_ignored(name, expected):
                continue
            if name in found:
                raise CheckpointError(f"{path.name}: {name}: stored twice")
            found.add(name)
            _check_tensor(path, name, dtype, shape, expected)
    for name in expected.keys() - found:
        raise CheckpointError(f"{files[0].name}: {name}: missing")


def _is_ignored(name: str, expected: Shapes) -> bool:
    """Tensors that old exporters wrote although they follow from config.json, or repeat the embedding."""
    return name.endswith("rotary_emb.inv_freq") or (name == LM_HEAD and name not in expected)


def read_tensors(files: list[Path], hasher: "hashlib._Hash") -> dict[str, NDArray[np.float32]]:
    """Every tensor as float32. Feeds the files' bytes to `hasher` on the way, so that they are read once."""
    tensors: dict[str, NDArray[np.float32]] = {}
    for path in files:
        data = path.read_bytes()
        hasher.update(data)
        for name, stored in deserialize(data):  # type: ignore[no-untyped-call]
            if stored["dtype"] in SUPPORTED_DTYPES:
                tensors[name] = _as_float32(stored)
    return tensors


def _list_header(path: Path) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - the reader is no mapping
                tensor = file.get_slice(name)
                yield name, str(tensor.get_dtype()), tuple(tensor.get_shape())
    except SafetensorError as error:
        raise CheckpointError(f"{path.name}: not a valid safetensors file: {error}") from error


def _check_tensor(path: Path, name: str, dtype: str, shape: tuple[int, ...], expected: Shapes) -> None:
    if name not in expected:
        raise CheckpointError(f"{path.name}: {name}: unknown tensor for this configuration")
    if dtype not in SUPPORTED_DTYPES:
        raise CheckpointError(f"{path.name}: {name}: type {dtype} is not supported, only {', '.join(SUPPORTED_DTYPES)}")
    if shape != expected[name]:
        raise CheckpointError(f"{path.name}: {name}: shape {list(shape)}, expected {list(expected[name])}")


def _as_float32(stored: Mapping[str, Any]) -> NDArray[np.float32]:
    if stored["dtype"] == "BF16":
        # A bfloat16 is the upper half of a float32.
        values = (np.frombuffer(stored["data"], dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    elif stored["dtype"] == "F16":
        values = np.frombuffer(stored["data"], dtype="<f2").astype(np.float32)
    else:
        values = np.frombuffer(stored["data"], dtype="<f4")
    return values.reshape(stored["shape"])
