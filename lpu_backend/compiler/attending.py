"""Attention of one step: keys and values into the cache, scores, exponentials, their mix. docs/numerics.md.

Keys lie in the cache as tiles of tokens by channels, so a product with queries gives scores, a lane a token. Values
are stored alike and transposed, as the mix runs over tokens. Their codes, one byte a head and token, are stored as
rows too; a product with a row of the identity picks a head's and gives it a lane a token.

A head of a query is a row of its own, zero outside its slot: head (row n, token t, slot j) is number
(n * tokens + t) * slots + j, and its part of block b of the cache number * blocks + b.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpu_backend.compiler.agreeing import (
    CACHE,
    FP32,
    INT8,
    INT32,
    UINT8,
    Pass,
    agree,
    decode_scale,
    encode,
    fold_stride,
    make_code_value,
    square_of_root,
    walk,
)
from lpu_backend.compiler.building import MapBuilder, ProgramBuilder, integer, number
from lpu_backend.compiler.layouts import HeadLayout
from lpu_backend.compiler.matrices import join_planes
from lpu_backend.compiler.scaling import Part, Planes, count_sum, make_planes, write_counts
from lpu_backend.compiler.vector_program import (
    Argument,
    MatMul,
    Rows,
    StoreRow,
    Tiles,
    TransposeTile,
    Value,
)
from lpu_backend.graph.nodes import Attend

_SIGN = integer(0x80)


@dataclass(frozen=True)
class StepShape:
    """A step runs `tokens` tokens, the first at `position`, over `blocks` blocks of the cache, a lane a token.

    `capacity_blocks` is what the cache has; `context_window` decides how fine exponentials are counted.
    """

    tokens: int
    position: int
    blocks: int
    capacity_blocks: int
    context_window: int

    @property
    def count_steps(self) -> float:
        return float(2.0 ** min(18, 28 - self.context_window.bit_length()))


class Attention:
    """The operations of one Attend node, in order."""

    def __init__(
        self,
        program: ProgramBuilder,
        node: Attend,
        layout: HeadLayout,
        shape: StepShape,
        sinks: Callable[[int], NDArray[np.float32]] | None,
    ) -> None:
        """`sinks` gives those of a layer, by query head."""
        self._program, self._node, self._layout, self._shape = program, node, layout, shape
        self._sinks = sinks
        used = {slot for kind in range(layout.kinds) for slot in layout.slots_in_use(kind)}
        self._slots = sorted(used)
        self._heads = layout.query_rows * shape.tokens * len(self._slots)

    def attend(self, query: str, key: str, value: str) -> str:
        """From rows of rotated queries and keys, and values: the rows of what is mixed, as the queries lie."""
        key_codes = self._store(key, "keys")
        value_codes = self._store(value, "values")
        self._transpose_values()
        key_scales = self._list_scales("keys", key_codes)
        value_scales = self._list_scales("values", value_codes)
        queries = self._split_queries(query)
        scores, largest = self._score(queries, key_scales)
        weights, divisor = self._weigh(scores, largest, value_scales)
        return self._mix(weights, divisor)

    # The cache.

    def _store(self, source: str, what: str) -> str:
        """One plane of the cache's grid, and the codes: both to the cache. The name of the codes' tiles."""
        program, tokens, kinds = self._program, self._shape.tokens, self._layout.kinds
        rows = kinds * tokens
        codes = make_code_value(program, f"{what} codes", rows, 1)
        m = MapBuilder(program, f"encode {what}", rows)
        m.write(encode(m, CACHE, m.read(source)), codes)
        m.finish()
        tiles_a_head = self._layout.slot_lanes // program.lanes_per_tile
        agreed = agree(program, codes, rows, 1, tiles_a_head)

        plane = program.local(f"{what} plane", INT8, rows)
        m = MapBuilder(program, f"round {what}", rows)
        scale = decode_scale(m, CACHE, m.convert(UINT8, INT32, m.read(agreed)))
        counted = m.op("Mul", FP32, m.read(source), square_of_root(m, scale))
        m.write(m.convert(FP32, INT8, counted), plane)
        m.finish()
        for kind in range(kinds):
            stored = self._cache_tiles(f"{what} {kind}"), self._cache_tiles(f"{what} codes {kind}")
            for token in range(tokens):
                self._store_row(Rows(plane, kind * tokens + token), stored[0], token)
                self._store_row(Rows(agreed, kind * tokens + token), stored[1], token)
        return f"{what} codes"

    def _store_row(self, source: Rows, tiles: str, token: int) -> None:
        block, row = divmod(self._shape.position + token, self._program.lanes)
        self._program.add(StoreRow(self._program.unique(f"store {tiles}"), source, tiles, block, 0, row))

    def _cache_tiles(self, what: str, *, transposed: bool = False) -> str:
        blocks, lanes = self._shape.capacity_blocks, self._program.lanes
        outputs, inputs = (1, blocks) if transposed else (blocks, 1)
        return self._program.weights(Tiles(f"cache {what}", outputs, inputs, lanes, "state"))

    def _transpose_values(self) -> None:
        first, last = self._shape.position, self._shape.position + self._shape.tokens - 1
        for kind in range(self._layout.kinds):
            source = self._cache_tiles(f"values {kind}")
            destination = self._cache_tiles(f"values {kind} transposed", transposed=True)
            for block in range(first // self._program.lanes, last // self._program.lanes + 1):
                name = self._program.unique(f"transpose {source}")
                self._program.add(TransposeTile(name, source, block, 0, destination, 0, block, self._identity()))

    def _identity(self) -> str:
        lanes = self._program.lanes
        return self._program.constant(
            "identity", INT8, lanes, lambda _: np.eye(lanes, dtype=np.int8)[None], scope="model"
        )

    def _list_scales(self, what: str, codes: str) -> str:
        """Scales a lane a token: row ((kind, slot), block)."""
        program, blocks, slots = self._program, self._shape.blocks, len(self._slots)
        rows = self._layout.kinds * slots * blocks
        picked = program.local(f"{what} codes by token", INT32, rows)
        for kind in range(self._layout.kinds):
            vectors = tuple((slot * self._layout.slot_lanes,) for slot in self._slots)
            places = tuple(Rows(picked, (kind * slots + slot) * blocks) for slot in range(slots))
            name = program.unique(f"pick {what} codes")
            tiles = self._cache_tiles(f"{codes} {kind}")
            program.add(MatMul(name, tiles, self._identity(), vectors, places, outputs=blocks))
        scales = program.local(f"{what} scales by token", FP32, rows)
        m = MapBuilder(program, f"scales of {what}", rows)
        code = m.op("And", INT32, m.read(picked), integer(0xFF))
        m.write(decode_scale(m, CACHE, code), scales)
        m.finish()
        return scales

    # Queries and scores.

    def _split_queries(self, query: str) -> Planes:
        """Each head a row of its own, zero outside its slot."""
        places, slots = self._layout.query_rows * self._shape.tokens, len(self._slots)
        parts = [self._query_part(query, index, places) for index in range(slots)]
        return make_planes(self._program, "queries", (self._heads, 1), parts)

    def _query_part(self, query: str, index: int, places: int) -> Part:
        slots = len(self._slots)

        def read(m: MapBuilder, part: Pass) -> Argument:
            del part
            row = m.read(query)
            slot = self._slots[index]
            return row if slots == 1 else m.op("And", INT32, row, m.read(mask_slots(m.program, self._layout), slot, 0))

        return Pass(places, (index, slots), (0, 0)), read

    def _parts(self) -> Iterator[tuple[int, int, Pass]]:
        """(kind, slot, walk over the heads in that slot of that kind's rows), heads as groups."""
        places, slots = self._layout.rows_per_kind * self._shape.tokens, len(self._slots)
        for kind in range(self._layout.kinds):
            for slot in range(slots):
                yield kind, slot, Pass(places, (kind * places * slots + slot, slots), (0, 0))

    def _score(self, queries: Planes, key_scales: str) -> tuple[str, str]:
        """Scores by (head, block), and each head's largest, in quarters, as a byte: a row a head."""
        program, blocks = self._program, self._shape.blocks
        sums = [program.local(f"scores {plane}", INT32, self._heads * blocks) for plane in ("high", "low")]
        heads_a_kind = self._heads // self._layout.kinds
        for kind in range(self._layout.kinds):
            heads = range(kind * heads_a_kind, (kind + 1) * heads_a_kind)
            vectors = tuple((queries.row(head, 0, plane),) for head in heads for plane in (0, 1))
            places = tuple(Rows(sums[plane], head * blocks) for head in heads for plane in (0, 1))
            tiles = self._cache_tiles(f"keys {kind}")
            name = program.unique(f"score {kind}")
            program.add(MatMul(name, tiles, queries.planes, vectors, places, outputs=blocks))

        scores = program.local("scores", FP32, self._heads * blocks)
        bytes_ = make_code_value(program, "scores in quarters", self._heads, blocks)
        for kind, slot, part in self._parts():
            for block in range(blocks):
                self._score_part(sums, (scores, bytes_), (kind, slot, block), part, queries.scale, key_scales)
        return scores, agree(program, bytes_, self._heads, blocks, program.chip_tiles)

    def _score_part(
        self,
        sums: list[str],
        results: tuple[str, str],
        place: tuple[int, int, int],
        part: Pass,
        query_scale: str,
        key_scales: str,
    ) -> None:
        kind, slot, block = place
        blocks = self._shape.blocks
        m = MapBuilder(self._program, f"scores {kind} {slot} {block}", part.places)
        score = join_planes(m, *(m.read(value, *part.at(blocks, 0, block)) for value in sums))
        key_row = (kind * len(self._slots) + slot) * blocks + block
        score = m.op("Mul", FP32, score, m.read(key_scales, key_row, 0))
        score = m.op("Mul", FP32, score, m.read(query_scale, *part.at(1, 0)))
        if self._node.softcap is not None:
            score = cap_softly(m, score, self._node.softcap)
        score = m.op("Add", FP32, score, m.read(self._mask(), block * part.places, 1))
        m.write(score, results[0], *part.at(blocks, 0, block))
        if self._sinks is not None and block == 0:
            score = m.op("Max", FP32, score, m.read(self._place_sinks(), *self._mask_rows(kind, slot)))
        quarters = m.convert(FP32, INT8, m.op("Mul", FP32, score, number(0.25)))
        m.write(m.op("Xor", UINT8, quarters, _SIGN), results[1], *part.at(fold_stride(blocks), 0, block))
        m.finish()

    def _mask(self) -> str:
        """Input: 0 where a token sees a lane's token, else -inf; row (block, query row of a kind, token)."""
        window = self._node.window
        name = "mask" if window is None else f"mask of {window}"
        rows = self._shape.blocks * self._layout.rows_per_kind * self._shape.tokens
        return self._program.hold(Value(name, FP32, rows, "input", "model"))

    # Weights and their mix.

    def _weigh(self, scores: str, largest: str, value_scales: str) -> tuple[Planes, str]:
        """Planes of exp(score - largest) * the values' scales, and one over the sum of the exponentials, by head."""
        program, blocks, heads = self._program, self._shape.blocks, self._heads
        shares = program.local("shares", FP32, heads * blocks)
        counts = program.local("counts", INT8, 3 * heads * blocks, spread=3)
        for part in walk(heads, blocks):
            m = MapBuilder(program, "exponentials", part.places)
            shift = shift_of(m, m.read(largest, *part.at(1, 0)))
            share = m.op("Exp", FP32, m.op("Sub", FP32, m.read(scores, *part.at(blocks, 1)), shift))
            m.write(share, shares, *part.at(blocks, 1))
            places = tuple(part.at(3 * blocks, 3, digit) for digit in range(3))
            write_counts(m, share, self._shape.count_steps, counts, places)
            m.finish()
        sunk = self._count_sinks(largest) if self._sinks is not None else None
        divisor = count_sum(program, "shares", counts, (heads, blocks), self._shape.count_steps, sunk)
        weights = program.local("weights", FP32, heads * blocks)
        for kind, slot, part in self._parts():
            for block in range(blocks):
                m = MapBuilder(program, f"weights {kind} {slot} {block}", part.places)
                row = (kind * len(self._slots) + slot) * blocks + block
                rows = part.at(blocks, 0, block)
                m.write(m.op("Mul", FP32, m.read(shares, *rows), m.read(value_scales, row, 0)), weights, *rows)
                m.finish()

        def read(m: MapBuilder, part: Pass) -> Argument:
            return m.read(weights, *part.at(blocks, 1))

        parts: list[Part] = [(part, read) for part in walk(heads, blocks)]
        return make_planes(program, "weights", (heads, blocks), parts), divisor

    def _count_sinks(self, largest: str) -> str:
        """The sinks' exponentials in whole steps: a row a head."""
        result = self._program.local("sink counts", INT32, self._heads)
        for kind, slot, part in self._parts():
            m = MapBuilder(self._program, f"sinks {kind} {slot}", part.places)
            shift = shift_of(m, m.read(largest, *part.at(1, 0)))
            sink = m.read(self._place_sinks(), *self._mask_rows(kind, slot))
            share = m.op("Exp", FP32, m.op("Sub", FP32, sink, shift))
            counted = m.op("Mul", FP32, share, number(self._shape.count_steps))
            m.write(m.convert(FP32, INT32, counted), result, *part.at(1, 0))
            m.finish()
        return result

    def _place_sinks(self) -> str:
        """Each head's sink in all lanes: row (kind, slot, query row, token)."""
        layout, tokens, lanes, fetch = self._layout, self._shape.tokens, self._program.lanes, self._sinks
        assert fetch is not None  # noqa: S101  asked only where there are sinks
        name, rows = f"{self._node.name} sinks", self._heads

        def data(layer: int) -> NDArray[np.float32]:
            heads = layout.queries[..., self._slots].swapaxes(2, 3)  # [chips, kinds, slots, rows]; -1 is the zero
            by_token = np.repeat(
                np.append(fetch(layer), np.float32(0.0))[heads].reshape(len(heads), -1), tokens, axis=1
            )
            return np.broadcast_to(by_token[..., None], (*by_token.shape, lanes)).astype(np.float32)

        return name if name in self._program.values else self._program.constant(name, FP32, rows, data)

    def _mix(self, weights: Planes, divisor: str) -> str:
        program, blocks, heads = self._program, self._shape.blocks, self._heads
        sums = [program.local(f"mix {plane}", INT32, heads) for plane in ("high", "low")]
        heads_a_kind = heads // self._layout.kinds
        for kind in range(self._layout.kinds):
            chosen = range(kind * heads_a_kind, (kind + 1) * heads_a_kind)
            vectors = tuple(
                tuple(weights.row(head, block, plane) for block in range(blocks)) for head in chosen for plane in (0, 1)
            )
            places = tuple(Rows(sums[plane], head) for head in chosen for plane in (0, 1))
            tiles = self._cache_tiles(f"values {kind} transposed", transposed=True)
            program.add(MatMul(program.unique(f"mix {kind}"), tiles, weights.planes, vectors, places))
        mixed = program.local("attended", FP32, self._layout.query_rows * self._shape.tokens)
        for kind, slot, part in self._parts():
            self._merge(sums, (divisor, weights.scale), mixed, (kind, slot), part)
        return mixed

    def _merge(self, sums: list[str], scales: tuple[str, str], mixed: str, place: tuple[int, int], part: Pass) -> None:
        """A head's channels into its slot of the query's row; the other slots stay as they are, at first zero."""
        kind, slot = place
        m = MapBuilder(self._program, f"merge {kind} {slot}", part.places)
        summed = join_planes(m, *(m.read(value, *part.at(1, 0)) for value in sums))
        factor = m.op("Mul", FP32, *(m.read(value, *part.at(1, 0)) for value in scales))
        result = m.op("Mul", FP32, summed, factor)
        result = m.op("And", INT32, result, m.read(self._merge_masks(), *self._mask_rows(kind, slot)))
        if slot:
            result = m.op("Or", INT32, result, m.read(mixed, kind * part.places))
        m.write(result, mixed, kind * part.places)
        m.finish()

    def _mask_rows(self, kind: int, slot: int) -> tuple[int, int]:
        rows = self._layout.rows_per_kind * self._shape.tokens
        return (kind * len(self._slots) + slot) * rows, 1

    def _merge_masks(self) -> str:
        """All bits in the lanes of a slot where that row has a head: row (kind, slot, query row, token)."""
        layout, tokens, lanes = self._layout, self._shape.tokens, self._program.lanes

        def data(_: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
            has_head = layout.queries[..., self._slots] >= 0  # [chips, kinds, rows, slots]
            slot_of = np.arange(lanes) // layout.slot_lanes
            in_slot = slot_of == np.array(self._slots)[:, None]  # [slots, lanes]
            kept = has_head.swapaxes(2, 3)[..., None, None] & in_slot[None, None, :, None, None]
            kept = np.broadcast_to(kept, (*kept.shape[:4], tokens, lanes))
            return np.where(kept, np.int32(-1), np.int32(0)).reshape(len(kept), -1, lanes)

        rows = layout.kinds * len(self._slots) * layout.rows_per_kind * tokens
        name = f"heads of {layout.slot_lanes} lanes"
        return self._program.constant(name, INT32, rows, data, "model")


def mask_slots(program: ProgramBuilder, layout: HeadLayout) -> str:
    """All bits in the lanes of a slot, a row a slot."""

    def data(_: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        slot_of = np.arange(layout.lanes) // layout.slot_lanes
        return np.where(slot_of == np.arange(layout.slots)[:, None], np.int32(-1), np.int32(0))[None]

    return program.constant(f"slots of {layout.slot_lanes} lanes", INT32, layout.slots, data, "model")


def shift_of(m: MapBuilder, quarters: Argument) -> Argument:
    """What exponents are counted from, by the byte that the lanes agreed on: three steps."""
    return m.op("Mul", FP32, m.convert(INT8, FP32, m.op("Xor", UINT8, quarters, _SIGN)), number(4.0))


def cap_softly(m: MapBuilder, value: Argument, cap: float) -> Argument:
    """TanH(x / cap) * cap: three steps."""
    tangent = m.op("TanH", FP32, m.op("Mul", FP32, value, number(1.0 / cap)))
    return m.op("Mul", FP32, tangent, number(cap))
