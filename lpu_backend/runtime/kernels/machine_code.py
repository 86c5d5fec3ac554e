"""What numba's Python cannot say: the bits of a number, and products of int8 codes by int16 numbers.

Codes lie in *steps*: of two inputs the codes of LANES outputs, an output's two side by side. Written in LLVM's own
vectors, a step becomes the widest multiply-and-add of whichever CPU compiles it (VNNI, AVX2, SSE2 or NEON): sums of
whole numbers in int32, so their order changes nothing.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lpu_backend.runtime.kernel_ops import LANES


def _make_cast(source: Any, target: Any) -> Any:
    def cast_bits(typing_context: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(target))

        return target(source), generate

    return intrinsic(cast_bits)


float64_to_bits = _make_cast(types.float64, types.int64)
bits_to_float64 = _make_cast(types.int64, types.float64)
float32_to_bits = _make_cast(types.float32, types.int32)
bits_to_float32 = _make_cast(types.int32, types.float32)


def _make_product(blocks: int, tokens: int, *, ways: int = 1, adds: bool = False) -> Any:
    """A function of codes int8, their first place, their stride from one block of LANES outputs to the next and from
    step to step; numbers int16, their first place and their stride from token to token; how many steps (a multiple of
    `ways`, so many sums are kept apart); sums int32, their first place and their stride from token to token. It adds
    to the sums or overwrites them.
    """

    def multiply(
        typing_context: Any,
        codes: Any,
        code: Any,
        block_stride: Any,
        step_stride: Any,
        numbers: Any,
        number: Any,
        number_stride: Any,
        steps: Any,
        sums: Any,
        place: Any,
        sum_stride: Any,
    ) -> Any:
        whole = types.intp
        signature = types.void(codes, *(whole,) * 3, numbers, *(whole,) * 3, sums, whole, whole)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            def point(array: int, first: Any, stride: Any, count: int) -> Any:
                data = context.make_array(signature.args[array])(context, builder, args[array]).data
                return builder.gep(data, [builder.add(first, builder.mul(stride, stride.type(count)))])

            code_rows = [point(0, args[1], args[2], block) for block in range(blocks)]
            number_rows = [point(4, args[5], args[6], token) for token in range(tokens)]
            results = {
                (block, token): builder.bitcast(
                    builder.gep(point(8, args[9], args[10], token), [args[9].type(block * LANES)]), _SUMS.as_pointer()
                )
                for block, token in product(range(blocks), range(tokens))
            }
            first = {key: builder.load(each, align=4) if adds else _ZEROS for key, each in results.items()}
            totals = _sum_steps(builder, code_rows, number_rows, args[3], args[7], first, ways)
            for key, pointer in results.items():
                builder.store(totals[key], pointer, align=4)
            return context.get_dummy_value()

        return signature, generate

    return intrinsic(multiply)


_SUMS = ir.VectorType(ir.IntType(32), LANES)
_ZEROS = ir.Constant(_SUMS, [0] * LANES)
_PRODUCTS = ir.VectorType(ir.IntType(32), 2 * LANES)

Totals = dict[tuple[int, int], Any]
"""By block and token."""


def _sum_steps(
    builder: Any, codes: list[Any], numbers: list[Any], stride: Any, steps: Any, first: Totals, ways: int
) -> Totals:
    """A loop over the steps, `ways` of them a turn."""
    entry, loop, done = builder.block, builder.append_basic_block("step"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(steps.type)
    index.add_incoming(steps.type(0), entry)
    running = [{key: builder.phi(_SUMS) for key in first} for _ in range(ways)]
    added = []
    for way, sums in enumerate(running):
        step = builder.add(index, steps.type(way))
        loaded = [_load_codes(builder, row, builder.mul(step, stride)) for row in codes]
        spread = [_load_pair(builder, row, step) for row in numbers]
        added.append(
            {
                (block, token): builder.add(total, _add_pairs(builder, builder.mul(loaded[block], spread[token])))
                for (block, token), total in sums.items()
            }
        )
    following = builder.add(index, steps.type(ways))
    index.add_incoming(following, loop)
    for way, (before, after) in enumerate(zip(running, added, strict=True)):
        for key in first:
            before[key].add_incoming(_ZEROS if way else first[key], entry)
            before[key].add_incoming(after[key], loop)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, done)
    builder.position_at_end(done)
    totals = added[0]
    for others in added[1:]:
        totals = {key: builder.add(total, others[key]) for key, total in totals.items()}
    return totals


def _load_codes(builder: Any, row: Any, place: Any) -> Any:
    """A step's, as int32."""
    pointer = builder.bitcast(builder.gep(row, [place]), ir.VectorType(ir.IntType(8), 2 * LANES).as_pointer())
    return builder.sext(builder.load(pointer, align=1), _PRODUCTS)


def _load_pair(builder: Any, row: Any, step: Any) -> Any:
    """The step's two numbers, for every lane, as int32."""
    pointer = builder.bitcast(builder.gep(row, [builder.mul(step, step.type(2))]), ir.IntType(32).as_pointer())
    pair = builder.insert_element(
        ir.Constant(_SUMS, ir.Undefined), builder.load(pointer, align=2), ir.Constant(ir.IntType(32), 0)
    )
    spread = builder.shuffle_vector(pair, ir.Constant(_SUMS, ir.Undefined), _ZEROS)
    return builder.sext(builder.bitcast(spread, ir.VectorType(ir.IntType(16), 2 * LANES)), _PRODUCTS)


def _add_pairs(builder: Any, products: Any) -> Any:
    """Neighbours added: with the product before it, one instruction of most CPUs."""

    def pick(first: int) -> Any:
        mask = ir.Constant(_SUMS, list(range(first, 2 * LANES, 2)))
        return builder.shuffle_vector(products, ir.Constant(products.type, ir.Undefined), mask)

    return builder.add(pick(0), pick(1))


Product = Callable[..., None]
multiply_4_blocks: Product = _make_product(4, 1)
multiply_4_blocks_by_2: Product = _make_product(4, 2)
multiply_2_blocks_by_4: Product = _make_product(2, 4)
multiply_block: Product = _make_product(1, 1, ways=4)
add_block: Product = _make_product(1, 1, ways=4, adds=True)
