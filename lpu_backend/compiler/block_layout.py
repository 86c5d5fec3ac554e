"""How rows of scores hold several heads: docs/numerics.md, "Attention within a step"."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.layouts import HeadLayout, lay_out_heads
from lpu_backend.graph.function_nodes import SelfAttend


@dataclass(frozen=True)
class BlockLayout:
    """Which slot of a row of queries has its scores in which block, `blocks` of `block_lanes` lanes a row."""

    heads: HeadLayout
    tokens: int
    block_lanes: int
    blocks: int

    @property
    def slots(self) -> list[int]:
        return sorted({slot for kind in range(self.heads.kinds) for slot in self.heads.slots_in_use(kind)})

    @property
    def groups(self) -> int:
        """Rows of scores for each row of queries."""
        return -(-len(self.slots) // self.blocks)

    def slot_at(self, group: int, block: int) -> int | None:
        place = group * self.blocks + block
        return self.slots[place] if place < len(self.slots) else None

    def list_places(self) -> Iterator[tuple[int, int, int | None]]:
        """(group, block, the slot that is there)."""
        for group in range(self.groups):
            for block in range(self.blocks):
                yield group, block, self.slot_at(group, block)

    @property
    def name(self) -> str:
        return f"{self.tokens} tokens of heads of {self.heads.slot_lanes} lanes in {self.slots}"


def lay_out_blocks(node: SelfAttend, tokens: int, chips: int, lanes: int, tile: int) -> BlockLayout:
    """With so many slots in a row that the fewest rows of scores are needed. CompileError if tokens do not fit."""
    if tokens > lanes:
        raise CompileError(
            f"{node.name}: attention among {tokens} tokens cannot be compiled, only among {lanes} in a step"
        )
    slot_lanes = -(-node.head_dim // tile) * tile
    if slot_lanes > tile * tile:
        raise CompileError(f"{node.name}: heads of {node.head_dim} channels cannot be compiled, only of {tile * tile}")
    block_lanes = -(-tokens // tile) * tile
    blocks = lanes // block_lanes
    slots = lanes // slot_lanes
    choices = {slots, max(1, slots // blocks) * blocks} if slots >= blocks else {slots}
    layouts = []
    for count in sorted(choices, reverse=True):
        heads = lay_out_heads(node.query_heads, node.kv_heads, node.head_dim, chips, count * slot_lanes, tile)
        layouts.append(BlockLayout(replace(heads, lanes=lanes), tokens, block_lanes, blocks))
    return min(layouts, key=lambda layout: layout.groups * layout.heads.query_rows)
