"""Chat templates and tokenizers agree with transformers to the byte and the id."""

from pathlib import Path
from typing import Any

import pytest

from lpu_backend.tokenizer import read_tokenizer
from tests.lpu_backend.tiny_checkpoint import CHAT_TEMPLATE

transformers = pytest.importorskip(
    "transformers", reason="transformers, the reference, is in requirements-training.txt"
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

HEADERS = """{% if messages[0]['role'] == 'system' %}
  {%- set system = messages[0]['content'] | trim %}
  {%- set messages = messages[1:] %}
{% else %}
  {%- set system = '' %}
{%- endif %}
{{- bos_token }}{{ '<|system|>\\n' + system + '\\n' if system }}
{% for message in messages %}
    {% if loop.index > 6 %}{% break %}{% endif %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('order') }}{% endif %}
    {% generation %}
    {{ '<|' + message.role + '|>' }} {{ message | tojson }}
    {% endgeneration %}

{% endfor %}
{%- if tools is not none %}tools{% endif %}
{{ '<|assistant|>' if add_generation_prompt }}
"""
CHATS = [
    [{"role": "user", "content": "Hello <b>&amp; 'world'</b>\n\n  straße und weg 日本語 🙂"}],
    [
        {"role": "system", "content": "  Answer briefly. "},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "<|end|>\t1"},
        {"role": "user", "content": ""},
    ],
]


@pytest.mark.parametrize("chat", CHATS, ids=["one message", "four messages"])
@pytest.mark.parametrize("source", [CHAT_TEMPLATE, HEADERS], ids=["plain", "headers"])
def test_text_and_ids_equal_those_of_transformers(source: str, chat: Any, checkpoint: Path) -> None:
    (checkpoint / "chat_template.jinja").write_text(source)
    ours, reference = read_tokenizer(checkpoint), transformers.AutoTokenizer.from_pretrained(checkpoint)
    rendered = reference.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert ours.template.render(chat).encode() == rendered.encode()
    ids = reference.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    assert ours.encode_chat(chat) == ids
