"""Which channel of a value is in which lane of which row of which chip."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lpu_backend.compiler.errors import CompileError

Channels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layout:
    """`channels` [chips, rows, lanes]: what each chip holds, -1 for nothing. `whole` is the same seen by all, in rows
    chips x rows: what an AllGather makes of it."""

    channels: Channels

    @property
    def rows(self) -> int:
        """Rows that each chip has."""
        return int(self.channels.shape[1])

    @cached_property
    def whole(self) -> Channels:
        """[chips x rows, lanes]."""
        return self.channels.reshape(-1, self.channels.shape[2])

    @cached_property
    def used_rows(self) -> tuple[int, ...]:
        """Rows of the whole that hold anything."""
        return tuple(np.flatnonzero((self.whole >= 0).any(axis=1)).tolist())

    @property
    def used_lanes(self) -> int:
        """Past the last lane that any row uses."""
        return int(np.flatnonzero((self.channels >= 0).any(axis=(0, 1))).max()) + 1


def lay_out_dense(channels: int, chips: int, lanes: int) -> Layout:
    """Row after row, full; each chip has as many rows, the last ones perhaps with nothing in them."""
    rows = math.ceil(math.ceil(channels / lanes) / chips)
    places = np.arange(chips * rows * lanes)
    return Layout(np.where(places < channels, places, -1).reshape(chips, rows, lanes))


@dataclass(frozen=True)
class HeadLayout:
    """How a chip group divides attention. A row has `slots` of `slot_lanes` lanes, a head in each.

    On each chip there are `kinds` of key rows; slot s of key row i holds key head `keys[chip][i][s]`; each has
    `rows_per_kind` query rows, whose slot s is query head `queries[chip][i][row][s]`. -1 is nothing.
    """

    head_dim: int
    slot_lanes: int
    slots: int
    kinds: int
    rows_per_kind: int
    keys: NDArray[np.int64]
    queries: NDArray[np.int64]
    lanes: int

    @property
    def query_rows(self) -> int:
        return self.kinds * self.rows_per_kind

    def key_layout(self) -> Layout:
        """Channels of keys or values, [chips, kinds, lanes]."""
        return self._spread(self.keys)

    def query_layout(self) -> Layout:
        """Channels of queries and of what attention gives, [chips, kinds x rows_per_kind, lanes]."""
        return self._spread(self.queries.reshape(len(self.queries), -1, self.slots))

    def slots_in_use(self, kind: int) -> list[int]:
        """Slots of a kind's rows that hold a query head in any row on any chip."""
        return np.flatnonzero((self.queries[:, kind] >= 0).any(axis=(0, 1))).tolist()

    def _spread(self, heads: NDArray[np.int64]) -> Layout:
        chips, rows, _ = heads.shape
        channels = np.full((chips, rows, self.lanes), -1, np.int64)
        by_slot = channels[:, :, : self.slots * self.slot_lanes].reshape(chips, rows, self.slots, self.slot_lanes)
        within = heads[..., None] * self.head_dim + np.arange(self.head_dim)
        by_slot[..., : self.head_dim] = np.where(heads[..., None] >= 0, within, -1)
        channels[:, :, : self.slots * self.slot_lanes] = by_slot.reshape(chips, rows, -1)
        return Layout(channels)


def lay_out_heads(query_heads: int, kv_heads: int, head_dim: int, chips: int, lanes: int, tile: int) -> HeadLayout:
    """Key heads over chips, or, where there are more chips, the queries of a key head over several chips that all
    have it. A head takes whole tiles of `tile` lanes. CompileError if a head is wider than a vector."""
    slot_lanes = -(-head_dim // tile) * tile
    slots = lanes // slot_lanes
    if slots == 0:
        raise CompileError(f"a head of {head_dim} channels does not fit a vector of {lanes} lanes")
    group = query_heads // kv_heads
    share = max(1, chips // kv_heads)
    keys_a_chip = -(-kv_heads * share // chips)
    queries_a_key = -(-group // share)
    copies = max(1, slots // keys_a_chip)
    kinds = -(-keys_a_chip // slots)
    rows_per_kind = -(-queries_a_key // copies)
    keys = np.full((chips, kinds, slots), -1, np.int64)
    queries = np.full((chips, kinds, rows_per_kind, slots), -1, np.int64)
    for chip, kind, slot in np.ndindex(chips, kinds, slots):
        local_key = kind * slots + slot if copies == 1 else slot // copies
        key = chip // share * keys_a_chip + local_key
        if local_key >= keys_a_chip or key >= kv_heads:
            continue
        keys[chip, kind, slot] = key
        for row in range(rows_per_kind):
            local_query = row * copies + slot % copies
            query = chip % share * queries_a_key + local_query
            if local_query < queries_a_key and query < group:
                queries[chip, kind, row, slot] = key * group + query
    return HeadLayout(head_dim, slot_lanes, slots, kinds, rows_per_kind, keys, queries, lanes)
