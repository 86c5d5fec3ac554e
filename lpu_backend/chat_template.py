"""A checkpoint's chat template: found, compiled in a sandbox, and rendered to the text that transformers renders."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import msgspec
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lpu_backend.config import decode_json_file
from lpu_backend.exceptions import ChatTemplateError, CheckpointError

TEMPLATE_FILE = "chat_template.jinja"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


class _NamedToken(msgspec.Struct):
    content: str


class _NamedTemplate(msgspec.Struct):
    name: str
    template: str


Token = str | _NamedToken | None


class _TokenizerConfig(msgspec.Struct):
    chat_template: str | list[_NamedTemplate] | None = None
    bos_token: Token = None
    eos_token: Token = None
    unk_token: Token = None
    sep_token: Token = None
    pad_token: Token = None
    cls_token: Token = None
    mask_token: Token = None


class ChatTemplate:
    """`source` is the template's text."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self.source = source
        self._special_tokens = dict(special_tokens)
        try:
            self._template = _make_environment().from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise CheckpointError(f"chat template: line {error.lineno}: {error.message}") from error

    def render(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
        """The prompt text, generation prompt added. Raises ChatTemplateError if the template refuses the messages."""
        if not messages:
            raise ChatTemplateError("at least one message is needed")
        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                tools=tools,
                documents=None,
                add_generation_prompt=True,
                **self._special_tokens,
            )
        except jinja2.TemplateError as error:
            raise ChatTemplateError(error.message or "the chat template refuses these messages") from error
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # What Python says may quote a message, so it stays in the chained error.
            raise ChatTemplateError("the chat template cannot render these messages") from error


def read_chat_template(folder: Path) -> ChatTemplate:
    """Template of a checkpoint folder: chat_template.jinja, else tokenizer_config.json's. Raises CheckpointError."""
    path = folder / TOKENIZER_CONFIG_FILE
    config = decode_json_file(path, _TokenizerConfig) if path.is_file() else _TokenizerConfig()
    return ChatTemplate(_read_source(folder, config), _list_special_tokens(config))


def _read_source(folder: Path, config: _TokenizerConfig) -> str:
    path = folder / TEMPLATE_FILE
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{TEMPLATE_FILE}: cannot be read as UTF-8") from error
    if isinstance(config.chat_template, str):
        return config.chat_template
    for named in config.chat_template or []:
        if named.name == "default":
            return named.template
    raise CheckpointError(f"{TOKENIZER_CONFIG_FILE}: chat_template: missing, and there is no {TEMPLATE_FILE}")


def _list_special_tokens(config: _TokenizerConfig) -> dict[str, str]:
    tokens: dict[str, str] = {}
    for field in config.__struct_fields__:
        token = getattr(config, field)
        if field.endswith("_token") and token is not None:
            tokens[field] = token if isinstance(token, str) else token.content
    return tokens


class _GenerationTag(Extension):
    """`{% generation %}` marks the assistant's words for training; in a prompt its body is plain text."""

    tags = {"generation"}  # noqa: RUF012 - so typed by the base class

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _make_environment() -> ImmutableSandboxedEnvironment:
    # Prompts are text for a model, not HTML: nothing is escaped.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
