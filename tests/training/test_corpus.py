import re
from random import Random

import pytest
from jinja2 import Environment

from training.corpus import generate_conversations, generation
from training.corpus.conversation import BEGIN, CHAT_TEMPLATE, END, SPECIAL_TOKENS, Conversation
from training.corpus.grammar import expand
from training.corpus.phrasing import type_like_a_person
from training.corpus.sheets import SheetError, read_sheet, take_line

COUNT = 2000


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    return list(generate_conversations(7, COUNT))


def test_the_same_seed_gives_the_same_corpus(conversations: list[Conversation]) -> None:
    assert list(generate_conversations(7, COUNT)) == conversations


def test_another_seed_gives_another_corpus(conversations: list[Conversation]) -> None:
    assert list(generate_conversations(8, COUNT)) != conversations


def test_a_longer_corpus_begins_with_the_shorter_one(conversations: list[Conversation]) -> None:
    assert list(generate_conversations(7, 100)) == conversations[:100]


def test_every_document_ends_in_an_end_of_turn(conversations: list[Conversation]) -> None:
    assert all(c.render().startswith(BEGIN) and c.render().endswith(END) for c in conversations)


def test_the_assistant_has_the_last_word_and_turns_alternate(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        roles = [turn.role for turn in conversation.turns if turn.role != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_at_most_one_document_in_a_hundred_is_a_duplicate(conversations: list[Conversation]) -> None:
    assert len(conversations) - len(set(conversations)) <= COUNT // 100


def test_no_mark_of_the_notation_is_left_in_the_text(conversations: list[Conversation]) -> None:
    texts = [turn.content for conversation in conversations for turn in conversation.turns]
    assert [text for text in texts if re.search(r"[<>]|\{[a-z_]+\}|\\n|  \S+  ", text)] == []
    assert all(text == text.strip() for text in texts)


def test_no_special_token_stands_inside_a_turn(conversations: list[Conversation]) -> None:
    contents = [turn.content for conversation in conversations for turn in conversation.turns]
    assert not any(token in content for content in contents for token in SPECIAL_TOKENS)


def test_the_corpus_holds_letters_beyond_ascii() -> None:
    assert any(not c.render().isascii() for c in generate_conversations(7, COUNT))


def test_every_topic_can_be_drawn_many_times() -> None:
    rng = Random(3)
    for _, draw in generation.TOPICS:
        assert all(exchange.question and exchange.answer for _ in range(200) for exchange in draw(rng))


def test_the_chat_template_renders_what_the_corpus_renders(conversations: list[Conversation]) -> None:
    template = Environment(autoescape=False).from_string(CHAT_TEMPLATE)  # noqa: S701 - the text is for a model, not a page
    for conversation in conversations[:200]:
        messages = [{"role": turn.role, "content": turn.content} for turn in conversation.turns]
        assert template.render(messages=messages, add_generation_prompt=False) == conversation.render()


def test_the_grammar_expands_nested_choices_and_slots() -> None:
    drawn = {expand("<a|b <c|d>> {x}", Random(seed), {"x": "<y|z>"}) for seed in range(50)}
    assert drawn == {"a <y|z>", "b c <y|z>", "b d <y|z>"}


def test_typing_keeps_digits() -> None:
    typed = [type_like_a_person("Is 12345 large?", Random(seed)) for seed in range(300)]
    assert len(set(typed)) > 1
    assert all("12345" in text for text in typed)


def test_a_sheet_line_of_no_known_kind_is_refused() -> None:
    with pytest.raises(SheetError):
        take_line("Z: what?", [])


@pytest.mark.parametrize("name", ["smalltalk", "identity", "product", "hardware", "knowledge", "howto", "beyond"])
def test_block_names_of_a_sheet_are_unique(name: str) -> None:
    names = [block.name for block in read_sheet(name)]
    assert len(names) == len(set(names))
