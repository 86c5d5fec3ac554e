"""What bytes a token stands for: by the decoder of tokenizer.json, of which two kinds are served.

ByteLevel, as GPT-2 has it, writes each byte as a character. The decoders made from SentencePiece write a space as
U+2581 and a byte without a character as <0xNN>; some drop the space that an answer begins with.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from lpu_backend.config import decode_json_file
from lpu_backend.exceptions import CheckpointError

_SPACE = "\u2581"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SENTENCE_PIECE: list[dict[str, Any]] = [
    {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]
_STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


class TokenBytes(NamedTuple):
    """`decode` gives a token's bytes; `drops_first_space` where an answer begins without its first space."""

    decode: Callable[[str], bytes]
    drops_first_space: bool


class _TokenizerFile(msgspec.Struct):
    decoder: dict[str, Any] | None = None


def read_token_bytes(path: Path) -> TokenBytes:
    """From the decoder of a tokenizer.json. Raises CheckpointError for one that is not served."""
    decoder = decode_json_file(path, _TokenizerFile).decoder or {}
    parts = decoder.get("decoders")
    if decoder.get("type") == "ByteLevel":
        alphabet = _map_byte_level_alphabet()
        return TokenBytes(lambda token: _decode_byte_level(token, alphabet), drops_first_space=False)
    if parts in (_SENTENCE_PIECE, [*_SENTENCE_PIECE, _STRIP]):
        return TokenBytes(_decode_sentence_piece, drops_first_space=parts != _SENTENCE_PIECE)
    raise CheckpointError(
        f"{path.name}: decoder: {decoder.get('type')!r} is not supported, only 'ByteLevel' and SentencePiece's sequence"
    )


def _map_byte_level_alphabet() -> dict[str, int]:
    """Character to byte, as GPT-2 wrote them: printable Latin-1 stands for itself, the rest follows from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def _decode_byte_level(token: str, alphabet: Mapping[str, int]) -> bytes:
    """A token with a character outside the alphabet was added as plain text."""
    if all(character in alphabet for character in token):
        return bytes(alphabet[character] for character in token)
    return token.encode()


def _decode_sentence_piece(token: str) -> bytes:
    byte = _BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(_SPACE, " ").encode()
