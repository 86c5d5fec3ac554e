"""Messages to prompt text and ids."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from lpu_backend import ChatTemplateError, CheckpointError, load_tokenizer
from lpu_backend.tokenizer import read_tokenizer

HELLO = [{"role": "user", "content": "straße und weg: 日本 🙂"}]


def write_template(folder: Path, source: str) -> None:
    (folder / "chat_template.jinja").write_text(source)


def test_it_renders_the_template_with_special_tokens_and_the_generation_prompt(checkpoint: Path) -> None:
    rendered = read_tokenizer(checkpoint).template.render(HELLO)
    assert rendered == "<|begin|><|user|>straße und weg: 日本 🙂<|end|>\n<|assistant|>"


def test_ids_are_those_of_the_rendered_text_without_further_special_tokens(
    checkpoint: Path, tokenizer_json: str
) -> None:
    tokenizer = read_tokenizer(checkpoint)
    reference = Tokenizer.from_str(tokenizer_json)
    ids = tokenizer.encode_chat(HELLO)
    assert ids == reference.encode(tokenizer.template.render(HELLO), add_special_tokens=False).ids
    assert ids[0] == 0
    assert ids[-1] == reference.token_to_id("<|assistant|>")


def test_the_template_file_wins_over_the_tokenizer_configuration(checkpoint: Path) -> None:
    write_template(checkpoint, "{{ messages[0].content }}!")
    assert read_tokenizer(checkpoint).template.render(HELLO).endswith("🙂!")


def test_a_list_of_named_templates_uses_the_default(checkpoint: Path) -> None:
    templates = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    assert read_tokenizer(checkpoint).template.render(HELLO) == "plain"


def test_a_folder_without_a_template_is_refused(checkpoint: Path) -> None:
    (checkpoint / "tokenizer_config.json").unlink()
    with pytest.raises(CheckpointError, match="chat_template: missing"):
        load_tokenizer(checkpoint)


def test_a_template_with_a_syntax_error_is_refused_at_loading(checkpoint: Path) -> None:
    write_template(checkpoint, "{% for message in %}")
    with pytest.raises(CheckpointError, match="chat template: line 1"):
        load_tokenizer(checkpoint)


def test_messages_that_the_template_refuses_are_refused_in_its_words(checkpoint: Path) -> None:
    with pytest.raises(ChatTemplateError, match="unknown role"):
        load_tokenizer(checkpoint).encode_chat([{"role": "wizard", "content": "x"}])


def test_no_messages_at_all_are_refused(checkpoint: Path) -> None:
    with pytest.raises(ChatTemplateError, match="at least one message"):
        load_tokenizer(checkpoint).encode_chat([])


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content + 1 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(messages[0]) }}",
        "{{ messages[0].content | int(default=none) + 1 }}",
    ],
)
def test_what_a_template_may_not_do_is_an_error_that_quotes_no_message(source: str, checkpoint: Path) -> None:
    write_template(checkpoint, source)
    with pytest.raises(ChatTemplateError) as caught:
        load_tokenizer(checkpoint).encode_chat(HELLO)
    assert HELLO[0]["content"] not in str(caught.value)


def test_templates_may_write_json_and_the_date(checkpoint: Path) -> None:
    write_template(checkpoint, "{{ {'a': '<é>'} | tojson }} {{ strftime_now('%Y') }}")
    years = {str(datetime.now(UTC).year + shift) for shift in (-1, 0, 1)}
    text, year = read_tokenizer(checkpoint).template.render(HELLO).rsplit(" ", 1)
    assert text == '{"a": "<é>"}'
    assert year in years
