"""How the axes of a torch tensor lie in a graph's value [tokens, channels], followed through reshapes and transposes.

An axis of the tensor is a product of atoms, outermost first; an atom runs over tokens or channels with a stride. So
heads that are split off, moved and merged again are known to be the same value.
"""

from collections import deque
from collections.abc import Sequence
from math import prod
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Atom(NamedTuple):
    """`size` steps of `stride` along tokens or channels; "copies" are the same channels again (an expanded axis)."""

    along: Literal["tokens", "channels", "copies"]
    size: int
    stride: int


Axis = tuple[Atom, ...]
View = tuple[Axis, ...]
"""An axis of size 1 has no atoms."""


class ViewError(Exception):
    """A view that no value has; the message says what was asked."""


def make_view(shape: Sequence[int]) -> View:
    """Of a tensor whose last axis are channels and whose others are tokens."""
    tokens, axes = prod(shape[:-1]), []
    for size in shape[:-1]:
        tokens //= max(size, 1)
        axes.append(_make_axis("tokens", size, tokens))
    return (*axes, _make_axis("channels", shape[-1], 1))


def shape_of(view: View) -> tuple[int, ...]:
    return tuple(prod(atom.size for atom in axis) for axis in view)


def reshape(view: View, shape: Sequence[int]) -> View:
    """Raises ViewError where the new axes cut atoms in a way that no strides express."""
    atoms = deque(_merge([atom for axis in view for atom in axis]))
    axes = []
    for size in shape:
        axis, missing = [], size
        while missing > 1:
            if not atoms:
                raise ViewError(f"{list(shape)} of {list(shape_of(view))}")
            atom = atoms.popleft()
            if missing % atom.size and atom.size % missing == 0:
                inner = atom.size // missing
                atoms.appendleft(atom._replace(size=inner))
                atom = atom._replace(size=missing, stride=atom.stride * inner)
            if missing % atom.size:
                raise ViewError(f"{list(shape)} of {list(shape_of(view))}")
            missing //= atom.size
            axis.append(atom)
        axes.append(_merge(axis))
    return tuple(axes)


def expand(view: View, shape: Sequence[int]) -> View:
    """New axes in front, and axes of size 1, become copies. -1 leaves a size as it is."""
    padded: View = ((),) * (len(shape) - len(view)) + view
    return tuple(
        (Atom("copies", size, 0),) if size > 1 and not axis else axis for axis, size in zip(padded, shape, strict=True)
    )


def is_rows(view: View, tokens: int, channels: int) -> bool:
    """Whether the last axis is all channels and those before it are all tokens, both in order."""
    before = _merge([atom for axis in view[:-1] for atom in axis])
    return before == _make_axis("tokens", tokens, 1) and view[-1] == _make_axis("channels", channels, 1)


class Heads(NamedTuple):
    """Heads of `head_dim` channels, each `copies` times in a row."""

    heads: int
    copies: int
    head_dim: int


def read_heads(view: View, tokens: int) -> Heads:
    """Of a tensor [..., heads, tokens, head_dim] whose axes before are 1. Raises ViewError if it is none."""
    *before, of_heads, of_tokens, of_channels = ((), *view) if len(view) == 2 else view
    head_dim = prod(atom.size for atom in of_channels)
    heads = prod(atom.size for atom in of_heads if atom.along == "channels")
    copies = prod(atom.size for atom in of_heads if atom.along == "copies")
    expected = _make_axis("channels", heads, head_dim) + _make_axis("copies", copies, 0)
    if any(before) or of_tokens != _make_axis("tokens", tokens, 1):
        raise ViewError("attention of a batch: only of [1, heads, tokens, channels of a head]")
    if of_channels != _make_axis("channels", head_dim, 1) or of_heads != expected:
        raise ViewError("attention of axes that are no heads of a value")
    return Heads(heads, copies, head_dim)


def write_heads(axes: int, heads: int, head_dim: int, tokens: int) -> View:
    """The view of what attention gives, of `axes` axes."""
    last = (
        _make_axis("channels", heads, head_dim),
        _make_axis("tokens", tokens, 1),
        _make_axis("channels", head_dim, 1),
    )
    return ((),) * max(axes - 3, 0) + last[-min(axes, 3) :]


def narrow(view: View, axis: int, start: int, stop: int, channels: int) -> tuple[View, NDArray[np.int64]]:
    """Part of an axis of channels: the view of a value that has only those, and which they are, in order."""
    if len(view[axis]) != 1 or view[axis][0].along != "channels":
        raise ViewError("a slice of an axis that is not one run of channels")
    cut = view[axis][0]
    place = np.arange(channels) // cut.stride % cut.size
    kept = np.flatnonzero((place >= start) & (place < stop))
    sizes = {
        atom.stride: stop - start if atom == cut else atom.size for axis_ in view for atom in axis_ if _is_of(atom)
    }
    strides, stride = {}, 1
    for old in sorted(sizes):
        strides[old] = stride
        stride *= sizes[old]

    def renew(atom: Atom) -> Atom:
        return atom._replace(size=sizes[atom.stride], stride=strides[atom.stride]) if _is_of(atom) else atom

    renewed = (tuple(renew(atom) for atom in each) for each in view)
    return tuple(tuple(atom for atom in each if atom.size > 1) for each in renewed), kept


def find_places(view: View, channels: int) -> NDArray[np.int64]:
    """Of each element of the tensor: token * channels + channel. Raises ViewError for copies."""
    places = np.zeros((), np.int64)
    for axis in view:
        offsets = np.zeros(1, np.int64)
        for atom in axis:
            if atom.along == "copies":
                raise ViewError("a constant for an expanded axis")
            step = atom.stride * (channels if atom.along == "tokens" else 1)
            offsets = (offsets[:, None] + np.arange(atom.size) * step).reshape(-1)
        places = places[..., None] + offsets
    return places


def _is_of(atom: Atom) -> bool:
    return atom.along == "channels"


def _make_axis(along: Literal["tokens", "channels", "copies"], size: int, stride: int) -> Axis:
    return (Atom(along, size, stride),) if size > 1 else ()


def _merge(atoms: Sequence[Atom]) -> Axis:
    """Neighbours that are one run together."""
    merged: list[Atom] = []
    for atom in atoms:
        last = merged[-1] if merged else None
        if last is not None and last.along == atom.along != "copies" and last.stride == atom.size * atom.stride:
            merged[-1] = Atom(atom.along, last.size * atom.size, atom.stride)
        else:
            merged.append(atom)
    return tuple(merged)
