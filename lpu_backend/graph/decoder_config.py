"""The fields of config.json that every family has, and what is refused of them."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from lpu_backend.exceptions import CheckpointError
from lpu_backend.graph.nodes import RopeTable
from lpu_backend.graph.rope import read_rope_config

Count = Annotated[int, msgspec.Meta(ge=1)]
Index = Annotated[int, msgspec.Meta(ge=0)]

SLIDING, FULL = "sliding_attention", "full_attention"


class DecoderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Under their own names; defaults as in transformers. A family adds its fields and puts in its own defaults."""

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
    rope_theta: float = 10_000.0
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    partial_rotary_factor: float = 1.0
    quantization_config: dict[str, Any] | None = None

    @property
    def query_heads(self) -> int:
        return self.num_attention_heads

    @property
    def kv_heads(self) -> int:
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_width(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def windows(self) -> tuple[int | None, ...]:
        """How many tokens each layer sees at most, itself included; None for all."""
        return (None,) * self.num_hidden_layers

    def make_rope_table(self) -> RopeTable:
        """From either spelling: `rope_parameters`, or `rope_theta` with `rope_scaling`. Raises CheckpointError."""
        fields = {
            "rope_theta": self.rope_theta,
            "partial_rotary_factor": self.partial_rotary_factor,
            "original_max_position_embeddings": self.max_position_embeddings,
            **(self.rope_scaling or {}),
            **(self.rope_parameters or {}),
        }
        return read_rope_config(fields).make_table(self.head_width)

    def list_refusals(self) -> list[tuple[bool, str, str]]:
        """Conditions: whether it is met, the field, and what to say if it is not."""
        return [
            (self.hidden_act == "silu", "hidden_act", f"{self.hidden_act!r} is not supported, only 'silu'"),
            (self.quantization_config is None, "quantization_config", "quantized checkpoints are not supported"),
            (
                self.query_heads % self.kv_heads == 0,
                "num_key_value_heads",
                f"{self.kv_heads} does not divide num_attention_heads, {self.query_heads}",
            ),
            (
                self.head_dim is not None or self.hidden_size % self.query_heads == 0,
                "num_attention_heads",
                f"{self.query_heads} does not divide hidden_size, {self.hidden_size}",
            ),
            (self.head_width % 2 == 0, "head_dim", f"{self.head_width} is odd: rotary embeddings turn pairs"),
            (self.rms_norm_eps > 0, "rms_norm_eps", "must be above 0"),
        ]

    def place_window(self, layer_types: list[str] | None, window: int | None) -> tuple[int | None, ...]:
        """`windows` from the types of the layers. Raises CheckpointError for a type or a number that cannot be."""
        types = [FULL if window is None else SLIDING] * self.num_hidden_layers if layer_types is None else layer_types
        for found in types:
            if found not in (SLIDING, FULL):
                raise CheckpointError(f"config.json: layer_types: {found!r} is not supported, only {SLIDING}, {FULL}")
        if len(types) != self.num_hidden_layers:
            raise CheckpointError(f"config.json: layer_types: {len(types)} for {self.num_hidden_layers} layers")
        # A window of the whole context hides nothing.
        is_narrow = window is not None and window < self.max_position_embeddings
        return tuple(window if is_narrow and found == SLIDING else None for found in types)


Config = TypeVar("Config", bound=DecoderConfig)


def read_config(fields: Mapping[str, Any], family: type[Config]) -> Config:
    """Check the fields of config.json. Raises CheckpointError that names the one that cannot be served."""
    try:
        config = msgspec.convert(fields, family)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"config.json: {error}") from error
    for is_met, field, refusal in config.list_refusals():
        if not is_met:
            raise CheckpointError(f"config.json: {field}: {refusal}")
    return config
