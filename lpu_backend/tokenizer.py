"""tokenizer.json and chat template of a checkpoint: messages to ids, ids to bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from tokenizers import Tokenizer

from lpu_backend.chat_template import ChatTemplate, read_chat_template
from lpu_backend.config import decode_json_file, read_graph
from lpu_backend.exceptions import CheckpointError
from lpu_backend.graph.nodes import ModelGraph

TOKENIZER_FILE = "tokenizer.json"


class CheckpointTokenizer:
    """The ChatTokenizer of a checkpoint folder. Reads no weights."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate, context_window_tokens: int) -> None:
        self.context_window = context_window_tokens
        self.template = template
        self._tokenizer = tokenizer

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of the rendered chat template, generation prompt added. Raises ChatTemplateError."""
        ids: list[int] = self._tokenizer.encode(self.template.render(messages), add_special_tokens=False).ids
        return ids

    def list_token_bytes(self, vocabulary_tokens: int) -> list[bytes]:
        """What each id adds to the answer; nothing for special tokens and for ids that no token has."""
        special = {i for i, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        alphabet = _map_byte_level_alphabet()
        tokens = [None if i in special else self._tokenizer.id_to_token(i) for i in range(vocabulary_tokens)]
        return [b"" if token is None else _to_bytes(token, alphabet) for token in tokens]


def read_tokenizer(folder: Path) -> CheckpointTokenizer:
    """Read the tokenizer of a checkpoint folder. Raises CheckpointError."""
    return make_tokenizer(folder, read_graph(folder))


def make_tokenizer(folder: Path, graph: ModelGraph) -> CheckpointTokenizer:
    """As `read_tokenizer`, with config.json already read."""
    path = folder / TOKENIZER_FILE
    _check_decoder(path)
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the reader raises bare Exception
        raise CheckpointError(f"{TOKENIZER_FILE}: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = tokenizer.get_vocab(with_added_tokens=True).values()
    if max(ids, default=0) >= graph.vocabulary:
        raise CheckpointError(f"{TOKENIZER_FILE}: has ids past the vocab_size of config.json, {graph.vocabulary}")
    return CheckpointTokenizer(tokenizer, read_chat_template(folder), graph.context_window)


class _Decoder(msgspec.Struct):
    type: str


class _TokenizerFile(msgspec.Struct):
    decoder: _Decoder | None = None


def _check_decoder(path: Path) -> None:
    decoder = decode_json_file(path, _TokenizerFile).decoder
    if decoder is None or decoder.type != "ByteLevel":
        kind = None if decoder is None else decoder.type
        raise CheckpointError(f"{TOKENIZER_FILE}: decoder: {kind!r} is not supported, only 'ByteLevel'")


def _map_byte_level_alphabet() -> dict[str, int]:
    """Character to byte, as GPT-2 wrote them: printable Latin-1 stands for itself, the rest follows from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def _to_bytes(token: str, alphabet: Mapping[str, int]) -> bytes:
    """Bytes of a token; one with a character outside the alphabet was added as plain text."""
    if all(character in alphabet for character in token):
        return bytes(alphabet[character] for character in token)
    return token.encode()
