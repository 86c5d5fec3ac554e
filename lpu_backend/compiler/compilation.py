"""What is being compiled: the request, and what each pass has added to it so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lpu_backend.chip import GROQCHIP1, ChipSpec
from lpu_backend.compiler.compiled_program import Mode
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.groups import GroupShape
from lpu_backend.compiler.lowering import Lowered
from lpu_backend.compiler.partition import Partition, Stage
from lpu_backend.compiler.quantising import MatrixForm
from lpu_backend.compiler.template import Placement, Template
from lpu_backend.graph.nodes import ModelGraph, Node

DEFAULT_CONTEXT_TOKENS = 4096
DECODE_POSITION_TOKENS = 625
"""Where a decode step is timed: 550 tokens in and the middle of 150 out, as LLMPerf asks (ray-project/llmperf)."""
PREFILL_TOKENS = 4


@dataclass(frozen=True)
class CompileRequest:
    """A graph, without weights, for `chips` chips (None: the fewest).

    A decode step is timed at `position`, one of `prefill_tokens` tokens from `prefill_position` on.
    """

    graph: ModelGraph
    chips: int | None = None
    context_tokens: int = DEFAULT_CONTEXT_TOKENS
    position: int = DECODE_POSITION_TOKENS
    prefill_tokens: int = PREFILL_TOKENS
    prefill_position: int = 0
    mode: Mode = "ideal"
    chip: ChipSpec = GROQCHIP1


@dataclass(frozen=True)
class Part:
    """A kind of layers, or the head (no layers): its nodes, and what they become on a group of so many chips."""

    name: str
    layers: tuple[int, ...]
    nodes: tuple[Node, ...]
    decode: Lowered
    prefill: Lowered

    @property
    def chips(self) -> int:
        return self.decode.program.chips


@dataclass(frozen=True)
class PlacedPart:
    """Where a part's values and tiles lie, on every group alike."""

    decode: Placement
    prefill: Placement


@dataclass(frozen=True)
class ScheduledPart:
    """A part's templates on groups of one shape, and the layers that lie on such. `prefill` is scheduled for the shape
    of which the decode step takes longest, and counts for all."""

    part: Part
    shape: GroupShape
    layers: tuple[int, ...]
    decode: Template
    prefill: Template

    @property
    def name(self) -> str:
        return f"{self.part.name}, {self.shape.chips} chips from chip {self.shape.first_chip} of a node on"


@dataclass(frozen=True)
class HandOvers:
    """Cycles from each stage to the next. Those of a prefill step are the slowest one's, for all."""

    decode: tuple[int, ...] = ()
    prefill: tuple[int, ...] = ()


@dataclass(frozen=True)
class Compilation:
    """`parts` are for one chip after lower, for their groups after partition. What a pass has not made yet is empty."""

    request: CompileRequest
    parts: tuple[Part, ...] = ()
    matrices: Mapping[str, tuple[MatrixForm, ...]] = field(default_factory=dict)
    division: Partition | None = None
    minimum_chips: int = 0
    placements: Mapping[str, PlacedPart] = field(default_factory=dict)
    scheduled: tuple[ScheduledPart, ...] = ()
    hand_overs: HandOvers = HandOvers()

    @property
    def partition(self) -> Partition:
        """CompileError before there is one."""
        if self.division is None:
            raise CompileError("nothing is partitioned yet")
        return self.division

    @property
    def layer_stages(self) -> tuple[Stage, ...]:
        """Stages that have layers."""
        return tuple(stage for stage in self.partition.stages if stage.layers)

    def count_stage_layers(self, part: Part) -> int:
        """The most layers of a part that any stage has, 1 for the head."""
        counts = [sum(layer in stage.layer_range for layer in part.layers) for stage in self.layer_stages]
        return max(1, *counts)

    def shape_of(self, stage: Stage) -> GroupShape:
        """A stage's group in the least system that has the chips."""
        last_chip = GroupShape(1, self.partition.chips - 1)
        system_chips = last_chip.topology(self.request.chip).chips
        return GroupShape(stage.group.chips, stage.group.first_chip, system_chips)
