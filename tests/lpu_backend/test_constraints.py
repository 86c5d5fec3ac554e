"""Answers that are held to JSON, a schema or a grammar."""

import json
import threading
from typing import Any

import numpy as np
import pytest

from lpu_backend import Constraint, ConstraintError, SamplingParams, SamplingParamsError, Step, check_constraint
from lpu_backend.answer import Answer
from lpu_backend.checkpoint_model import CheckpointModel, read_model
from tests.lpu_backend.tiny_checkpoint import END_ID, VOCABULARY_TOKENS, WriteCheckpoint

ROBOT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "wheels": {"type": "integer", "minimum": 2, "maximum": 16},
        "mood": {"enum": ["calm", "kühl", "🙂"]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    },
    "required": ["name", "wheels", "mood", "tags"],
    "additionalProperties": False,
}
PROMPT = [0, 40, 50, 60]


def schema(value: object) -> Constraint:
    return Constraint("json_schema", json.dumps(value))


def run(model: CheckpointModel, constraint: Constraint, **fields: Any) -> list[Step]:
    params = SamplingParams(**{"max_completion_tokens": 300, "constraint": constraint, **fields})
    return list(model.generate(PROMPT, params))


def text_of(steps: list[Step]) -> str:
    return "".join(step.text for step in steps)


def assert_robot(text: str) -> None:
    robot = json.loads(text)
    assert list(robot) == ["name", "wheels", "mood", "tags"]
    assert isinstance(robot["name"], str)
    assert len(robot["name"]) <= 8
    assert type(robot["wheels"]) is int
    assert 2 <= robot["wheels"] <= 16
    assert robot["mood"] in ROBOT["properties"]["mood"]["enum"]
    assert len(robot["tags"]) <= 3
    assert all(isinstance(tag, bool) for tag in robot["tags"])


@pytest.mark.parametrize("seed", range(6))
def test_a_model_of_random_weights_answers_in_the_schema(seed: int, model: CheckpointModel) -> None:
    steps = run(model, schema(ROBOT), seed=seed, temperature=2.0)
    assert steps[-1].finish_reason == "stop"
    assert_robot(text_of(steps))


def test_greedy_keeps_to_the_schema_too(model: CheckpointModel) -> None:
    assert_robot(text_of(run(model, schema(ROBOT), temperature=0.0)))


def test_any_object_is_json_unless_it_is_cut_off(model: CheckpointModel) -> None:
    endings = set()
    for seed in range(8):
        steps = run(model, Constraint("json_object"), seed=seed, temperature=1.5, max_completion_tokens=120)
        endings.add(steps[-1].finish_reason)
        if steps[-1].finish_reason == "stop":
            assert isinstance(json.loads(text_of(steps)), dict)
        else:
            assert len(steps) == 120
    assert "stop" in endings


def test_an_answer_cut_off_says_so(model: CheckpointModel) -> None:
    steps = run(model, schema(ROBOT), max_completion_tokens=3)
    assert [step.finish_reason for step in steps] == [None, None, "length"]


def test_it_ends_with_the_token_that_completes_it(model: CheckpointModel) -> None:
    steps = run(model, Constraint("grammar", 'start: "yes" | "no"'))
    assert text_of(steps) in ("yes", "no")
    assert steps[-1].text
    assert steps[-1].finish_reason == "stop"


def test_a_stop_string_ends_it_before_it_is_complete(model: CheckpointModel) -> None:
    steps = run(model, schema(ROBOT), stop=('"wheels"',))
    assert steps[-1].finish_reason == "stop"
    assert text_of(steps).startswith("{")
    assert "wheels" not in text_of(steps)


def test_blanks_cannot_go_on_for_ever(model: CheckpointModel) -> None:
    blanks = {i for i, text in enumerate(model.tokenizer.list_token_bytes(VOCABULARY_TOKENS)) if text.isspace()}
    bias = tuple((token_id, 100.0) for token_id in sorted(blanks))
    steps = run(model, schema(ROBOT), logit_bias=bias, temperature=0.0)
    assert sum(step.token_id in blanks for step in steps) > 20
    assert_robot(text_of(steps))


def test_an_answer_goes_on_from_known_tokens_as_if_it_had_made_them(model: CheckpointModel) -> None:
    vocabulary = model.tokenizer.make_vocabulary(frozenset({END_ID}))
    params = SamplingParams(80, seed=5, temperature=2.0, constraint=schema(ROBOT), frequency_penalty=1.5)
    rows = np.random.default_rng(4).normal(0, 3, (80, VOCABULARY_TOKENS)).astype(np.float32)

    def begin() -> Answer:
        return Answer(vocabulary, params, prompt_tokens=4, limit_tokens=80)

    whole, steps = begin(), []
    while not steps or steps[-1].finish_reason is None:
        steps.append(whole.choose(rows[len(steps)]))
    for known in range(len(steps)):
        taken = begin()
        assert [taken.add(step.token_id) for step in steps[:known]] == steps[:known]
        assert taken.choose(rows[known]) == steps[known]


def test_threads_may_share_a_models_tokens(model: CheckpointModel) -> None:
    expected = [text_of(run(model, schema(ROBOT), seed=seed)) for seed in range(4)]
    found: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: found.update({seed: text_of(run(model, schema(ROBOT), seed=seed))}))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in range(4)] == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"type": "wizard"}, "wizard"),
        ({"not": {"type": "object"}}, "not"),
        ({"$ref": "#/$defs/missing"}, "missing"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"enum": ["x" * 70_000]}, "64000 at most"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused_with_the_reason(value: object, message: str) -> None:
    with pytest.raises(ConstraintError, match=message):
        check_constraint(schema(value))


def test_an_object_may_have_many_properties(model: CheckpointModel) -> None:
    many: dict[str, Any] = {
        "type": "object",
        "properties": {f"p{i}": {"enum": [i]} for i in range(600)},
        "additionalProperties": False,
    }
    check_constraint(schema(many))
    steps = run(model, schema(many))
    if steps[-1].finish_reason == "stop":
        assert all(many["properties"][name]["enum"] == [value] for name, value in json.loads(text_of(steps)).items())
    else:
        assert len(steps) == 300


def test_a_schema_that_can_be_kept_is_not_refused() -> None:
    check_constraint(schema(ROBOT))
    check_constraint(Constraint("json_object"))


def test_a_model_without_an_end_of_turn_cannot_be_held_to_a_format(write_checkpoint: WriteCheckpoint) -> None:
    endless = read_model(write_checkpoint(eos_token_id=None))
    with pytest.raises(ConstraintError, match="end-of-turn"):
        endless.tokenizer.check_constraint(Constraint("json_object"))
    with pytest.raises(SamplingParamsError, match="held to a format"):
        run(endless, Constraint("json_object"))


def test_a_stop_string_may_lie_inside_a_character_of_several_tokens(model: CheckpointModel) -> None:
    value = {"type": "object", "properties": {"a": {"const": "x🙂ü"}}, "required": ["a"], "additionalProperties": False}
    assert json.loads(text_of(run(model, schema(value)))) == {"a": "x🙂ü"}
    for stop, last in (("🙂", "x"), ("ü", "x🙂")):
        steps = run(model, schema(value), stop=(stop,))
        assert text_of(steps).endswith(last)
        assert steps[-1].finish_reason == "stop"
