"""tokenizer.json and chat template of a checkpoint: messages to ids, ids to bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lpu_backend.answer import Vocabulary
from lpu_backend.chat_template import ChatTemplate, read_chat_template
from lpu_backend.config import read_end_of_turn_ids, read_graph
from lpu_backend.constraints import GrammarTokenizer, check_constraint
from lpu_backend.exceptions import CheckpointError, ConstraintError
from lpu_backend.graph.nodes import ModelGraph
from lpu_backend.token_bytes import TokenBytes, read_token_bytes
from lpu_backend.tool_calls.formats import MARKERS, ToolFormat, find_tool_format
from lpu_backend.tool_calls.rendering import prepare_messages
from lpu_backend.types import Constraint

TOKENIZER_FILE = "tokenizer.json"


class CheckpointTokenizer:
    """The ChatTokenizer of a checkpoint folder. Reads no weights."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        token_bytes: TokenBytes,
        graph: ModelGraph,
        *,
        ends_turns: bool,
    ) -> None:
        self._ends_turns = ends_turns
        self.context_window = graph.context_window
        self.vocabulary_tokens = graph.vocabulary
        self.template = template
        self._tools = find_tool_format(template.source)
        self.drops_first_space = token_bytes.drops_first_space
        self._decode = token_bytes.decode
        self._tokenizer = tokenizer

    @property
    def tool_format(self) -> ToolFormat:
        return self._tools.format

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Ids of the rendered chat template, generation prompt added. Raises ChatTemplateError."""
        prepared = prepare_messages(self._tools, messages, tools)
        return self._encode(self.template.render(prepared.messages, prepared.tools))

    def check_constraint(self, constraint: Constraint) -> None:
        """Raises ConstraintError unless answers can be held to it."""
        if not self._ends_turns:
            raise ConstraintError("a model without an end-of-turn token cannot be held to a format")
        check_constraint(constraint)

    def make_vocabulary(self, end_of_turn_ids: frozenset[int]) -> Vocabulary:
        """What answers need to know of these tokens."""
        token_bytes = self.list_token_bytes(self.vocabulary_tokens)
        added = self._tokenizer.get_added_tokens_decoder()
        names = {i: token.content.encode() for i, token in added.items() if not token_bytes[i]}
        grammar = GrammarTokenizer(token_bytes, end_of_turn_ids, self._encode) if end_of_turn_ids else None
        return Vocabulary(token_bytes, end_of_turn_ids, self.drops_first_space, names, grammar)

    def list_token_bytes(self, vocabulary_tokens: int) -> list[bytes]:
        """What each id adds to the answer; nothing for special tokens and for ids that no token has.

        Tokens that mark a call are text, so that calls can be read out of it.
        """
        added = self._tokenizer.get_added_tokens_decoder().items()
        special = {i for i, token in added if token.special and token.content not in MARKERS}
        tokens = [None if i in special else self._tokenizer.id_to_token(i) for i in range(vocabulary_tokens)]
        return [b"" if token is None else self._decode(token) for token in tokens]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


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
    ends_turns = bool(read_end_of_turn_ids(folder))
    return CheckpointTokenizer(tokenizer, read_chat_template(folder), token_bytes, graph, ends_turns=ends_turns)
