"""The SRAM of one MEM slice: a vector an address, in two banks that take one access a cycle each."""

from collections.abc import Iterable, Mapping

import numpy as np

from lpu_backend.machine.issue import Issue
from lpu_backend.machine.vectors import Vector


class Slice:
    """Vectors are immutable, so a read hands out what was written and a later write harms none in flight."""

    def __init__(self, addresses: int, banks: int, tiles: int, lanes_per_tile: int) -> None:
        self.addresses = addresses
        self._bank_addresses = addresses // banks
        self._tiles = tiles
        self._lanes_per_tile = lanes_per_tile
        self._vectors: dict[int, Vector] = {}
        self._busy: dict[int, tuple[int, Issue]] = {}

    def take_bank(self, address: int, cycle: int, user: Issue) -> Issue | None:
        """Claim the bank of an address for a cycle. Returns who has it already."""
        bank = address // self._bank_addresses
        busy = self._busy.get(bank)
        if busy is not None and busy[0] == cycle:
            return busy[1]
        self._busy[bank] = (cycle, user)
        return None

    def read(self, address: int) -> Vector | None:
        """The vector at an address; None if nothing was ever written there. Its `absent` tells tiles never written."""
        return self._vectors.get(address)

    def write(self, address: int, vector: Vector, superlanes: int) -> None:
        """Store the southernmost `superlanes` words of a vector."""
        if superlanes == self._tiles:
            self._vectors[address] = vector
        else:
            self.write_words({address: range(superlanes)}, vector)

    def read_words(self, addresses: Iterable[int]) -> Vector:
        """Tile k's word at the k-th address, as one vector; `absent` marks the words that were never written."""
        lanes = self._lanes_per_tile
        data = np.zeros(self._tiles * lanes, np.uint8)
        absent = np.zeros(self._tiles, np.bool_)
        flips = {}
        for tile, address in enumerate(addresses):
            vector = self._vectors.get(address)
            if vector is None or (vector.absent is not None and vector.absent[tile]):
                absent[tile] = True
                continue
            data[tile * lanes : (tile + 1) * lanes] = vector.data[tile * lanes : (tile + 1) * lanes]
            if tile in vector.flips:
                flips[tile] = vector.flips[tile]
        return Vector(data, flips=flips, absent=absent if absent.any() else None)

    def write_words(self, tiles_of: Mapping[int, Iterable[int]], vector: Vector) -> None:
        """Store some tiles' words of a vector at each address."""
        lanes = self._lanes_per_tile
        for address, tiles in tiles_of.items():
            old = self._vectors.get(address)
            data = np.zeros(self._tiles * lanes, np.uint8) if old is None else old.data.copy()
            absent = np.ones(self._tiles, np.bool_) if old is None else np.zeros(self._tiles, np.bool_)
            if old is not None and old.absent is not None:
                absent |= old.absent
            flips = {} if old is None else dict(old.flips)
            for tile in tiles:
                data[tile * lanes : (tile + 1) * lanes] = vector.data[tile * lanes : (tile + 1) * lanes]
                absent[tile] = False
                flips.pop(tile, None)
            self._vectors[address] = Vector(data, flips=flips, absent=absent if absent.any() else None)

    def flip(self, address: int, tile: int, bits: frozenset[int]) -> None:
        """Flip bits of a stored word. KeyError if the address was never written."""
        vector = self._vectors[address]
        flips = dict(vector.flips)
        flips[tile] = flips.get(tile, frozenset()) ^ bits
        self._vectors[address] = Vector(vector.data, flips=flips, absent=vector.absent)
