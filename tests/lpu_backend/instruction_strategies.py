"""Hypothesis strategies: any instruction that a word can hold, and any that a given queue takes."""

from typing import Any

from hypothesis import strategies as st

from lpu_backend.isa import instructions as isa
from lpu_backend.isa.operands import AluResult, DataType, Immediate, Stream

directions = st.sampled_from(["E", "W"])
dtypes = st.sampled_from(list(DataType))
steps = st.integers(-(1 << 15), (1 << 15) - 1)
halves = st.integers(0, (1 << 16) - 1)
streams = st.builds(Stream, directions, st.integers(0, 31))
destinations = st.none() | streams
sources = streams | st.builds(AluResult, st.integers(0, 15)) | st.builds(Immediate, st.integers(0, (1 << 32) - 1))


def _encodable() -> st.SearchStrategy[Any]:
    reads = st.builds(isa.Read, halves, streams, steps)
    writes = st.builds(isa.Write, halves, streams, steps)
    lane_maps = st.lists(st.integers(0, 31), min_size=16, max_size=16).map(tuple)
    return st.one_of(
        st.builds(isa.Nop, halves),
        st.builds(isa.Ifetch, streams),
        st.builds(isa.Sync),
        st.builds(isa.Notify),
        st.builds(isa.Config, st.integers(0, 255)),
        st.builds(isa.Repeat, halves, halves),
        reads,
        writes,
        st.builds(isa.Gather, streams, streams),
        st.builds(isa.Scatter, streams, streams),
        st.builds(isa.MemPair, reads | writes, reads | writes),
        st.builds(isa.Unary, st.sampled_from(isa.UNARY_OPS), dtypes, sources, destinations),
        st.builds(isa.Binary, st.sampled_from(isa.BINARY_OPS), dtypes, sources, sources, destinations),
        st.builds(isa.Convert, dtypes, dtypes, sources, destinations),
        st.builds(isa.LoadWeights, streams, halves, steps),
        st.builds(isa.InstallWeights, halves),
        st.builds(isa.ActivationBuffer, dtypes, streams),
        st.builds(isa.Accumulate, st.sampled_from(["new", "add"]), st.integers(0, 255), destinations, steps),
        st.builds(isa.Shift, streams, steps, streams),
        st.builds(isa.Select, streams, streams, halves, streams),
        st.builds(isa.Permute, streams, streams, streams),
        st.builds(isa.Distribute, streams, lane_maps, streams),
        st.builds(isa.Rotate, st.integers(0, 7), streams, streams),
        st.builds(isa.Transpose, streams, streams),
        st.builds(isa.Send, streams),
        st.builds(isa.Receive, streams),
        st.builds(isa.Deskew),
        st.builds(isa.RuntimeDeskew, halves),
    )


encodable_instructions = _encodable()
"""Any instruction that fits its word, whether or not a queue takes it."""
