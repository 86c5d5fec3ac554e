"""What the host writes before a step: hidden rows of the tokens, rotations of their positions, and masks."""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.compiler.attending import StepShape
from lpu_backend.compiler.layouts import HeadLayout, Layout

Floats = NDArray[np.float32]


def place_hidden(rows: Floats, layout: Layout) -> tuple[Floats, Floats]:
    """Rows [tokens, channels] as each chip's [chips, rows x tokens, lanes], and all of them [1, chips x ...]."""
    padded = np.concatenate([rows, np.zeros((len(rows), 1), np.float32)], axis=1)
    by_chip = padded[:, layout.channels]  # [tokens, chips, rows, lanes]
    chips, lanes = by_chip.shape[1], by_chip.shape[3]
    shards = by_chip.transpose(1, 2, 0, 3).reshape(chips, -1, lanes)
    return shards, shards.reshape(1, -1, lanes)


def place_rotations(rotations: Floats, layout: HeadLayout) -> tuple[Floats, Floats]:
    """Cosines and signed sines [2, tokens, 1, 2, head_dim / 2] as rows [tokens, lanes], alike in every slot."""
    tokens, head_dim = rotations.shape[1], layout.head_dim
    tables = np.zeros((2, tokens, layout.slots, layout.slot_lanes), np.float32)
    tables[..., :head_dim] = rotations.reshape(2, tokens, 1, head_dim)
    rows = np.zeros((2, tokens, layout.lanes), np.float32)
    rows[..., : layout.slots * layout.slot_lanes] = tables.reshape(2, tokens, -1)
    return rows[0], rows[1]


def make_mask(shape: StepShape, rows_per_kind: int, window: int | None, lanes: int) -> Floats:
    """[blocks x rows_per_kind x tokens, lanes]: 0 where a token sees the token of the lane, else -inf."""
    tokens = np.arange(shape.position, shape.position + shape.tokens)
    seen = np.arange(shape.blocks * lanes).reshape(shape.blocks, 1, 1, lanes)
    is_seen = seen <= tokens[:, None]
    if window is not None:
        is_seen &= seen > tokens[:, None] - window
    mask = np.where(is_seen, np.float32(0.0), np.float32(-np.inf))
    return np.broadcast_to(mask, (shape.blocks, rows_per_kind, shape.tokens, lanes)).reshape(-1, lanes).copy()
