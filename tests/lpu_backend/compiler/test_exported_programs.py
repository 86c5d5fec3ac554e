"""torch.export programs: the graph's executor and its vector programs agree bit for bit, and with torch closely."""

from typing import Any

import numpy as np
import pytest

from lpu_backend.exceptions import CompileError
from lpu_backend.graph.bert import make_bert
from lpu_backend.graph.exported import import_program
from lpu_backend.runtime.function_model import FunctionModel
from tests.lpu_backend.compiler.interpreted_function import run_interpreted

torch = pytest.importorskip("torch", reason="torch, which exports programs, is in requirements-training.txt")
transformers = pytest.importorskip("transformers", reason="transformers is in requirements-training.txt")
torch.set_num_threads(1)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
nn, functional = torch.nn, torch.nn.functional
Module: Any = nn.Module
TOLERANCE = 0.01


class Mlp(Module):  # type: ignore[misc]  # Any, with torch or without
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(48, 400), nn.Linear(400, 10)

    def forward(self, x: Any) -> Any:
        return torch.softmax(self.down(functional.silu(self.up(x * 0.5 + 1))), -1)


class Causal(Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.output = nn.RMSNorm(32), nn.Linear(32, 96), nn.Linear(32, 32)

    def forward(self, x: Any) -> Any:
        heads = (part.view(1, 8, 4, 8).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        mixed = functional.scaled_dot_product_attention(*heads, is_causal=True)
        return x + self.output(mixed.transpose(1, 2).reshape(1, 8, 32))


class Unsupported(Module):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return torch.cumsum(torch.sin(x), -1)


BERT = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 16,
}


def make_case(name: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    if name == "mlp":
        return Mlp().eval(), torch.randn(6, 48)
    if name == "causal":
        return Causal().eval(), torch.randn(1, 8, 32)
    if name == "encoder layer":
        return nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True).eval(), torch.randn(1, 8, 32)
    return transformers.BertModel(transformers.BertConfig(**BERT)).eval(), torch.randint(0, 50, (1, 8))


@pytest.mark.parametrize("decomposed", [False, True], ids=["as exported", "decomposed"])
@pytest.mark.parametrize("name", ["mlp", "causal", "encoder layer", "bert"])
def test_a_program_agrees_bit_for_bit_with_its_vector_programs_and_with_torch(name: str, decomposed: bool) -> None:
    module, given = make_case(name)
    exported = torch.export.export(module, (given,))
    graph, tensors = import_program(exported.run_decompositions() if decomposed else exported)
    rows = given.numpy()
    inputs = {graph.inputs[0].name: rows.reshape(graph.tokens, -1) if rows.dtype == np.float32 else rows.reshape(-1)}
    outputs = FunctionModel(graph, tensors).run(inputs)
    for chips in (1, 2):
        interpreted = run_interpreted(graph, tensors, inputs, chips=chips)
        assert all(np.array_equal(interpreted[each], rows) for each, rows in outputs.items())
    with torch.no_grad():
        expected = module(given)
    expected = [expected] if torch.is_tensor(expected) else list(expected.values())
    assert len(expected) == len(outputs)
    for reference, ours in zip(expected, outputs.values(), strict=True):
        np.testing.assert_allclose(ours, reference.numpy().reshape(ours.shape), rtol=0, atol=TOLERANCE)


def test_all_that_is_not_supported_is_named_at_once() -> None:
    exported = torch.export.export(Unsupported(), (torch.randn(2, 8),))
    with pytest.raises(CompileError, match=r"aten\.sin\.default \(sin\).*aten\.cumsum\.default \(cumsum\)"):
        import_program(exported)


def test_bert_from_its_config_agrees_with_transformers_in_parts_on_two_chips() -> None:
    module, given = make_case("bert")
    graph = make_bert(BERT, 8)
    tensors = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    inputs = {"input_ids": given.numpy().reshape(-1)}
    (ours,) = FunctionModel(graph, tensors).run(inputs).values()
    (interpreted,) = run_interpreted(graph, tensors, inputs, chips=2).values()
    assert np.array_equal(interpreted, ours)
    with torch.no_grad():
        reference = module(given).last_hidden_state[0].numpy()
    np.testing.assert_allclose(ours, reference, rtol=0, atol=TOLERANCE)
