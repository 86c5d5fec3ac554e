import json
from pathlib import Path

import pytest

from lpu_backend import ChatModel, load_model
from training.corpus.conversation import CHAT_TEMPLATE, END
from training.evaluate import answer_prompt, read_prompts

FOLDER = Path(__file__).parents[2] / "models" / "lpu-demo"
LARGEST_BYTES = 10_000_000


@pytest.fixture(scope="module")
def model() -> ChatModel:
    return load_model(FOLDER)


def test_the_committed_folder_holds_at_most_ten_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= LARGEST_BYTES


def test_the_committed_folder_carries_the_chat_template_it_was_trained_with() -> None:
    tokenizer_config = json.loads((FOLDER / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert (tokenizer_config["chat_template"], tokenizer_config["eos_token"]) == (CHAT_TEMPLATE, END)


def test_there_are_twenty_different_prompts() -> None:
    prompts = [prompt["prompt"] for prompt in read_prompts()]
    assert len(prompts) == len(set(prompts)) == 20


@pytest.mark.parametrize("prompt", read_prompts(), ids=lambda prompt: prompt["prompt"][:30])
def test_it_answers_each_prompt_and_ends_by_itself(model: ChatModel, prompt: dict[str, str]) -> None:
    answer, finish_reason = answer_prompt(model, prompt)
    assert finish_reason == "stop"
    assert len(answer.split()) >= 1


def test_it_knows_a_capital(model: ChatModel) -> None:
    assert "Paris" in answer_prompt(model, {"prompt": "What is the capital of France?"})[0]


def test_it_says_its_name(model: ChatModel) -> None:
    assert "lpu-demo" in answer_prompt(model, {"prompt": "Who are you?"})[0]
