"""VXM, MXM and SXM of the naive machine, a tile at a time. What mixes tiles waits until the last tile's data is in."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lpu_backend.arithmetic import pointwise
from lpu_backend.hazards import HazardKind
from lpu_backend.isa.instructions import (
    TRANSCENDENTAL_OPS,
    ZERO_LANE,
    Accumulate,
    ActivationBuffer,
    Binary,
    Convert,
    Distribute,
    InstallWeights,
    LoadWeights,
    Permute,
    Rotate,
    Select,
    Shift,
    SxmInstruction,
    Transpose,
    Unary,
    VxmInstruction,
)
from lpu_backend.isa.operands import AluResult, DataType, Immediate, Source
from tests.lpu_backend.naive_fabric import Fabric, Issue, Phase, Word, join_bytes

Elements = NDArray[np.generic]


class NaiveVxm:
    """`results[alu, tile]` is the type and the elements of an ALU's result register."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.results: dict[tuple[int, int], tuple[DataType, Elements]] = {}
        self.entered: set[tuple[int, int, int]] = set()

    def execute(self, issue: Issue) -> None:
        instruction = issue.instruction
        assert isinstance(instruction, VxmInstruction)
        timing = self.fabric.chip.timing(name_operation_class(instruction))
        dtype = instruction.to_type if isinstance(instruction, Convert) else instruction.dtype

        def sample(tile: int) -> None:
            result: Elements = np.zeros(self.fabric.chip.lanes_per_tile, dtype.numpy)
            if tile < issue.superlanes:
                result = self.compute(instruction, issue.queue.position, tile)
            assert result.dtype == dtype.numpy

            def deliver(tile: int) -> None:
                self.enter(issue.queue.part, tile, dtype, result)
                if instruction.destination is not None:
                    self.fabric.drive_elements(instruction.destination, result, issue.queue.position, tile)

            self.fabric.one_tile(tile, issue.cycle + timing.func, Phase.DELIVER, deliver)

        self.fabric.each_tile(issue.cycle + timing.skew, Phase.SAMPLE, sample)

    def enter(self, alu: int, tile: int, dtype: DataType, result: Elements) -> None:
        if (self.fabric.now, alu, tile) in self.entered:
            raise self.fabric.refuse(HazardKind.ALU_RESULT, tile)
        self.entered.add((self.fabric.now, alu, tile))
        self.results[alu, tile] = (dtype, result)

    def compute(self, instruction: VxmInstruction, position: int, tile: int) -> Elements:
        if isinstance(instruction, Convert):
            source = self.operand(instruction.source, instruction.from_type, position, tile)
            return pointwise.convert(instruction.to_type, source)
        if isinstance(instruction, Unary):
            source = self.operand(instruction.source, instruction.dtype, position, tile)
            return pointwise.apply_unary(instruction.op, instruction.dtype, source)
        left = self.operand(instruction.left, instruction.dtype, position, tile)
        right = self.operand(instruction.right, instruction.dtype, position, tile)
        return pointwise.apply_binary(instruction.op, instruction.dtype, left, right)

    def operand(self, source: Source, dtype: DataType, position: int, tile: int) -> Elements:
        if isinstance(source, Immediate):
            low_bytes = (source.bits & 0xFFFFFFFF).to_bytes(4, "little")[: dtype.streams]
            return np.frombuffer(low_bytes * self.fabric.chip.lanes_per_tile, dtype.numpy)
        if not isinstance(source, AluResult):
            return self.fabric.sample_elements(source, dtype, position, tile)
        if (source.alu, tile) not in self.results:
            raise self.fabric.refuse(HazardKind.ALU_RESULT, tile)
        held_type, elements = self.results[source.alu, tile]
        if held_type is not dtype:
            raise self.fabric.refuse(HazardKind.BAD_INSTRUCTION, tile)
        return elements


def name_operation_class(instruction: VxmInstruction) -> str:
    if isinstance(instruction, Convert):
        return "Convert"
    if isinstance(instruction, Binary):
        return "Pointwise"
    return "Transcendental" if instruction.op in TRANSCENDENTAL_OPS else "Pointwise"


@dataclass
class NaivePlane:
    """One MXM plane, a part in each tile. A tile's part of row n is the 16 weights from its own lanes."""

    buffer: dict[tuple[int, int], Word] = field(default_factory=dict)  # (tile, row)
    array: dict[int, list[Word]] = field(default_factory=dict)  # tile: rows
    accumulators: dict[tuple[int, int], Elements] = field(default_factory=dict)  # (tile, slot)
    due: dict[int, Elements] = field(default_factory=dict)  # tile: the product of this cycle


@dataclass
class ExactSum:
    """A sum of fp16 products: a count of 2^-48 (each fp16 is a count of 2^-24), and what in it is not finite."""

    units: int = 0
    specials: set[str] = field(default_factory=set)

    def add_product(self, left: np.float16, right: np.float16) -> None:
        if np.isfinite(left) and np.isfinite(right):
            self.units += int(float(left) * 2**24) * int(float(right) * 2**24)
        else:
            self.specials.add(str(float(left) * float(right)))

    def join(self, other: "ExactSum") -> None:
        self.units += other.units
        self.specials |= other.specials

    def round(self) -> np.float32:
        """To nearest fp32, ties to even. 2^-48 and every sum are within fp32's normal numbers."""
        if self.specials:
            return np.float32(self.specials.pop() if len(self.specials) == 1 else "nan")
        dropped_bits = max(0, abs(self.units).bit_length() - 24)
        kept, rest = divmod(abs(self.units), 1 << dropped_bits)
        half = (1 << dropped_bits) / 2
        kept += rest > half or (rest == half and kept % 2 == 1)
        magnitude = float(kept) * 2.0 ** (dropped_bits - 48)
        return np.float32(-magnitude if self.units < 0 else magnitude)


class NaiveMxm:
    """The planes of both ends, by slice name."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.planes = {f"MXM_{side}{plane}": NaivePlane() for side in "WE" for plane in range(2)}
        self.activations: list[tuple[int, str, DataType]] = []

    def execute(self, issue: Issue) -> None:
        if isinstance(issue.instruction, LoadWeights):
            self.load(issue, issue.instruction)
        elif isinstance(issue.instruction, InstallWeights):
            self.install(issue, issue.instruction.rows)
        elif isinstance(issue.instruction, ActivationBuffer):
            self.multiply(issue, issue.instruction)
        elif isinstance(issue.instruction, Accumulate):
            self.accumulate(issue, issue.instruction)

    def load(self, issue: Issue, instruction: LoadWeights) -> None:
        plane = self.planes[issue.queue.slice_name]
        count = self.fabric.chip.mxm_load_streams

        def sample(tile: int) -> None:
            words = [self.fabric.zeros] * count
            if tile < issue.superlanes:
                words = self.fabric.sample_words(instruction.stream, count, issue.queue.position, tile)
            for i, word in enumerate(words):
                plane.buffer[tile, instruction.row + i] = word

        self.fabric.each_tile(issue.cycle + self.fabric.chip.timing("LW").skew, Phase.SAMPLE, sample)

    def install(self, issue: Issue, rows: int) -> None:
        plane = self.planes[issue.queue.slice_name]

        def take(tile: int) -> None:
            array = [self.fabric.zeros] * self.fabric.chip.lanes
            for row in range(rows):
                if (tile, row) not in plane.buffer:
                    raise self.fabric.refuse(HazardKind.WEIGHTS, tile)
                array[row] = plane.buffer[tile, row]
            for row in range(self.fabric.chip.lanes):
                plane.buffer.pop((tile, row), None)
            due = issue.cycle + self.fabric.chip.timing("IW").func
            self.fabric.one_tile(tile, due, Phase.DELIVER, lambda tile: plane.array.update({tile: array}))

        self.fabric.each_tile(issue.cycle, Phase.INSTALL, take)

    def multiply(self, issue: Issue, instruction: ActivationBuffer) -> None:
        self.check_interval(issue, instruction)
        timing = self.fabric.chip.timing(f"ABC.{instruction.dtype.value}")
        partial_sums: dict[int, list[ExactSum]] = {}

        def sample(tile: int) -> None:
            x: Elements = np.zeros(self.fabric.chip.lanes_per_tile, instruction.dtype.numpy)
            if tile < issue.superlanes:
                x = self.fabric.sample_elements(instruction.stream, instruction.dtype, issue.queue.position, tile)
            partial_sums[tile] = [sum_products(x, row) for row in self.weights(issue, instruction.dtype, tile)]

        def deliver(tile: int) -> None:
            assert len(partial_sums) == self.fabric.tiles, "d_func is too short: not every tile has been sampled"
            self.give_product(issue.queue.slice_name, tile, instruction.dtype, partial_sums)

        self.fabric.each_tile(issue.cycle + timing.skew, Phase.SAMPLE, sample)
        self.fabric.each_tile(issue.cycle + timing.func, Phase.DELIVER, deliver)

    def check_interval(self, issue: Issue, instruction: ActivationBuffer) -> None:
        """An fp16 ABC has both planes of its side for its own cycle and the next."""
        side = issue.queue.slice_name[:-1]
        for cycle, other_side, dtype in self.activations:
            together = cycle == issue.cycle and DataType.FP16 in (dtype, instruction.dtype)
            straight_after = cycle == issue.cycle - 1 and dtype is DataType.FP16
            if other_side == side and (together or straight_after):
                raise self.fabric.refuse(HazardKind.ISSUE_INTERVAL, 0)
        self.activations.append((issue.cycle, side, instruction.dtype))

    def weights(self, issue: Issue, dtype: DataType, tile: int) -> list[Elements]:
        """A tile's part of each row, from this plane or from the inner and the outer one (low and high bytes)."""
        names = [issue.queue.slice_name]
        if dtype is DataType.FP16:
            names.append(issue.queue.slice_name[:-1] + "1")
        arrays = [self.planes[name].array.get(tile) for name in names]
        if None in arrays:
            raise self.fabric.refuse(HazardKind.WEIGHTS, tile)
        return [join_bytes([array[row] for array in arrays], dtype) for row in range(self.fabric.chip.lanes)]

    def give_product(self, name: str, tile: int, dtype: DataType, partial_sums: dict[int, list[ExactSum]]) -> None:
        """Adds up the tiles for the outputs of this tile, and sees that an ACC takes them."""
        lanes = self.fabric.chip.lanes_per_tile
        totals = []
        for output in range(tile * lanes, (tile + 1) * lanes):
            total = ExactSum()
            for sums in partial_sums.values():
                total.join(sums[output])
            totals.append(total.round() if dtype is DataType.FP16 else total.units)
        product = np.array(totals, DataType.FP32.numpy if dtype is DataType.FP16 else DataType.INT32.numpy)
        plane = self.planes[name]
        if tile in plane.due:
            raise self.fabric.refuse(HazardKind.PRODUCT, tile)
        plane.due[tile] = product

        def check_taken(tile: int) -> None:
            if plane.due.pop(tile, None) is not None:
                raise self.fabric.refuse(HazardKind.PRODUCT, tile)

        self.fabric.one_tile(tile, self.fabric.now - tile, Phase.COMMIT, check_taken)

    def accumulate(self, issue: Issue, instruction: Accumulate) -> None:
        plane = self.planes[issue.queue.slice_name]
        func = self.fabric.chip.timing("ACC").func

        def take(tile: int) -> None:
            product = plane.due.pop(tile, None)
            if product is None:
                raise self.fabric.refuse(HazardKind.PRODUCT, tile)
            if tile >= issue.superlanes:
                product = np.zeros_like(product)
            if instruction.mode == "add":
                product = self.add(plane.accumulators.get((tile, instruction.slot)), product, tile)
            plane.accumulators[tile, instruction.slot] = product
            driven = product if tile < issue.superlanes else np.zeros_like(product)
            if instruction.destination is not None:
                self.fabric.one_tile(tile, issue.cycle + func, Phase.DELIVER, lambda tile: deliver(tile, driven))

        def deliver(tile: int, driven: Elements) -> None:
            self.fabric.drive_elements(instruction.destination, driven, issue.queue.position, tile)

        self.fabric.each_tile(issue.cycle, Phase.SAMPLE, take)

    def add(self, held: Elements | None, product: Elements, tile: int) -> Elements:
        if held is None or held.dtype != product.dtype:
            raise self.fabric.refuse(HazardKind.ACCUMULATOR, tile)
        if product.dtype == np.float32:
            with np.errstate(all="ignore"):
                total = held + product
            total[np.isnan(total)] = np.nan  # always the same one, as hosts choose theirs differently
            return total
        sums = [int(left) + int(right) for left, right in zip(held, product, strict=True)]
        return np.array([(value + 2**31) % 2**32 - 2**31 for value in sums], product.dtype)


def sum_products(x: Elements, weights: Elements) -> ExactSum:
    total = ExactSum()
    for element, weight in zip(x, weights, strict=True):
        if x.dtype == np.float16:
            total.add_product(element, weight)
        else:
            total.units += int(element) * int(weight)
    return total


class NaiveSxm:
    """Shift and Permute need words of other tiles; all else stays in its tile."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.lanes = fabric.chip.lanes_per_tile

    def execute(self, issue: Issue) -> None:
        if isinstance(issue.instruction, Shift | Permute):
            self.mix_tiles(issue, issue.instruction)
        else:
            self.stay_in_tile(issue)

    def stay_in_tile(self, issue: Issue) -> None:
        instruction, position = issue.instruction, issue.queue.position
        assert isinstance(instruction, SxmInstruction)
        timing = self.fabric.chip.timing(instruction.mnemonic)

        def sample(tile: int) -> None:
            words = self.compute(instruction, position, tile)
            if tile >= issue.superlanes:
                words = [self.fabric.zeros] * len(words)
            self.fabric.one_tile(tile, issue.cycle + timing.func, Phase.DELIVER, lambda tile: deliver(tile, words))

        def deliver(tile: int, words: list[Word]) -> None:
            self.fabric.drive_words(instruction.destination, words, position, tile)

        self.fabric.each_tile(issue.cycle + timing.skew, Phase.SAMPLE, sample)

    def compute(self, instruction: SxmInstruction, position: int, tile: int) -> list[Word]:
        if isinstance(instruction, Select):
            south = self.fabric.sample(instruction.south, position, tile)
            north = self.fabric.sample(instruction.north, position, tile)
            first_lane = tile * self.lanes
            chosen = [south if first_lane + i < instruction.boundary else north for i in range(self.lanes)]
            return [bytes(chosen[i][i] for i in range(self.lanes))]
        if isinstance(instruction, Transpose):
            words = self.fabric.sample_words(instruction.source, 16, position, tile)
            return [bytes(words[i][j] for i in range(16)) for j in range(16)]
        word = self.fabric.sample(instruction.source, position, tile)
        if isinstance(instruction, Distribute):
            return [bytes(0 if lane == ZERO_LANE else word[lane] for lane in instruction.lane_map)]
        assert isinstance(instruction, Rotate)
        return rotate_block(word, instruction.size)

    def mix_tiles(self, issue: Issue, instruction: Shift | Permute) -> None:
        timing = self.fabric.chip.timing(instruction.mnemonic)
        position = issue.queue.position
        words: dict[int, Word] = {}
        lane_map: dict[int, Elements] = {}

        def sample(tile: int) -> None:
            words[tile] = self.fabric.sample(instruction.source, position, tile)
            if isinstance(instruction, Permute):
                stream = instruction.map_stream
                lane_map[tile] = self.fabric.sample_elements(stream, DataType.UINT16, position, tile)
                self.check_bijection(lane_map, tile)

        def deliver(tile: int) -> None:
            assert len(words) == self.fabric.tiles, "d_func is too short: not every tile has been sampled"
            vector = b"".join(words[each] for each in range(self.fabric.tiles))
            word = self.fabric.zeros
            if tile < issue.superlanes:
                sources = [self.source_lane(instruction, lane_map, tile, i) for i in range(self.lanes)]
                word = bytes(vector[lane] if 0 <= lane < len(vector) else 0 for lane in sources)
            self.fabric.drive(instruction.destination, position, tile, word)

        self.fabric.each_tile(issue.cycle + timing.skew, Phase.SAMPLE, sample)
        self.fabric.each_tile(issue.cycle + timing.func, Phase.DELIVER, deliver)

    def source_lane(self, instruction: Shift | Permute, lane_map: dict[int, Elements], tile: int, i: int) -> int:
        if isinstance(instruction, Permute):
            return int(lane_map[tile][i])
        return tile * self.lanes + i - instruction.lanes

    def check_bijection(self, lane_map: dict[int, Elements], tile: int) -> None:
        """Seen when the last tile's part of the map has come in."""
        if len(lane_map) == self.fabric.tiles:
            lanes = sorted(int(lane) for part in lane_map.values() for lane in part)
            if lanes != list(range(self.fabric.chip.lanes)):
                raise self.fabric.refuse(HazardKind.PERMUTATION, tile)


def rotate_block(word: Word, size: int) -> list[Word]:
    words = []
    for i in range(size):
        for j in range(size):
            rotated = bytearray(len(word))
            for a in range(size):
                for b in range(size):
                    rotated[size * a + b] = word[size * ((a + i) % size) + (b + j) % size]
            words.append(bytes(rotated))
    return words
