"""Attention among the tokens of one step, without a cache. docs/numerics.md, "Attention within a step".

What has a cost on the VXM is rows, so that rows hold as many heads as they can. Queries stay as they are, a head a
slot. A block is the lanes of a row that all tokens of a head take, rounded up to tiles; a row of scores has a head in
each of its blocks. A tile of keys has in row (block, token) that token's key, zero outside the slot of the block's
head, so one product with a row of queries gives several heads' scores. The tile of values is the transpose of one made
alike, so the product of it with a row of exponentials gives each head in its slot again.

Queries and results are at (query row, token), scores at (group of slots, query row, token).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpu_backend.compiler.agreeing import (
    ACTIVATIONS,
    CACHE,
    FP32,
    INT8,
    INT32,
    UINT8,
    agree_lanes,
    decode_scale,
    encode,
    fold_columns,
    fold_stride,
    make_code_value,
    map_tiles,
    square_of_root,
    take_lane_max,
    walk,
)
from lpu_backend.compiler.block_layout import BlockLayout
from lpu_backend.compiler.building import MapBuilder, ProgramBuilder, number
from lpu_backend.compiler.matrices import join_planes
from lpu_backend.compiler.scaling import join_digits, split_value, write_counts
from lpu_backend.compiler.softmax import COUNT_STEPS, exponentiate, write_quarters
from lpu_backend.compiler.vector_program import Argument, MatMul, Rows, StoreRow, Tiles, TransposeTile
from lpu_backend.graph.function_nodes import SelfAttend
from lpu_backend.isa.operands import DataType

Floats = NDArray[np.float32]
_DIGITS = 3
_SLOTS_A_MAP = 4
"""Each is an operand and a result."""


class _Stored(NamedTuple):
    """Scales by channel, a row a kind, and the tiles of each kind."""

    scales: str
    tiles: list[str]


class SelfAttention:
    """The operations of one SelfAttend node, in order. `mask` gives [tokens, tokens] for a layer."""

    def __init__(
        self,
        program: ProgramBuilder,
        node: SelfAttend,
        layout: BlockLayout,
        mask: Callable[[int], Floats] | None,
    ) -> None:
        self._program, self._node, self._layout, self._mask = program, node, layout, mask
        self._heads, self._tokens = layout.heads, layout.tokens
        self._rows = layout.heads.query_rows * layout.tokens
        self._kind_rows = layout.heads.rows_per_kind * layout.tokens

    def attend(self, query: str, key: str, value: str) -> str:
        """From rows of queries, keys and values, a head a slot: rows of what is mixed, as the queries lie."""
        keys = self._store(key, "keys", self._node.scale)
        values = self._store(value, "values", 1.0)
        mixers = [self._transpose(tiles) for tiles in values.tiles]
        planes, codes = self._split_queries(query, keys.scales)
        scores, largest = self._score(planes, codes, keys.tiles)
        counts = self._count(scores, largest)
        return self._mix(counts, mixers, values.scales)

    def _local(self, what: str, dtype: DataType, rows: int, *, spread: int = 1) -> str:
        return self._program.local(f"{self._node.name} {what}", dtype, rows, spread=spread)

    def _map(self, what: str, rows: int) -> MapBuilder:
        return MapBuilder(self._program, f"{self._node.name} {what}", rows)

    # Keys and values.

    def _store(self, source: str, what: str, factor: float) -> _Stored:
        """One plane of the cache's grid, each channel with one scale for all tokens, to tiles."""
        program, tokens, kinds = self._program, self._tokens, self._heads.kinds
        codes = make_code_value(program, f"{self._node.name} {what} codes", kinds, tokens)
        for part in walk(kinds, tokens):
            m = self._map(f"encode {what}", part.places)
            m.write(encode(m, CACHE, m.read(source, *part.at(tokens, 1))), codes, *part.at(fold_stride(tokens), 1))
            m.finish()
        largest = fold_columns(program, codes, kinds, tokens)
        scales, steps = (self._local(f"{what} {each}", FP32, kinds) for each in ("scales", "steps"))
        m = self._map(f"scales of {what}", kinds)
        scale = decode_scale(m, CACHE, m.convert(UINT8, INT32, m.read(largest)))
        m.write(square_of_root(m, scale), steps)
        m.write(scale if factor == 1.0 else m.op("Mul", FP32, scale, number(factor)), scales)
        m.finish()
        plane = self._round(source, what, steps)
        return _Stored(scales, [self._fill(plane, what, kind) for kind in range(kinds)])

    def _round(self, source: str, what: str, steps: str) -> str:
        """Codes by (slot, kind, token), zero outside the slot."""
        slots, kinds, tokens = self._layout.slots, self._heads.kinds, self._tokens
        plane = self._local(f"{what} plane", INT8, len(slots) * kinds * tokens)
        for kind in range(kinds):
            for first in range(0, len(slots), _SLOTS_A_MAP):
                m = self._map(f"round {what} {kind} {first}", tokens)
                counted = m.op("Mul", FP32, m.read(source, kind * tokens), m.read(steps, kind, 0))
                code = m.convert(FP32, INT8, counted)
                for place in range(first, min(first + _SLOTS_A_MAP, len(slots))):
                    kept = m.op("And", INT8, code, m.read(self._byte_masks(), slots[place], 0))
                    m.write(kept, plane, (place * kinds + kind) * tokens)
                m.finish()
        return plane

    def _byte_masks(self) -> str:
        """All bits in the lanes of a slot, a row a slot."""
        heads = self._heads

        def data(_: int) -> NDArray[np.int8]:
            slot_of = np.arange(heads.lanes) // heads.slot_lanes
            return np.where(slot_of == np.arange(heads.slots)[:, None], np.int8(-1), np.int8(0))[None]

        name = f"bytes of {heads.slots} slots of {heads.slot_lanes} lanes"
        return self._program.constant(name, INT8, heads.slots, data, "model")

    def _fill(self, plane: str, what: str, kind: int) -> str:
        """Tile `group` has token t of the slot in block b in row (b, t); rows without one are zero."""
        layout = self._layout
        rows = layout.blocks * layout.block_lanes
        name = f"{self._node.name} {what} {kind}"
        tiles = self._program.weights(Tiles(name, layout.groups, 1, rows, "state", "step"))
        for group, block, slot in layout.list_places():
            for token in range(layout.block_lanes):
                row = self._zero_row()
                if slot is not None and token < self._tokens:
                    place = layout.slots.index(slot)
                    row = Rows(plane, (place * self._heads.kinds + kind) * self._tokens + token)
                operation = StoreRow(
                    self._program.unique(f"store {name}"), row, tiles, group, 0, block * layout.block_lanes + token
                )
                self._program.add(operation)
        return tiles

    def _zero_row(self) -> Rows:
        lanes = self._program.lanes
        return Rows(self._program.constant("zero bytes", INT8, 1, lambda _: np.zeros((1, 1, lanes), np.int8), "model"))

    def _transpose(self, source: str) -> str:
        lanes, groups = self._program.lanes, self._layout.groups
        identity = self._program.constant(
            "identity", INT8, lanes, lambda _: np.eye(lanes, dtype=np.int8)[None], scope="model"
        )
        tiles = self._program.weights(Tiles(f"{source} transposed", 1, groups, lanes, "state", "step"))
        for group in range(groups):
            name = self._program.unique(f"transpose {source}")
            self._program.add(TransposeTile(name, source, group, 0, tiles, 0, group, identity))
        return tiles

    # Queries and scores.

    def _split_queries(self, query: str, key_scales: str) -> tuple[str, str]:
        """Planes of the queries times the keys' scales, each head with one scale; and the codes, by tile."""
        program, rows = self._program, self._rows
        codes = make_code_value(program, f"{self._node.name} query codes", rows, 1)
        for kind in range(self._heads.kinds):
            m = self._map(f"encode queries {kind}", self._kind_rows)
            start = kind * self._kind_rows
            scaled = m.op("Mul", FP32, m.read(query, start), m.read(key_scales, kind, 0))
            m.write(encode(m, ACTIVATIONS, scaled), codes, start)
            m.finish()
        by_tile = take_lane_max(program, codes, rows, None)
        tiles_a_head = self._heads.slot_lanes // program.lanes_per_tile
        by_slot = by_tile
        if tiles_a_head > 1:
            by_slot = take_lane_max(program, by_tile, rows, map_tiles(program, tiles_a_head, 0))
        planes = self._local("query planes", INT8, 2 * rows, spread=2)
        for kind in range(self._heads.kinds):
            m = self._map(f"split queries {kind}", self._kind_rows)
            start = kind * self._kind_rows
            scaled = m.op("Mul", FP32, m.read(query, start), m.read(key_scales, kind, 0))
            scale = decode_scale(m, ACTIVATIONS, m.convert(UINT8, INT32, m.read(by_slot, start)))
            split_value(m, m.op("Mul", FP32, scaled, square_of_root(m, scale)), planes, (2 * start, 2))
            m.finish()
        return planes, by_tile

    def _map_blocks(self, group: int) -> str:
        """The tiles of a block come from lanes of all tiles of the block's slot."""
        program, layout = self._program, self._layout
        tile, slot_lanes = program.lanes_per_tile, self._heads.slot_lanes

        def data(_: int) -> NDArray[np.uint16]:
            lane = np.arange(program.lanes)
            lane_map = lane.copy()
            for block in range(layout.blocks):
                slot = layout.slot_at(group, block)
                if slot is not None:
                    here = slice(block * layout.block_lanes, (block + 1) * layout.block_lanes)
                    within = lane[here] % tile
                    lane_map[here] = slot * slot_lanes + within % (slot_lanes // tile) * tile + within
            return lane_map.astype(np.uint16)[None, None]

        return program.constant(f"map {group} to blocks: {layout.name}", DataType.UINT16, 1, data, "model")

    def _score(self, planes: str, codes: str, keys: list[str]) -> tuple[str, str]:
        """Scores, and each head's largest in quarters, as a byte in its block."""
        program, groups, rows = self._program, self._layout.groups, self._rows
        sums = [self._local(f"scores {plane}", INT32, groups * rows) for plane in ("high", "low")]
        for kind, tiles in enumerate(keys):
            places = range(kind * self._kind_rows, (kind + 1) * self._kind_rows)
            vectors = tuple((2 * place + plane,) for place in places for plane in (0, 1))
            destinations = tuple(Rows(sums[plane], place, rows) for place in places for plane in (0, 1))
            program.add(MatMul(program.unique(f"score {tiles}"), tiles, planes, vectors, destinations))
        scores = self._local("scores", FP32, groups * rows)
        quarters = make_code_value(program, f"{self._node.name} quarters", groups * rows, 1)
        mask = self._make_mask()
        for group in range(groups):
            by_block = take_lane_max(program, codes, rows, self._map_blocks(group))
            for start, count in self._list_passes(mask is not None):
                m = self._map(f"scores {group} {start}", count)
                row = group * rows + start
                score = join_planes(m, *(m.read(value, row) for value in sums))
                scale = decode_scale(m, ACTIVATIONS, m.convert(UINT8, INT32, m.read(by_block, start)))
                score = m.op("Mul", FP32, score, scale)
                if mask is not None:
                    score = m.op("Add", FP32, score, m.read(mask))
                m.write(score, scores, row)
                write_quarters(m, score, quarters, (row, 1))
                m.finish()
        tiles_a_head = self._layout.block_lanes // program.lanes_per_tile
        return scores, agree_lanes(program, quarters, groups * rows, tiles_a_head)

    def _list_passes(self, by_row: bool) -> list[tuple[int, int]]:
        """First place and how many: all of them, or one pass a row of queries, whose places are then tokens."""
        if not by_row:
            return [(0, self._rows)]
        return [(row * self._tokens, self._tokens) for row in range(self._heads.query_rows)]

    def _make_mask(self) -> str | None:
        """What is added to scores: a row a token; None if that is nothing."""
        layout, tokens, mask = self._layout, self._tokens, self._mask
        if mask is None and not self._node.causal and tokens == layout.block_lanes:
            return None
        causal = np.where(np.tri(tokens, dtype=np.bool_), np.float32(0.0), np.float32(-np.inf))

        def data(layer: int) -> Floats:
            block = np.full((tokens, layout.block_lanes), -np.inf, np.float32)
            block[:, :tokens] = 0.0 if mask is None else mask(layer)
            if self._node.causal:
                block[:, :tokens] += causal
            rows = np.zeros((1, tokens, self._program.lanes), np.float32)
            rows[0, :, : layout.blocks * layout.block_lanes] = np.tile(block, layout.blocks)
            return rows

        if mask is not None:
            return self._program.constant(f"{self._node.name} mask", FP32, tokens, data)
        name = f"{'causal ' if self._node.causal else ''}mask in {layout.blocks} blocks of {tokens}"
        return self._program.constant(name, FP32, tokens, data, "model")

    # Weights and their mix.

    def _count(self, scores: str, largest: str) -> str:
        """Exponentials as whole numbers, in three digits."""
        rows = self._layout.groups * self._rows
        counts = self._local("counts", INT8, _DIGITS * rows, spread=_DIGITS)
        m = self._map("exponentials", rows)
        share = exponentiate(m, m.read(scores), m.read(largest))
        write_counts(m, share, COUNT_STEPS, counts, tuple((digit, _DIGITS) for digit in range(_DIGITS)))
        m.finish()
        return counts

    def _mix(self, counts: str, mixers: list[str], value_scales: str) -> str:
        """Sums of values by counts, over the sum of the counts, which is made in the lanes of the head's slot."""
        totals = [self._local(f"sum {digit}", INT32, self._rows) for digit in range(_DIGITS)]
        self._multiply_counts(counts, self._sum_tiles(), totals, range(self._rows))
        mixes = [self._local(f"mix {digit}", INT32, self._rows) for digit in range(_DIGITS)]
        for kind, tiles in enumerate(mixers):
            self._multiply_counts(counts, tiles, mixes, range(kind * self._kind_rows, (kind + 1) * self._kind_rows))
        divisor = self._local("divisor", FP32, self._rows)
        m = self._map("divisor", self._rows)
        total = m.convert(INT32, FP32, join_digits(m, [m.read(value) for value in totals]))
        m.write(square_of_root(m, total), divisor)
        m.finish()
        result = self._local("mixed", FP32, self._rows)
        masks = self._make_head_masks()
        for start, count in self._list_passes(by_row=True):
            m = self._map(f"mix {start}", count)
            joined: Argument = m.convert(INT32, FP32, m.read(mixes[0], start))
            for value in mixes[1:]:
                digit = m.convert(INT32, FP32, m.read(value, start))
                joined = m.op("Add", FP32, m.op("Mul", FP32, joined, number(128.0)), digit)
            mixed = m.op("Mul", FP32, joined, m.read(divisor, start))
            mixed = m.op("Mul", FP32, mixed, m.read(value_scales, start // self._kind_rows, 0))
            if masks is not None:
                mixed = m.op("And", INT32, mixed, m.read(masks, start // self._tokens, 0))
            m.write(mixed, result, start)
            m.finish()
        return result

    def _multiply_counts(self, counts: str, tiles: str, sums: list[str], places: range) -> None:
        """For each place and digit: the sum over the groups of slots, whose results lie in lanes of their own."""
        groups, rows = self._layout.groups, self._rows
        vectors = tuple(
            tuple(_DIGITS * (group * rows + place) + digit for group in range(groups))
            for place in places
            for digit in range(_DIGITS)
        )
        destinations = tuple(Rows(sums[digit], place) for place in places for digit in range(_DIGITS))
        name = self._program.unique(f"weigh {tiles}")
        self._program.add(MatMul(name, tiles, counts, vectors, destinations))

    def _sum_tiles(self) -> str:
        """Ones: output lanes of a slot by the lanes of its block's tokens. Lanes without a slot are as those of the
        first, so that no sum is zero."""
        program, layout = self._program, self._layout

        def data(_: int) -> NDArray[np.int8]:
            tiles = np.zeros((1, 1, layout.groups, program.lanes, program.lanes), np.int8)
            slot_of = np.arange(program.lanes) // self._heads.slot_lanes
            slot_of[~np.isin(slot_of, layout.slots)] = layout.slots[0]
            for group, block, slot in layout.list_places():
                start = block * layout.block_lanes
                if slot is not None:
                    tiles[0, 0, group, slot_of == slot, start : start + self._tokens] = 1
            return tiles

        name = f"sums of {layout.name}"
        return program.weights(Tiles(name, 1, layout.groups, program.lanes, scope="model"), data)

    def _make_head_masks(self) -> str | None:
        """All bits where a row has a head, a row a row of queries; None where every slot with a key has a query."""
        queries = self._heads.queries.reshape(len(self._heads.queries), -1, self._heads.slots)
        keys = np.repeat(self._heads.keys, self._heads.rows_per_kind, axis=1)
        if not ((keys >= 0) & (queries < 0)).any():
            return None
        channels = self._heads.query_layout().channels

        def data(_: int) -> NDArray[np.int32]:
            return np.where(channels >= 0, np.int32(-1), np.int32(0))

        return self._program.constant(f"{self._node.name} heads", INT32, channels.shape[1], data)
