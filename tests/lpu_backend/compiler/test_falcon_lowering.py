"""Falcon's vector programs against transformers, the reference implementation of its checkpoints."""

import numpy as np
import pytest

from lpu_backend.graph.families import make_graph
from lpu_backend.graph.tensors import make_random_tensors
from tests.lpu_backend.compiler.interpreted_model import InterpretedModel
from tests.lpu_backend.small_models import SMALL_MODELS

torch = pytest.importorskip("torch", reason="torch, the reference, is in requirements-training.txt")
transformers = pytest.importorskip("transformers", reason="transformers is in requirements-training.txt")
torch.set_num_threads(1)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
FALCON = {**SMALL_MODELS["falcon"], "max_position_embeddings": 128}
_OURS = ("model_type", "intermediate_size", "num_key_value_heads", "rms_norm_eps", "rope_theta")


@pytest.mark.parametrize("chips", [1, 2])
def test_logits_of_falcon_agree_with_transformers_but_for_int8(chips: int) -> None:
    graph = make_graph(FALCON)
    tensors = make_random_tensors(graph, 1)
    fields = {name: value for name, value in FALCON.items() if name not in _OURS}
    reference = transformers.FalconForCausalLM(transformers.FalconConfig(**fields, layer_norm_epsilon=1e-5)).eval()
    reference.load_state_dict({name: torch.tensor(rows) for name, rows in tensors.items()})
    ids = [3, 5, 7, 100, 12]
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0].numpy()
    model = InterpretedModel(graph, tensors, chips=chips)
    ours = np.concatenate([model.advance(ids[:3]), model.advance(ids[3:])])
    np.testing.assert_allclose(ours, expected, rtol=0, atol=0.1)
    assert (ours.argmax(axis=1) == expected.argmax(axis=1)).all()
