"""Which chips hold what: groups, stages, the least number of chips, and what each chip holds."""

from dataclasses import replace

import pytest

from lpu_backend.chip import GROQCHIP1
from lpu_backend.compiler.chip_groups import find_least_node_part, list_groups, list_rests
from lpu_backend.compiler.costing import LoweredCosts, PartCost
from lpu_backend.compiler.errors import CompileError
from lpu_backend.compiler.memory import PartMemory, measure_part
from lpu_backend.compiler.model_lowering import ModelLowering
from lpu_backend.compiler.partition import Partition, find_minimum_chips, partition_model
from lpu_backend.compiler.placing import Part, place_parts
from lpu_backend.compiler.sram import list_plane_slices, list_planes
from lpu_backend.graph.configs import load_config
from lpu_backend.graph.families import FAMILIES, make_graph
from tests.lpu_backend.small_models import SMALL_MODELS


class EvenCosts:
    """A model of which each of `chips` chips holds `addresses` / chips of every plane for a layer; no other figures."""

    def __init__(self, layers: int, addresses: int, *, kinds: int = 1, head_addresses: int = 1) -> None:
        self.kinds = tuple(layer % kinds for layer in range(layers))
        self._addresses, self._head_addresses = addresses, head_addresses

    def cost_layer(self, kind: int, chips: int) -> PartCost:
        return self._cost((kind + 1) * self._addresses, chips, cache=1)

    def cost_head(self, chips: int) -> PartCost:
        return self._cost(self._head_addresses, chips, cache=0)

    def _cost(self, addresses: int, chips: int, *, cache: int) -> PartCost:
        planes = (-(-addresses // chips),) * GROQCHIP1.mxm_planes
        return PartCost(PartMemory(planes, (cache,) * 4, (0,) * 4, 0, 0, 0), addresses // chips + chips)


def divide(costs: EvenCosts, chips: int) -> Partition:
    return partition_model(costs, chips, GROQCHIP1)


def test_groups_of_a_nodes_chips_lie_in_nodes_and_larger_ones_in_racks() -> None:
    threes = list(list_groups(3, GROQCHIP1))
    assert [group.first_chip for group in threes[:4]] == [0, 3, 8, 11]
    thirteens = list(list_groups(13, GROQCHIP1))
    assert [group.first_chip for group in thirteens[4:7]] == [52, 72, 85]
    assert next(iter(list_rests(3, GROQCHIP1))) == (6, 2)
    assert next(iter(list_rests(13, GROQCHIP1))) == (65, 7)
    assert not list(list_rests(8, GROQCHIP1))
    assert [find_least_node_part(chips, GROQCHIP1) for chips in (12, 13, 14, 16, 31)] == [4, 1, 2, 8, 1]


@pytest.mark.parametrize("chips", [1, 4, 8, 24, 72, 200])
def test_every_layer_is_on_one_group_and_no_chip_in_two(chips: int) -> None:
    partition = divide(EvenCosts(24, 300), chips)
    assert [layer for stage in partition.stages for layer in stage.layer_range] == list(range(24))
    taken = [chip for stage in partition.stages for chip in range(stage.group.first_chip, stage.group.after)]
    assert len(taken) == len(set(taken)) == partition.used_chips
    assert max(taken) < chips
    assert [stage.has_head for stage in partition.stages] == [False] * (len(partition.stages) - 1) + [True]


def test_the_least_number_of_chips_is_enough_and_one_less_is_not() -> None:
    costs = EvenCosts(80, 5_000, head_addresses=3_000)
    least = find_minimum_chips(costs, GROQCHIP1)
    assert divide(costs, least).chips == least
    with pytest.raises(CompileError, match=f"{least - 1} chips are too few: {least} are needed"):
        divide(costs, least - 1)


def test_stages_are_as_even_as_they_can_be() -> None:
    partition = divide(EvenCosts(10, GROQCHIP1.mem_addresses // 5), 4)
    sizes = [stage.layers for stage in partition.stages if stage.layers]
    assert sum(sizes) == 10
    assert max(sizes) <= -(-10 // len(sizes))


def test_kinds_of_different_size_share_a_stage_as_far_as_they_fit() -> None:
    costs = EvenCosts(6, GROQCHIP1.mem_addresses // 4, kinds=2)
    assert find_minimum_chips(costs, GROQCHIP1) >= 3
    for stage in divide(costs, 16).stages:
        assert max(stage.memory.plane_addresses) <= GROQCHIP1.mem_addresses


def test_a_layer_that_no_rack_holds_is_refused() -> None:
    with pytest.raises(CompileError, match="needs more than a rack"):
        find_minimum_chips(EvenCosts(2, 80 * GROQCHIP1.mem_addresses), GROQCHIP1)
    with pytest.raises(CompileError, match="no system has 10,441 chips; the largest has 10,440"):
        divide(EvenCosts(2, 1), 10_441)


def test_room_beside_the_weights_is_for_further_users_caches() -> None:
    partition = divide(EvenCosts(4, GROQCHIP1.mem_addresses - 40), 5)
    fullest = max(partition.stages, key=lambda stage: (stage.layers, max(stage.memory.plane_addresses)))
    free = GROQCHIP1.mem_addresses - max(fullest.memory.plane_addresses)
    assert partition.caches == 1 + free // fullest.layers
    assert partition.users <= len(partition.stages)


def test_llama_2_70b_in_int8_is_divided_over_576_chips_as_published() -> None:
    costs = LoweredCosts(make_graph(load_config("llama-2-70b")), context_tokens=4096, position=625, chip=GROQCHIP1)
    partition = partition_model(costs, 576, GROQCHIP1)
    assert partition.tensor_parallel in (13, 14)
    assert [stage.layers for stage in partition.stages if stage.layers] == [2] * 40
    assert 500 < find_minimum_chips(costs, GROQCHIP1) <= 576


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chips", [1, 3])
def test_what_is_counted_of_the_planes_is_what_the_place_pass_takes(family: str, chips: int) -> None:
    lowering = ModelLowering(make_graph(SMALL_MODELS[family]), chips=chips)
    program = lowering.lower_layer(lowering.kinds[0], lowering.make_shape(5, 1)).program
    (placement,) = place_parts([Part(program, "layer")], GROQCHIP1)
    memory = measure_part(program, GROQCHIP1)
    taken = [placement.layer_stride[list_plane_slices(GROQCHIP1, plane)[0]] for plane in list_planes(GROQCHIP1)]
    assert [weights + cache for weights, cache in zip(memory.weights, memory.cache, strict=True)] == taken


def test_a_longer_context_takes_more_of_the_memory() -> None:
    graph = replace(make_graph(SMALL_MODELS["llama"]), context_window=8192)
    short, long = (
        LoweredCosts(graph, context_tokens=tokens, position=0, chip=GROQCHIP1).cost_layer(0, 1).memory
        for tokens in (320, 3200)
    )
    assert sum(long.cache) > sum(short.cache)
    assert sum(long.weights) == sum(short.weights)
