"""A compiled model as an artefact: immutable, with a hash of its content that is the same on every host.

It holds whole numbers and names alone, written in one canonical form, so that equal programs have equal bytes. What
the schedules consist of, instruction by instruction, is in it as a digest of each template.
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec

from lpu_backend.compiler.errors import CompileError

Mode = Literal["ideal", "calibrated"]
"""ideal: the schedule's own cycles. calibrated: with an overhead a layer, fitted to one published row."""

_FORMAT = 1


class UnitCycles(msgspec.Struct, frozen=True):
    """Where the cycles of a schedule go, each counted once: together they are all of them."""

    matrix: int
    vector: int
    network: int
    waiting: int

    @property
    def total(self) -> int:
        return self.matrix + self.vector + self.network + self.waiting

    def as_dict(self) -> dict[str, int]:
        return msgspec.structs.asdict(self)

    def times(self, count: int) -> "UnitCycles":
        return UnitCycles(self.matrix * count, self.vector * count, self.network * count, self.waiting * count)

    def plus(self, other: "UnitCycles") -> "UnitCycles":
        return UnitCycles(*(ours + theirs for ours, theirs in zip(_list(self), _list(other), strict=True)))


def _list(cycles: UnitCycles) -> tuple[int, int, int, int]:
    return cycles.matrix, cycles.vector, cycles.network, cycles.waiting


class ScheduledStep(msgspec.Struct, frozen=True):
    """One part's schedule for a step of `tokens` tokens from `position` on.

    `instructions` are those of the template, which all chips of the group and all layers of the kind share;
    `chip_instructions` those that one chip dispatches in one layer when repetitions are written out. `digest` is of the
    template's instructions and places.
    """

    tokens: int
    position: int
    cycles: int
    units: UnitCycles
    instructions: int
    chip_instructions: int
    digest: str


class CompiledPart(msgspec.Struct, frozen=True):
    """A kind of layers, or the head (no layers), on groups of `chips`."""

    name: str
    layers: tuple[int, ...]
    chips: int
    decode: ScheduledStep
    prefill: ScheduledStep

    @property
    def is_head(self) -> bool:
        return not self.layers

    @property
    def steps(self) -> tuple[ScheduledStep, ...]:
        """Each template once: the head's serves both kinds of step."""
        return (self.decode,) if self.prefill == self.decode else (self.decode, self.prefill)


class CompiledStage(msgspec.Struct, frozen=True):
    """Layers of a stage and its chips; bytes that each of them holds, with one user's cache."""

    first_layer: int
    layers: int
    first_chip: int
    chips: int
    has_head: bool
    weights_bytes: int
    kv_cache_bytes: int
    vectors_bytes: int
    free_bytes: int

    @property
    def used_bytes(self) -> int:
        return self.weights_bytes + self.kv_cache_bytes + self.vectors_bytes


class CompiledModel(msgspec.Struct, frozen=True):
    """What was compiled. `graph_digest` is of the graph: every operation, shape and constant of it."""

    family: str
    layers: int
    hidden: int
    vocabulary: int
    context_tokens: int
    graph_digest: str


class CompiledProgram(msgspec.Struct, frozen=True, dict=True):
    """A model on so many chips. `hand_over_cycles[i]` is from stage i to stage i + 1, of a decode step's rows;
    `prefill_hand_over_cycles` of a prefill step's. `caches` is how many users' caches each stage has room for."""

    model: CompiledModel
    chip: str
    chip_digest: str
    chips: int
    minimum_chips: int
    tensor_parallel: int
    stages: tuple[CompiledStage, ...]
    caches: int
    parts: tuple[CompiledPart, ...]
    hand_over_cycles: tuple[int, ...]
    prefill_hand_over_cycles: tuple[int, ...]
    mode: Mode
    layer_overhead_cycles: int
    format: int = _FORMAT

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the canonical form, in hex."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()

    @property
    def head(self) -> CompiledPart:
        return next(part for part in self.parts if part.is_head)

    @property
    def users(self) -> int:
        """Users at once: each in a stage of its own, with a cache of its own."""
        return min(len(self.stages), self.caches)

    @property
    def used_chips(self) -> int:
        return sum(stage.chips for stage in self.stages)

    @property
    def instructions(self) -> int:
        """Of all templates: what is stored once for all chips and layers that share it."""
        return sum(step.instructions for part in self.parts for step in part.steps)

    @property
    def unshared_instructions(self) -> int:
        """Of every chip and layer, repetitions written out."""
        return sum(
            step.chip_instructions * part.chips * max(1, len(part.layers)) for part in self.parts for step in part.steps
        )

    def part_of(self, layer: int) -> CompiledPart:
        """The part that a layer is one of. KeyError."""
        for part in self.parts:
            if layer in part.layers:
                return part
        raise KeyError(layer)


class _Envelope(msgspec.Struct, frozen=True):
    content_hash: str
    program: msgspec.Raw


def save_program(program: CompiledProgram, path: Path) -> None:
    """Write it with its hash. OSError."""
    body = msgspec.json.encode(program, order="deterministic")
    path.write_bytes(msgspec.json.encode(_Envelope(program.content_hash, msgspec.Raw(body))))


def load_program(path: Path) -> CompiledProgram:
    """Read what `save_program` wrote. CompileError if it is no such file or not what its hash says; OSError."""
    try:
        envelope = msgspec.json.decode(path.read_bytes(), type=_Envelope)
        program = msgspec.json.decode(envelope.program, type=CompiledProgram)
    except msgspec.DecodeError as error:
        raise CompileError(f"{path}: no compiled program: {error}") from None
    if program.format != _FORMAT:
        raise CompileError(f"{path}: a compiled program of format {program.format}, not {_FORMAT}")
    if program.content_hash != envelope.content_hash:
        raise CompileError(f"{path}: its content is not what its hash says")
    return program


def digest(content: object) -> str:
    """SHA-256, in hex, of the canonical form of anything that msgspec writes."""
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()
