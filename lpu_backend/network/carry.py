"""Real numbers through a collective's schedule: every vector's bytes, hop by hop, and every sum in its order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpu_backend.network.plan import Collective, Payload, Reduction, Value
from lpu_backend.network.replay import ReplayError
from lpu_backend.network.transfers import Departure

Elements = NDArray[Any]
Vector = NDArray[np.uint8]


def carry(collective: Collective, tensors: Elements) -> list[dict[Value, Elements]]:
    """Each chip's results, [lanes] each, from the chips' tensors [chips, rows, lanes].

    The type's bytes are the collective's `vectors_per_row`. ReplayError if a chip uses what it does not have yet, or
    lacks a result at the end.
    """
    chips = _Chips(collective, tensors)
    events: list[Reduction | Departure] = [*collective.reductions, *collective.schedule.departures]
    # Both begin with their cycle. Of one cycle sums come first: with no time for additions they can leave at once.
    events.sort(key=lambda event: (event[0], isinstance(event, Departure)))
    for event in events:
        if isinstance(event, Departure):
            chips.depart(event)
        else:
            chips.reduce(event)
    return [
        {value: chips.read(chip, value, collective.finish_cycle) for value in held}
        for chip, held in enumerate(collective.results)
    ]


def add_in_pairs(terms: Sequence[Elements]) -> Elements:
    """((t0 + t1) + (t2 + t3)) + ...; an odd one out waits for the next round. Integers wrap."""
    while len(terms) > 1:
        pairs = [one + other for one, other in zip(terms[::2], terms[1::2], strict=False)]
        terms = [*pairs, *terms[2 * len(pairs) :]]
    return terms[0]


class _Chips:
    """What each chip holds, and since which cycle."""

    def __init__(self, collective: Collective, tensors: Elements) -> None:
        if tensors.dtype.itemsize != collective.vectors_per_row:
            raise ValueError(f"{tensors.dtype} has not the {collective.vectors_per_row} bytes of the collective's rows")
        self._collective = collective
        self._dtype = tensors.dtype
        self._held: list[dict[Payload, tuple[int, Vector]]] = [{} for _ in tensors]
        for chip, rows in enumerate(tensors):
            for row, elements in enumerate(rows):
                self._keep(chip, Value(0, chip, row), 0, elements)

    def depart(self, departure: Departure) -> None:
        cycle, chip, link, transfer = departure
        payload = self._collective.payloads[transfer]
        end = self._collective.topology.far_end(chip, link)
        if end is None:
            raise ReplayError(f"{departure}: the link leads nowhere")
        arrival_cycle = cycle + self._collective.timing.hop_cycles
        # A chip on the way of one transfer may get the same vector by another one later.
        self._held[end.chip].setdefault(payload, (arrival_cycle, self._take(chip, payload, cycle)))

    def reduce(self, reduction: Reduction) -> None:
        terms = [self.read(reduction.chip, term, reduction.start_cycle) for term in reduction.terms]
        if reduction.ready_cycle < reduction.start_cycle + self._collective.timing.reduction_cycles:
            raise ReplayError(f"chip {reduction.chip} has no time for the sum {reduction.result}")
        self._keep(reduction.chip, reduction.result, reduction.ready_cycle, add_in_pairs(terms))

    def read(self, chip: int, value: Value, cycle: int) -> Elements:
        """A value's elements, [lanes], from its planes. ReplayError."""
        planes = [self._take(chip, Payload(value, plane), cycle) for plane in range(self._dtype.itemsize)]
        return np.stack(planes, axis=-1).view(self._dtype)[:, 0]

    def _take(self, chip: int, payload: Payload, cycle: int) -> Vector:
        since_cycle, vector = self._held[chip].get(payload, (None, None))
        if since_cycle is None or vector is None or since_cycle > cycle:
            raise ReplayError(f"chip {chip} has no {payload} in cycle {cycle}")
        return vector

    def _keep(self, chip: int, value: Value, cycle: int, elements: Elements) -> None:
        planes = np.ascontiguousarray(elements).view(np.uint8).reshape(-1, self._dtype.itemsize)
        for plane in range(self._dtype.itemsize):
            self._held[chip][Payload(value, plane)] = (cycle, planes[:, plane])
