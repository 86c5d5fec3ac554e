"""A whole pass in one call: operation after operation, each row or output by one thread."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lpu_backend.runtime.kernel_ops import (
    ADD,
    ATTEND,
    BASE,
    CAP,
    EXPERTS,
    EXTRA,
    GATE,
    GELU,
    INDEX,
    KIND,
    LAYER_NORM,
    MULTIPLY,
    NORM,
    OFFSET,
    OPERAND,
    OTHER,
    PADDED,
    PLANES,
    RESULT,
    ROUTE,
    SOURCE,
    SPLIT,
    STRIDE,
    TURN,
    WIDTH,
    Arena,
    Floats,
    Places,
    Program,
    Scratch,
    Whole,
)
from lpu_backend.runtime.kernels.attention import mix_values, score_keys, share, store_key, store_value
from lpu_backend.runtime.kernels.functions import Wide, apply_gate, cap_softly, gelu
from lpu_backend.runtime.kernels.jit import RUN, compiled, compiled_and_kept, digest_sources
from lpu_backend.runtime.kernels.products import multiply, share_work
from lpu_backend.runtime.kernels.routing import route
from lpu_backend.runtime.kernels.rows import (
    find_root,
    layer_norm_row,
    norm_row,
    rotate_head,
    split_row,
    split_row_apart,
)
from lpu_backend.runtime.kernels.threads import wait_for_all
from lpu_backend.runtime.page_pool import PAGE_TOKENS

_ZERO = np.float32(0.0)

Run = Callable[[Program, Arena, Places, Scratch, int, int, Whole], None]


@compiled
def _run(
    op: Whole,
    program: Program,
    arena: Arena,
    places: Places,
    scratch: Scratch,
    thread: int,
    threads: int,
    arrivals: Whole,
) -> None:
    kind = op[KIND]
    if kind == MULTIPLY:
        _multiply(op, program, arena, scratch, thread, threads)
    elif kind == ATTEND:
        _attend(op, program, arena, places, scratch, thread, threads)
    elif kind == EXPERTS:
        _apply_experts(op, program, arena, scratch, thread, threads, arrivals)
    else:
        first, end = share_work(arena.rows, thread, threads)
        for row in range(first, end):
            if kind == TURN:
                _turn(op, arena, places, row)
            elif kind == SPLIT:
                _split(op, program, arena, row)
            else:
                _apply(kind, op, program, arena, row, scratch.wide[thread], scratch.bits[thread])


@compiled
def _find(op: Whole, value: int, rows: int, row: int) -> int:
    """Where this row of one of the operation's three values begins."""
    return rows * op[value + BASE] + row * op[value + STRIDE] + op[value + OFFSET]


@compiled
def _take(op: Whole, value: int, arena: Arena, row: int, width: int) -> Floats:
    start = _find(op, value, arena.rows, row)
    return arena.values[start : start + width]


@compiled
def _constant(program: Program, index: int, width: int) -> Floats:
    """Numbers of the model, none if there are none."""
    return program.constants[index : index + width] if index >= 0 else program.constants[:0]


@compiled
def _operand(op: Whole, field: int, arena: Arena, row: int) -> NDArray[np.int16]:
    """The row of an operand: its planes one after the other."""
    width = op[field + PLANES] * op[field + PADDED]
    start = arena.rows * op[field + BASE] + row * width
    return arena.numbers[start : start + width]


@compiled
def _split_into(x: Floats, numbers: NDArray[np.int16], padded: int) -> np.float32:
    if len(numbers) > padded:
        split_row_apart(x, numbers[padded : 2 * padded], numbers[2 * padded :])
    return split_row(x, numbers[:padded])


@compiled
def _split(op: Whole, program: Program, arena: Arena, row: int) -> None:
    x = _take(op, SOURCE, arena, row, op[WIDTH])
    scale = _split_into(x, _operand(op, OPERAND, arena, row), op[OPERAND + PADDED])
    if op[EXTRA] >= 0:
        scale *= find_root(x, program.constants[op[EXTRA]])
    arena.scales[arena.rows * op[OPERAND + INDEX] + row] = scale


@compiled
def _multiply(op: Whole, program: Program, arena: Arena, scratch: Scratch, thread: int, threads: int) -> None:
    rows = arena.rows
    first, width = rows * op[OPERAND + BASE], op[OPERAND + PLANES] * op[OPERAND + PADDED]
    scales = arena.scales[rows * op[OPERAND + INDEX] : rows * (op[OPERAND + INDEX] + 1)]
    multiply(
        program.matrices[op[EXTRA]],
        program.codes,
        program.constants,
        arena.numbers[first : first + rows * width],
        scales,
        arena.values[_find(op, RESULT, rows, 0) :],
        op[RESULT + STRIDE],
        scratch.sums[thread],
        thread,
        threads,
    )


@compiled
def _turn(op: Whole, arena: Arena, places: Places, row: int) -> None:
    """Rotate the first heads, and put keys and values into the pool."""
    rotated, query_heads, kv_heads, head_dim, layer = op[EXTRA : EXTRA + 5]
    heads = _take(op, SOURCE, arena, row, (query_heads + 2 * kv_heads) * head_dim)
    for head in range(rotated):
        rotate_head(heads[head * head_dim : (head + 1) * head_dim], places.cosines[row], places.sines[row])
    position = places.positions[row]
    page = layer * places.layer_pages + places.pages[places.page_starts[row] + position // PAGE_TOKENS]
    for head in range(2 * kv_heads):
        start = (query_heads + head) * head_dim
        vector = heads[start : start + head_dim]
        store, slot = (page * 2 * kv_heads + head) * PAGE_TOKENS, position % PAGE_TOKENS
        if head < kv_heads:
            places.scales[store + slot] = store_key(vector, store * head_dim, slot, places.codes)
        else:
            places.scales[store + slot] = store_value(vector, store * head_dim, slot, places.codes)


@compiled
def _attend(
    op: Whole, program: Program, arena: Arena, places: Places, scratch: Scratch, thread: int, threads: int
) -> None:
    query_heads = op[EXTRA + 1]
    first, end = share_work(arena.rows * query_heads, thread, threads)
    for item in range(first, end):
        _attend_head(op, program, arena, places, scratch, thread, item // query_heads, item % query_heads)


@compiled
def _attend_head(
    op: Whole, program: Program, arena: Arena, places: Places, scratch: Scratch, thread: int, row: int, head: int
) -> None:
    _, query_heads, kv_heads, head_dim, layer, window, cap, sinks = op[EXTRA : EXTRA + 8]
    end = places.positions[row] + 1
    first = max(end - window, 0) if window else 0
    page = first // PAGE_TOKENS
    start = places.page_starts[row]
    pages = places.pages[start + page : start + (end + PAGE_TOKENS - 1) // PAGE_TOKENS]
    first, end = first - page * PAGE_TOKENS, end - page * PAGE_TOKENS

    page_codes = 2 * kv_heads * PAGE_TOKENS * places.layer_pages
    codes, scales = places.codes[layer * page_codes * head_dim :], places.scales[layer * page_codes :]
    query = _take(op, SOURCE, arena, row, query_heads * head_dim)[head * head_dim : (head + 1) * head_dim]
    numbers, sums, kv_head = scratch.numbers[thread], scratch.sums[thread], head * kv_heads // query_heads
    wide, bits = scratch.wide[thread], scratch.bits[thread]
    scores = scratch.scores[thread, : len(pages) * PAGE_TOKENS]
    score_keys(query, kv_head, 2 * kv_heads, pages, codes, scales, numbers, sums, scores)
    seen = scores[first:end]
    if cap >= 0:
        cap_softly(seen, program.constants[cap], program.constants[cap + 1], seen, wide, bits)
    sink = program.constants[sinks + head : sinks + head + 1] if sinks >= 0 else program.constants[:0]
    divisor = share(seen, places.count_steps, sink, wide, bits)
    scores[:first] = _ZERO
    scores[end:] = _ZERO
    result = _take(op, RESULT, arena, row, query_heads * head_dim)[head * head_dim : (head + 1) * head_dim]
    scale = mix_values(scores, kv_heads + kv_head, 2 * kv_heads, pages, codes, scales, numbers, sums, result)
    scale *= divisor
    for channel in range(head_dim):
        result[channel] *= scale


@compiled
def _apply(kind: int, op: Whole, program: Program, arena: Arena, row: int, wide: Wide, bits: Whole) -> None:
    """What is made of one row alone."""
    width = op[WIDTH]
    x, result = _take(op, SOURCE, arena, row, width), _take(op, RESULT, arena, row, width)
    if kind == ADD:
        other = _take(op, OTHER, arena, row, width)
        for i in range(width):
            result[i] = x[i] + other[i]
    elif kind == GATE:
        apply_gate(op[EXTRA], x, _take(op, OTHER, arena, row, width), result, wide, bits)
    elif kind == CAP:
        cap_softly(x, program.constants[op[EXTRA]], program.constants[op[EXTRA] + 1], result, wide, bits)
    elif kind == GELU:
        gelu(x, result, wide, bits)
    elif kind == ROUTE:
        route(x, op[EXTRA], op[EXTRA + 1] != 0, result)
    else:
        _norm(kind, op, program, arena, row)


@compiled
def _norm(kind: int, op: Whole, program: Program, arena: Arena, row: int) -> None:
    width, epsilon = op[WIDTH], program.constants[op[EXTRA]]
    weight = _constant(program, op[EXTRA + 1], width)
    if kind == LAYER_NORM:
        x, result = _take(op, SOURCE, arena, row, width), _take(op, RESULT, arena, row, width)
        layer_norm_row(x, epsilon, weight, _constant(program, op[EXTRA + 2], width), result)
    elif kind == NORM:
        groups = op[EXTRA + 2]
        x, result = _take(op, SOURCE, arena, row, groups * width), _take(op, RESULT, arena, row, groups * width)
        for group in range(groups):
            part = slice(group * width, (group + 1) * width)
            norm_row(x[part], epsilon, weight, result[part])


@compiled
def _apply_experts(
    op: Whole, program: Program, arena: Arena, scratch: Scratch, thread: int, threads: int, arrivals: Whole
) -> None:
    """Each token's chosen experts, times their weights, added in the order of the experts."""
    first_matrix, experts = op[EXTRA], op[EXTRA + 1]
    for row in range(arena.rows):
        weights = _take(op, SOURCE, arena, row, experts)
        result = _take(op, RESULT, arena, row, op[WIDTH])
        if thread == 0:
            result[:] = _ZERO
        for expert in range(experts):
            if weights[expert] != _ZERO:
                matrices = program.matrices[first_matrix + 2 * expert : first_matrix + 2 * expert + 2]
                _apply_expert(op, matrices, weights[expert], program, arena, scratch, row, thread, threads, arrivals)


@compiled
def _apply_expert(
    op: Whole,
    matrices: Whole,
    weight: np.float32,
    program: Program,
    arena: Arena,
    scratch: Scratch,
    row: int,
    thread: int,
    threads: int,
    arrivals: Whole,
) -> None:
    rows, gate_kind, inner, inner_operand, width = arena.rows, op[EXTRA + 2], op[EXTRA + 3], EXTRA + 4, op[WIDTH]
    room = _take(op, OTHER, arena, row, 3 * inner + width)
    gate_up, gated, outputs = room[: 2 * inner], room[2 * inner : 3 * inner], room[3 * inner :]
    numbers = _operand(op, OPERAND, arena, row)
    at = rows * op[OPERAND + INDEX] + row
    sums, scale = scratch.sums[thread], arena.scales[at : at + 1]
    multiply(matrices[0], program.codes, program.constants, numbers, scale, gate_up, 2 * inner, sums, thread, threads)
    wait_for_all(arrivals, threads)
    numbers = _operand(op, inner_operand, arena, row)
    at = rows * op[inner_operand + INDEX] + row
    scale = arena.scales[at : at + 1]
    if thread == 0:
        apply_gate(gate_kind, gate_up[:inner], gate_up[inner:], gated, scratch.wide[thread], scratch.bits[thread])
        scale[0] = _split_into(gated, numbers, op[inner_operand + PADDED])
    wait_for_all(arrivals, threads)
    multiply(matrices[1], program.codes, program.constants, numbers, scale, outputs, width, sums, thread, threads)
    wait_for_all(arrivals, threads)
    if thread == 0:
        result = _take(op, RESULT, arena, row, width)
        for i in range(width):
            result[i] += outputs[i] * weight


def _make_run(sources: int) -> Run:
    @compiled_and_kept(RUN)
    def run(
        program: Program, arena: Arena, places: Places, scratch: Scratch, thread: int, threads: int, arrivals: Whole
    ) -> None:
        """This thread's part of all operations; the others run the same at the same time, and wait for each other."""
        for index in range(len(program.ops) if sources else 0):
            _run(program.ops[index], program, arena, places, scratch, thread, threads, arrivals)
            wait_for_all(arrivals, threads)

    return run


run = _make_run(digest_sources())
