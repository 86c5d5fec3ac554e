"""Which experts a token takes, and with what weight. docs/numerics.md, "Experts".

The program is static, so every expert is computed, and those that were not chosen have the weight 0: the sums are the
same bits as those of the chosen ones alone. Reading only the chosen experts' weights (Gather) is not done yet.
"""

import numpy as np
from numpy.typing import NDArray

from lpu_backend.compiler.agreeing import FP32, INT8, INT32, UINT8, agree, make_code_value, walk
from lpu_backend.compiler.building import MapBuilder, ProgramBuilder, integer, number
from lpu_backend.compiler.scaling import count_sum, sum_lanes, write_counts
from lpu_backend.compiler.vector_program import MatMul, Of, Rows, Tiles

_SIGN = integer(0x80)
_COUNT_STEPS = float(2**18)
_BYTES = 4


class Routing:
    """From router scores, a lane an expert and a row a token, to weights."""

    def __init__(self, program: ProgramBuilder, name: str, experts: int, tokens: int) -> None:
        self._program, self._name, self._experts, self._tokens = program, name, experts, tokens

    def weigh(self, scores: str, active: int, *, renormalise: bool) -> str:
        """Each expert's weight in all lanes: row (expert, token), 0 if it is not chosen."""
        chosen = self._choose(scores, active)
        shares = self._take_shares(scores, chosen, renormalise=renormalise)
        return self._broadcast("weight", shares)

    def _choose(self, scores: str, active: int) -> str:
        """All bits in the lanes of the experts that fewer than `active` others precede."""
        program, experts, tokens = self._program, self._experts, self._tokens
        alone = self._broadcast("score", scores)
        wins = program.local(f"{self._name} wins", INT8, experts * tokens)
        for part in walk(tokens, experts):
            m = MapBuilder(program, f"{self._name} compare", part.places)
            other, mine = m.read(alone, *part.at(1, tokens)), m.read(scores, *part.at(1, 0))
            greater = m.op("Gt", FP32, other, mine)
            equal = m.op("And", INT32, m.op("Eq", FP32, other, mine), m.read(self._later_lanes(), *part.at(0, 1)))
            m.write(m.convert(FP32, INT8, m.op("Add", FP32, greater, equal)), wins, *part.at(1, tokens))
            m.finish()
        rank = program.local(f"{self._name} rank", INT32, tokens)
        vectors = tuple(tuple(expert * tokens + token for expert in range(experts)) for token in range(tokens))
        places = tuple(Rows(rank, token) for token in range(tokens))
        name = program.unique(f"{self._name} ranks")
        program.add(MatMul(name, self._identity_tile(), wins, vectors, places, shared=True))
        chosen = program.local(f"{self._name} chosen", INT32, tokens)
        m = MapBuilder(program, f"{self._name} choose", tokens)
        is_chosen = m.op("Gt", INT32, integer(active), m.read(rank))
        m.write(m.op("And", INT32, m.op("Negate", INT32, is_chosen), m.read(self._lanes(), 0, 0)), chosen)
        m.finish()
        return chosen

    def _take_shares(self, scores: str, chosen: str, *, renormalise: bool) -> str:
        program, tokens, name = self._program, self._tokens, self._name
        codes = make_code_value(program, f"{name} quarters", tokens, 1)
        m = MapBuilder(program, f"{name} quarters", tokens)
        quarters = m.op("Xor", UINT8, m.convert(FP32, INT8, m.op("Mul", FP32, m.read(scores), number(0.25))), _SIGN)
        m.write(m.op("And", UINT8, quarters, m.read(self._byte_lanes(), 0, 0)), codes)
        m.finish()
        largest = agree(program, codes, tokens, 1, program.chip_tiles)

        shares = program.local(f"{name} shares", FP32, tokens)
        counted = shares if renormalise else program.local(f"{name} all shares", FP32, tokens)
        m = MapBuilder(program, f"{name} exponentials", tokens)
        shift = m.op("Mul", FP32, m.convert(INT8, FP32, m.op("Xor", UINT8, m.read(largest), _SIGN)), number(4.0))
        share = m.op("Exp", FP32, m.op("Sub", FP32, m.read(scores), shift))
        m.write(m.op("And", INT32, share, m.read(chosen)), shares)
        if not renormalise:
            m.write(m.op("And", INT32, share, m.read(self._lanes(), 0, 0)), counted)
        m.finish()
        counts = program.local(f"{name} counts", INT8, 3 * tokens, spread=3)
        m = MapBuilder(program, f"{name} counts", tokens)
        write_counts(m, m.read(counted), _COUNT_STEPS, counts, ((0, 3), (1, 3), (2, 3)))
        m.finish()
        divisor = count_sum(program, f"{name} shares", counts, (tokens, 1), _COUNT_STEPS)

        weights = program.local(f"{name} weights", FP32, tokens)
        m = MapBuilder(program, f"{name} weights", tokens)
        m.write(m.op("Mul", FP32, m.read(shares), m.read(divisor)), weights)
        m.finish()
        return weights

    def _broadcast(self, what: str, source: str) -> str:
        """Each expert's lane of fp32 rows into all lanes, byte by byte, by sums over lanes of which one is not zero."""
        program, experts, tokens = self._program, self._experts, self._tokens
        split = program.local(f"{self._name} {what} bytes", INT8, _BYTES * experts * tokens, spread=_BYTES)
        for part in walk(tokens, experts):
            m = MapBuilder(program, f"{self._name} {what} split", part.places)
            mask = m.read(self._own_lane(), *part.at(0, 1))
            alone = m.op("And", INT32, m.read(source, *part.at(1, 0)), mask)
            for place in range(_BYTES):
                up = m.op("Shl", INT32, alone, integer(8 * place)) if place else alone
                byte = m.convert(INT32, INT8, m.op("Shr", INT32, up, integer(24)))
                m.write(byte, split, *part.at(_BYTES, _BYTES * tokens, place))
            m.finish()
        first = [[_BYTES * group] for group in range(experts * tokens)]
        sums = sum_lanes(program, f"{self._name} {what}", split, _BYTES, first)
        result = program.local(f"{self._name} {what}s by row", FP32, experts * tokens)
        m = MapBuilder(program, f"{self._name} {what} join", experts * tokens)
        joined: Of = m.op("Shl", INT32, m.read(sums[0]), integer(24))
        for place in range(1, _BYTES):
            byte = m.op("And", INT32, m.read(sums[place]), integer(0xFF))
            shifted = byte if place == _BYTES - 1 else m.op("Shl", INT32, byte, integer(24 - 8 * place))
            joined = m.op("Or", INT32, joined, shifted)
        m.write(joined, result)
        m.finish()
        return result

    # Constants.

    def _mask(self, what: str, kept: NDArray[np.bool_]) -> str:
        """int32 rows with all bits where `kept` [rows, experts] is true."""
        rows = np.zeros((1, len(kept), self._program.lanes), np.int32)
        rows[0, :, : kept.shape[1]] = np.where(kept, -1, 0)
        name = f"{what} of {self._experts} experts"
        return self._program.constant(name, INT32, len(kept), lambda _: rows, "model")

    def _lanes(self) -> str:
        return self._mask("lanes", np.ones((1, self._experts), np.bool_))

    def _own_lane(self) -> str:
        return self._mask("own lanes", np.eye(self._experts, dtype=np.bool_))

    def _later_lanes(self) -> str:
        return self._mask("later lanes", np.triu(np.ones((self._experts, self._experts), np.bool_), 1))

    def _byte_lanes(self) -> str:
        rows = np.zeros((1, 1, self._program.lanes), np.uint8)
        rows[..., : self._experts] = 0xFF
        return self._program.constant(f"bytes of {self._experts} experts", UINT8, 1, lambda _: rows, "model")

    def _identity_tile(self) -> str:
        lanes = self._program.lanes
        identity = np.eye(lanes, dtype=np.int8)[None, None, None]
        return self._program.weights(Tiles("identity tile", 1, 1, lanes, scope="model"), lambda _: identity)
