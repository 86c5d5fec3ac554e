"""The ALUs of a planned Map in a unit: what each is told, and on which stream its result goes."""

from collections.abc import Iterator, Sequence

from lpu_backend.compiler.map_plan import MapPlan, Node, Source
from lpu_backend.compiler.mesh import MeshPlan
from lpu_backend.compiler.units import Hold, Make, Series, UnitBuilder
from lpu_backend.compiler.vector_program import Step
from lpu_backend.isa.instructions import Binary, Convert, Instruction, Unary
from lpu_backend.isa.operands import AluResult, Direction, Immediate, Stream
from lpu_backend.isa.operands import Source as Operand

VXM = "VXM"
FLIPS: tuple[tuple[int, int], ...] = ((0, 0), (3, 0), (0, 3), (3, 3))
"""Mirrored meshes: which bits of an ALU's row and column are turned."""


class AluIssues:
    """To be told which transport and offset bring each operand, and which nodes drive a stream; then `finish`."""

    def __init__(
        self,
        builder: UnitBuilder,
        steps: Sequence[Step],
        plans: tuple[MapPlan, MeshPlan],
        rows: int,
        *,
        begin: int = 0,
        flip: tuple[int, int] = FLIPS[0],
    ) -> None:
        self.operands: dict[int, tuple[int, int]] = {}
        self.node_streams: dict[int, int] = {}
        self.plan, mesh = plans
        self._builder, self._steps, self._rows, self._begin = builder, steps, rows, begin
        self._streamed = mesh.streamed
        self._alus = [(alu // 4 ^ flip[0]) * 4 + (alu % 4 ^ flip[1]) for alu in mesh.alus]

    def series(self, cycle: int) -> Series:
        """That cycle of the first row's plan, and the same of the other rows."""
        return Series(self._begin + cycle, self._rows - 1, self.plan.interval)

    def stream_out(self, place: int, direction: Direction) -> int:
        """The transport on which a node's result leaves."""
        if place not in self.node_streams:
            width = self.plan.nodes[place].result_dtype.streams
            self.node_streams[place] = self._builder.open(direction, width)
        return self.node_streams[place]

    def finish(self) -> None:
        """Add the instructions."""
        for place in sorted(self._streamed - self.node_streams.keys()):
            node = self.plan.nodes[place]
            # Sampled where it is driven, so either way will do.
            transport = self.stream_out(place, "E" if place % 2 else "W")
            for byte in range(node.result_dtype.streams):
                self._builder.pass_on((transport, byte), self.series(node.available), VXM)
        for place, node in enumerate(self.plan.nodes):
            queue = f"VXM{self._alus[place]}"
            self._builder.issue(queue, self.series(node.cycle), self._make(place, node))
            wait = max((source.hold for source in self._list_readings(place)), default=0)
            for cycle in range(node.available, node.available + wait + 1):
                self._builder.unit.holds.append(Hold(f"{queue} register", *self.series(cycle)))

    def _list_readings(self, place: int) -> Iterator[Source]:
        for node in self.plan.nodes:
            for argument in node.arguments:
                if isinstance(argument, Source) and not argument.is_operand and argument.place == place:
                    yield argument

    def _make(self, place: int, node: Node) -> Make:
        sources = [self._find_source(argument) for argument in node.arguments]
        destination = self.node_streams.get(place)

        def make(streams: Sequence[Stream]) -> Instruction:
            operands = [_at(streams, *source) if isinstance(source, tuple) else source for source in sources]
            return self._write(node, operands, None if destination is None else streams[destination])

        return make

    def _find_source(self, argument: Source | Immediate) -> AluResult | Immediate | tuple[int, int]:
        """An operand, or the transport and offset that it comes with."""
        if isinstance(argument, Immediate):
            return argument
        if argument.is_operand:
            return self.operands[argument.place]
        if argument.hold > 0 or argument.place not in self._streamed:
            return AluResult(self._alus[argument.place])
        return self.node_streams[argument.place], 0

    def _write(self, node: Node, operands: list[Operand], destination: Stream | None) -> Instruction:
        if node.step is None:
            return Unary("Copy", node.dtype, operands[0], destination)
        step = self._steps[node.step]
        if step.op == "Convert":
            return Convert(step.dtype, step.result, operands[0], destination)
        if len(operands) == 1:
            return Unary(step.op, step.dtype, operands[0], destination)  # type: ignore[arg-type]  # by its arguments
        return Binary(step.op, step.dtype, operands[0], operands[1], destination)  # type: ignore[arg-type]


def _at(streams: Sequence[Stream], transport: int, offset: int) -> Stream:
    return Stream(streams[transport].direction, streams[transport].index + offset)
