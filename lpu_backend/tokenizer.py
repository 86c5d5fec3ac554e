"""tokenizer.json and chat template of a checkpoint: messages to ids, ids to bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from lpu_backend.chat_template import ChatTemplate, read_chat_template
from lpu_backend.config import read_graph
from lpu_backend.exceptions import CheckpointError
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.token_bytes import TokenBytes, read_token_bytes

TOKENIZER_FILE = "tokenizer.json"


class CheckpointTokenizer:
    """The ChatTokenizer of a checkpoint folder. Reads no weights."""

    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate, token_bytes: TokenBytes, context_window_tokens: int
    ) -> None:
        self.context_window = context_window_tokens
        self.template = template
        self.drops_first_space = token_bytes.drops_first_space
        self._decode = token_bytes.decode
        self._tokenizer = tokenizer

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of the rendered chat template, generation prompt added. Raises ChatTemplateError."""
        ids: list[int] = self._tokenizer.encode(self.template.render(messages), add_special_tokens=False).ids
        return ids

    def list_token_bytes(self, vocabulary_tokens: int) -> list[bytes]:
        """What each id adds to the answer; nothing for special tokens and for ids that no token has."""
        special = {i for i, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        tokens = [None if i in special else self._tokenizer.id_to_token(i) for i in range(vocabulary_tokens)]
        return [b"" if token is None else self._decode(token) for token in tokens]


def read_tokenizer(folder: Path) -> CheckpointTokenizer:
    """Read the tokenizer of a checkpoint folder. Raises CheckpointError."""
    return make_tokenizer(folder, read_graph(folder))


def make_tokenizer(folder: Path, graph: ModelGraph) -> CheckpointTokenizer:
    """As `read_tokenizer`, with config.json already read."""
    path = folder / TOKENIZER_FILE
    token_bytes = read_token_bytes(path)
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the reader raises bare Exception
        raise CheckpointError(f"{TOKENIZER_FILE}: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = tokenizer.get_vocab(with_added_tokens=True).values()
    if max(ids, default=0) >= graph.vocabulary:
        raise CheckpointError(f"{TOKENIZER_FILE}: has ids past the vocab_size of config.json, {graph.vocabulary}")
    return CheckpointTokenizer(tokenizer, read_chat_template(folder), token_bytes, graph.context_window)
