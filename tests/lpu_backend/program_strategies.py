"""Hypothesis strategies: whole programs that a text can describe."""

from typing import Any

from hypothesis import strategies as st

from lpu_backend.chip import GROQCHIP1, plan_floor
from lpu_backend.isa.operands import DataType
from lpu_backend.isa.program import Link, Program, Region, Text
from tests.lpu_backend.instruction_strategies import queue_contents, queues

MEM_SLICES = [name for name in plan_floor(GROQCHIP1).positions if name.startswith("MEM")]
NAME_LETTERS = "abcXYZ019_.-+*/#@|[]é"
names = st.text(NAME_LETTERS, min_size=1, max_size=8)


@st.composite
def _slice_lists(draw: st.DrawFn, count: int) -> tuple[str, ...]:
    """Neighbours or a random choice, in either order: what a text writes as ranges, lists or both."""
    first = draw(st.integers(0, len(MEM_SLICES) - count))
    neighbours = MEM_SLICES[first : first + count]
    chosen = st.lists(st.sampled_from(MEM_SLICES), min_size=count, max_size=count, unique=True)
    return tuple(draw(st.sampled_from([neighbours, neighbours[::-1]]) | chosen))


@st.composite
def _regions(draw: st.DrawFn, name: str, number: int) -> Region:
    """A region in the 64 addresses from 64 x `number`, so that no two with other numbers meet."""
    dtype = draw(st.sampled_from(list(DataType)))
    kind = draw(st.sampled_from(["input", "output", "constant"]))
    rows, lanes, step = draw(st.integers(1, 6)), draw(st.integers(1, 18)), draw(st.sampled_from([-3, -1, 1, 2, 9]))
    fill = draw(st.binary(min_size=dtype.streams, max_size=dtype.streams))
    size_bytes = rows * lanes * dtype.streams
    data = draw(st.binary(min_size=size_bytes, max_size=size_bytes) | st.just(fill * rows * lanes))
    address = 64 * number + (18 if step < 0 else 0)
    slices = draw(_slice_lists(dtype.streams * draw(st.integers(1, 3))))
    chip = draw(st.integers(0, 2))
    return Region(name, kind, dtype, rows, lanes, slices, address, step, chip, data if kind == "constant" else b"")


@st.composite
def _texts(draw: st.DrawFn, name: str, number: int) -> Text:
    instructions = draw(queue_contents(draw(queues)))
    return Text(name, draw(st.sampled_from(MEM_SLICES)), 64 * number, instructions, draw(st.integers(0, 2)))


@st.composite
def _links(draw: st.DrawFn) -> tuple[Link, ...]:
    ends = st.tuples(st.integers(0, 2), st.integers(0, 15))
    joined = draw(st.lists(ends, max_size=6, unique=True))
    return tuple(Link(*one, *other) for one, other in zip(joined[::2], joined[1::2], strict=False))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A program of three chips or of one, with regions, texts, links and queues."""
    labels = draw(st.lists(names, max_size=5, unique=True))
    regions = [draw(_regions(name, number)) for number, name in enumerate(labels[:3])]
    texts = [draw(_texts(name, number)) for number, name in enumerate(labels[3:], start=3)]
    links = draw(_links())
    chips = 3 if links or any(part.chip for part in [*regions, *texts]) else draw(st.sampled_from([1, 3]))
    contents: list[dict[str, Any]] = []
    for _ in range(chips):
        chosen = draw(st.lists(queues, max_size=3, unique=True))
        contents.append({queue.name: draw(queue_contents(queue)) for queue in chosen})
    return Program(draw(names), tuple(contents), tuple(regions), tuple(texts), links)
