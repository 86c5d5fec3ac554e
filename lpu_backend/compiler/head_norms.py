"""A norm of each head apart: a head is a row of its own, zero outside its slot, until its root is known."""

from dataclasses import dataclass

from lpu_backend.compiler.agreeing import FP32, INT32, Pass, walk
from lpu_backend.compiler.attending import mask_slots
from lpu_backend.compiler.building import MapBuilder, ProgramBuilder
from lpu_backend.compiler.layouts import HeadLayout
from lpu_backend.compiler.scaling import Part, find_roots, make_planes
from lpu_backend.compiler.vector_program import Argument
from lpu_backend.graph.nodes import RmsNorm


@dataclass(frozen=True)
class HeadNorm:
    """Of `rows` x `tokens` rows of heads, laid out in slots. The head in slot j of row (n, token) is the group
    (n * tokens + token) * slots + j."""

    program: ProgramBuilder
    node: RmsNorm
    layout: HeadLayout
    rows: int
    tokens: int

    def apply(self, source: str, weight: str | None) -> str:
        """The rows normalised and times `weight`, which lies as they do."""
        program, name, slots = self.program, self.node.name, self.layout.slots
        places = self.rows * self.tokens
        masks = mask_slots(program, self.layout)

        def make_part(slot: int) -> Part:
            def read(m: MapBuilder, _: Pass) -> Argument:
                return m.op("And", INT32, m.read(source), m.read(masks, slot, 0))

            return Pass(places, (slot, slots), (0, 0)), read

        shape = places * slots, 1
        planes = make_planes(program, name, shape, [make_part(slot) for slot in range(slots)])
        roots = find_roots(program, name, planes, shape[0], [0], self.node.width, self.node.epsilon)
        result = program.local(name, FP32, places)
        for part in walk(self.tokens, self.rows):
            for slot in range(slots):
                self._apply_slot((source, roots.root, weight, masks), part, slot, result)
        return result

    def _apply_slot(self, values: tuple[str, str, str | None, str], part: Pass, slot: int, result: str) -> None:
        """A slot's lanes of the result; the other slots stay as they are."""
        source, root, weight, masks = values
        slots, at = self.layout.slots, part.at(1, self.tokens)
        m = MapBuilder(self.program, f"{self.node.name} {slot}", part.places)
        heads = part.at(slots, slots * self.tokens, slot)
        scaled = m.op("Mul", FP32, m.read(source, *at), m.read(root, *heads))
        if weight is not None:
            scaled = m.op("Mul", FP32, scaled, m.read(weight, *part.at(0, 1)))
        kept = m.op("And", INT32, scaled, m.read(masks, slot, 0))
        if slot:
            kept = m.op("Or", INT32, kept, m.read(result, *at))
        m.write(kept, result, *at)
        m.finish()
