"""What a checkpoint asks of the cluster."""

from pathlib import Path

import pytest

from lpu_backend import GROQCHIP1, CheckpointError, PlacementError, fit_model, load_model
from lpu_backend.cluster.fit import fit_graph
from lpu_backend.graph.families import make_graph
from tests.lpu_backend.tiny_checkpoint import CONTEXT_WINDOW_TOKENS, WriteCheckpoint

LLAMA_2_70B = make_graph(
    {
        "model_type": "llama",
        "vocab_size": 32_000,
        "hidden_size": 8_192,
        "intermediate_size": 28_672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "max_position_embeddings": 4_096,
    }
)


def test_it_takes_the_fewest_chips_unless_told_otherwise(checkpoint: Path) -> None:
    assert (fit_model(checkpoint).chips, fit_model(checkpoint, 8).chips) == (1, 8)


def test_more_chips_share_the_weights_and_hold_more_requests_at_once(checkpoint: Path) -> None:
    one, eight = fit_model(checkpoint), fit_model(checkpoint, 8)
    assert eight.bytes_per_chip == -(-one.bytes_per_chip // 8)
    assert eight.max_batch > 8 * one.max_batch - 8


def test_the_batch_is_bounded_by_the_keys_and_values_of_whole_context_windows() -> None:
    fit = fit_graph(LLAMA_2_70B, 4_096, None, GROQCHIP1)
    weight_bytes = (80 * 855_638_016) + 2 * 262_144_000
    kv_bytes_per_request = 2 * 80 * 8 * 128 * 2 * 4_096
    assert fit.chips == 576
    assert fit.max_batch == (576 * GROQCHIP1.sram_bytes - weight_bytes) // 2 // kv_bytes_per_request


def test_too_few_chips_are_refused_with_the_number_needed() -> None:
    with pytest.raises(PlacementError, match="needs at least 576 chips, not 72"):
        fit_graph(LLAMA_2_70B, 4_096, 72, GROQCHIP1)


def test_it_refuses_a_folder_that_cannot_be_served(write_checkpoint: WriteCheckpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        fit_model(tmp_path / "nothing")
    folder = write_checkpoint()
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        fit_model(folder)


def test_it_knows_the_context_window(checkpoint: Path) -> None:
    assert fit_model(checkpoint).context_window_tokens == CONTEXT_WINDOW_TOKENS


def test_on_more_chips_it_is_another_program_with_the_same_answers(checkpoint: Path) -> None:
    one, same, eight = load_model(checkpoint), load_model(checkpoint, 1), load_model(checkpoint, 8)
    assert one.program_hash == same.program_hash != eight.program_hash
    times = [model.emulate(prompt_tokens=10, completion_tokens=10) for model in (one, eight)]
    assert [time.chips for time in times] == [1, 8]
    assert times[0].cycles != times[1].cycles
