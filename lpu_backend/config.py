"""config.json of a Llama checkpoint: read, checked and refused by name before any weight is read."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from lpu_backend.exceptions import CheckpointError
from lpu_backend.runtime.rope import RopeConfig

CONFIG_FILE = "config.json"
GENERATION_CONFIG_FILE = "generation_config.json"

T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=1)]


class ModelConfig(msgspec.Struct, frozen=True):
    """The fields of config.json that decide the computation, under their own names; defaults as in transformers."""

    model_type: str
    vocab_size: Count
    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    num_key_value_heads: Count | None = None
    head_dim: Count | None = None
    max_position_embeddings: Count = 2048
    rms_norm_eps: float = 1e-6
    hidden_act: str = "silu"
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    rope_theta: float = 10_000.0
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    quantization_config: dict[str, Any] | None = None
    eos_token_id: int | list[int] | None = None

    @property
    def query_heads(self) -> int:
        return self.num_attention_heads

    @property
    def kv_heads(self) -> int:
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_width(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    def rope(self) -> RopeConfig:
        """Rotary settings from either spelling: `rope_parameters`, or `rope_theta` with `rope_scaling`."""
        fields = {"rope_theta": self.rope_theta, **(self.rope_scaling or {}), **(self.rope_parameters or {})}
        fields.setdefault("rope_type", fields.get("type", "default"))
        fields.setdefault("original_max_position_embeddings", self.max_position_embeddings)
        try:
            return msgspec.convert(fields, RopeConfig)
        except msgspec.ValidationError as error:
            raise CheckpointError(f"{CONFIG_FILE}: rope settings: {error}") from error


class _EndOfTurn(msgspec.Struct):
    eos_token_id: int | list[int] | None = None


def read_model_config(folder: Path) -> ModelConfig:
    """Read and check `folder/config.json`. Raises CheckpointError with the field that cannot be served."""
    config = decode_json_file(folder / CONFIG_FILE, ModelConfig)
    for field, refusal in _list_refusals(config):
        raise CheckpointError(f"{CONFIG_FILE}: {field}: {refusal}")
    config.rope().inverse_frequencies(config.head_width)
    return config


def read_end_of_turn_ids(folder: Path, config: ModelConfig) -> frozenset[int]:
    """Ids that end an answer: generation_config.json's `eos_token_id`, else config.json's; one id or a list."""
    path = folder / GENERATION_CONFIG_FILE
    ids = decode_json_file(path, _EndOfTurn).eos_token_id if path.is_file() else None
    ids = config.eos_token_id if ids is None else ids
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


def _list_refusals(config: ModelConfig) -> list[tuple[str, str]]:
    checks = [
        (config.model_type == "llama", "model_type", f"{config.model_type!r} is not supported, only 'llama'"),
        (config.hidden_act == "silu", "hidden_act", f"{config.hidden_act!r} is not supported, only 'silu'"),
        (config.quantization_config is None, "quantization_config", "quantized checkpoints are not supported"),
        (
            config.query_heads % config.kv_heads == 0,
            "num_key_value_heads",
            f"{config.kv_heads} does not divide num_attention_heads, {config.query_heads}",
        ),
        (
            config.head_dim is not None or config.hidden_size % config.query_heads == 0,
            "num_attention_heads",
            f"{config.query_heads} does not divide hidden_size, {config.hidden_size}",
        ),
        (config.head_width % 2 == 0, "head_dim", f"{config.head_width} is odd: rotary embeddings turn pairs"),
        (config.rms_norm_eps > 0, "rms_norm_eps", "must be above 0"),
    ]
    return [(field, refusal) for is_served, field, refusal in checks if not is_served]
