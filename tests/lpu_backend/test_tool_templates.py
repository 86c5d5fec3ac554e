"""Tools and calls in prompts, by the templates that know them and by those that do not."""

import json
from pathlib import Path
from typing import Any

import pytest

from lpu_backend.tokenizer import CheckpointTokenizer, read_tokenizer
from lpu_backend.tool_calls.formats import HERMES, LLAMA, MISTRAL, find_tool_format

TOOL = {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {"type": "object"}}}
CALL = {"id": "call_abc", "type": "function", "function": {"name": "now", "arguments": '{"zone": "東京"}'}}
CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": "What time is it?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL, {**CALL, "id": "call_def"}]},
    {"role": "tool", "content": "noon", "tool_call_id": "call_abc"},
    {"role": "tool", "content": "night", "tool_call_id": "call_def"},
    {"role": "user", "content": "Thanks"},
]
# As Qwen's, Llama's and Mistral's templates say it, each cut down to what matters here.
QWEN = """{% if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>{% endif %}
{% for message in messages %}|{{ message.role }}|{{ message.content }}{% for call in message.tool_calls %}
<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>
{% endfor %}{% endfor %}"""
LLAMA_3 = """{% if tools is not none %}Respond in the format {"name": function name, "parameters": dictionary of
argument name and its value}.{{ tools | tojson }}{% endif %}
{% for message in messages %}{% if 'tool_calls' in message %}
{% if message.tool_calls | length != 1 %}{{ raise_exception('This model only supports single tool-calls at once!') }}
{% endif %}{% endif %}{{ message.content }}{% endfor %}"""
MISTRAL_3 = """{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}{% endif %}{% for message in messages %}
{% if message.tool_calls is defined %}[TOOL_CALLS] {% for call in message.tool_calls %}
{{ call.function | tojson }}{{ call.id | length }}{% endfor %}{% elif message.role == 'tool' %}
{{ message.tool_call_id | length }}{% endif %}{% endfor %}"""


def tokenizer_with(checkpoint: Path, template: str) -> CheckpointTokenizer:
    (checkpoint / "chat_template.jinja").write_text(template)
    return read_tokenizer(checkpoint)


def rendered(tokenizer: CheckpointTokenizer, chat: list[dict[str, Any]], tools: list[Any]) -> str:
    # Specials are kept, so that ids say all that the text did.
    return str(tokenizer._tokenizer.decode(tokenizer.encode_chat(chat, tools), skip_special_tokens=False))


@pytest.mark.parametrize(
    ("template", "expected"), [(QWEN, HERMES), (LLAMA_3, LLAMA), (MISTRAL_3, MISTRAL)], ids=["qwen", "llama", "mistral"]
)
def test_the_format_is_found_in_the_templates_text(template: str, expected: object) -> None:
    assert find_tool_format(template) == (expected, True)


@pytest.mark.parametrize(
    "template",
    ["{{ messages }}", "{{ tools }}[TOOL_CALLS]name[ARGS]{}", "{{ tools }}<tool_call><function=name></tool_call>"],
    ids=["no tools", "later mistral", "tags with names"],
)
def test_a_format_it_does_not_know_is_left_to_the_default(template: str) -> None:
    assert find_tool_format(template) == (HERMES, False)


def test_a_template_that_knows_tools_renders_them_itself(checkpoint: Path) -> None:
    text = rendered(tokenizer_with(checkpoint, QWEN), CHAT, [TOOL])
    assert text.startswith(f"<tools>{json.dumps(TOOL)}</tools>")
    assert '<tool_call>{"name": "now", "arguments": {"zone": "東京"}}</tool_call>' in text
    assert "|tool|noon" in text


def test_without_tools_a_template_is_told_that_there_are_none(checkpoint: Path) -> None:
    assert "<tools>" not in rendered(tokenizer_with(checkpoint, QWEN), CHAT, [])
    assert "Respond" not in rendered(tokenizer_with(checkpoint, LLAMA_3), CHAT[:1], [])


def test_ids_are_made_as_long_as_the_template_wants_them(checkpoint: Path) -> None:
    text = rendered(tokenizer_with(checkpoint, MISTRAL_3), CHAT, [TOOL])
    assert text.count('{"name": "now", "arguments": {"zone": "東京"}}9') == 2
    assert text.count("9") == 4


def test_a_template_that_knows_none_gets_them_in_the_system_message(checkpoint: Path) -> None:
    tokenizer = read_tokenizer(checkpoint)
    text = rendered(tokenizer, [{"role": "system", "content": "Be brief."}, *CHAT], [TOOL])
    system, _, rest = text.partition("<|user|>")
    assert "Be brief.\n\nYou may call functions" in system
    assert json.dumps(TOOL["function"]) in system
    assert '<tool_call>\n{"name": "now", "arguments": {"zone": "東京"}}\n</tool_call>' in rest
    assert "<tool_response>\nnoon\n</tool_response>\n<tool_response>\nnight\n</tool_response>" in rest
    assert rendered(tokenizer, CHAT, [TOOL]).startswith("<|begin|><|system|>You may call functions")


def test_messages_without_tools_are_rendered_as_before(checkpoint: Path) -> None:
    tokenizer = read_tokenizer(checkpoint)
    plain = [{"role": "system", "content": "Be brief."}, CHAT[0]]
    assert tokenizer.encode_chat(plain) == tokenizer._encode(tokenizer.template.render(plain))


def test_words_that_mark_a_call_are_text_although_the_tokenizer_calls_them_special(checkpoint: Path) -> None:
    path = checkpoint / "tokenizer.json"
    content = json.loads(path.read_text())
    added = content["added_tokens"][1] | {"id": 500, "content": "[TOOL_CALLS]"}
    path.write_text(json.dumps({**content, "added_tokens": [*content["added_tokens"], added]}))
    tokenizer = read_tokenizer(checkpoint)
    token_bytes = tokenizer.list_token_bytes(512)
    (marker_id,) = tokenizer._encode("[TOOL_CALLS]")
    assert (token_bytes[1], token_bytes[marker_id]) == (b"", b"[TOOL_CALLS]")
