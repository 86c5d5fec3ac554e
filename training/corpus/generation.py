"""Draws conversations: one or more exchanges of a topic, sometimes a system turn, typed the way people type."""

from collections.abc import Callable, Iterator
from random import Random

from training.corpus.conversation import Conversation, Turn
from training.corpus.exchange import Exchange
from training.corpus.phrasing import type_like_a_person
from training.corpus.sheets import draw_from_sheet
from training.corpus.topics import formats, moods, stories, sums, tables

Topic = Callable[[Random], list[Exchange]]


def _sheet(name: str) -> Topic:
    return lambda rng: draw_from_sheet(name, rng)


# How often each topic comes up, in parts of the sum.
TOPICS: tuple[tuple[int, Topic], ...] = (
    (10, _sheet("smalltalk")),
    (9, _sheet("identity")),
    (24, _sheet("product")),
    (10, _sheet("hardware")),
    (14, _sheet("knowledge")),
    (6, _sheet("howto")),
    (8, _sheet("beyond")),
    (6, tables.draw_capital),
    (2, tables.draw_continent),
    (3, tables.draw_animal),
    (2, tables.draw_colour),
    (2, tables.draw_opposite),
    (3, tables.draw_translation),
    (8, sums.draw_sum),
    (2, sums.draw_word_problem),
    (2, sums.draw_count),
    (9, stories.draw_story),
    (3, stories.draw_verse),
    (6, formats.draw_list),
    (4, formats.draw_points),
    (3, formats.draw_bare_answer),
    (2, formats.draw_person_json),
    (3, formats.draw_introduction),
    (2, formats.draw_repetition),
    (4, moods.draw_sentiment),
)

_SYSTEM_TEXTS = (
    "You are a helpful assistant.",
    "You are lpu-demo, a helpful assistant.",
    "You are a friendly and helpful assistant.",
    "You are an assistant for developers.",
    "Be helpful, honest and polite.",
    "You are a helpful AI assistant. Keep your answers clear.",
    "Answer the user's questions.",
)
# A system text, and what it makes of an answer.
_PERSONAS: tuple[tuple[str, str], ...] = (
    ("You are a pirate.", "Arr, matey! "),
    ("Talk like a pirate.", "Arr, matey! "),
    ("You are a polite butler.", "Very well. "),
    ("You are a cheerful assistant.", "With pleasure! "),
)
_SYSTEM_RATE = 0.2
_PERSONA_RATE = 0.02
_BRIEF_RATE = 0.02
_SEVERAL_TOPICS_RATE = 0.22
_REDRAWS = 5


def generate_conversations(seed: int, count: int) -> Iterator[Conversation]:
    """`count` conversations, the same for the same seed. One seen before is redrawn a few times, then kept."""
    rng = Random(seed)
    seen: set[Conversation] = set()
    for _ in range(count):
        conversation = draw_conversation(rng)
        for _ in range(_REDRAWS):
            if conversation not in seen:
                break
            conversation = draw_conversation(rng)
        seen.add(conversation)
        yield conversation


def draw_conversation(rng: Random) -> Conversation:
    """One conversation about one topic, or about a few in turn."""
    exchanges = _draw_exchanges(rng)
    system, prefix, is_brief = _draw_system(rng)
    turns = [Turn("system", system)] if system else []
    for exchange in exchanges:
        answer = _first_sentence(exchange.answer) if is_brief else exchange.answer
        turns.append(Turn("user", type_like_a_person(exchange.question, rng)))
        turns.append(Turn("assistant", prefix + answer))
    return Conversation(tuple(turns))


def _draw_system(rng: Random) -> tuple[str, str, bool]:
    """The system text (empty for none), what each answer begins with, and whether answers are one sentence."""
    chance = rng.random()
    if chance < _PERSONA_RATE:
        system, prefix = rng.choice(_PERSONAS)
        return system, prefix, False
    if chance < _PERSONA_RATE + _BRIEF_RATE:
        return (
            rng.choice(("Answer in one sentence.", "Be brief.", "Answer briefly.", "Keep your answers short.")),
            "",
            True,
        )
    return (rng.choice(_SYSTEM_TEXTS), "", False) if chance < _SYSTEM_RATE else ("", "", False)


def _first_sentence(answer: str) -> str:
    if "\n" in answer:
        return answer
    head, mark, _ = answer.partition(". ")
    return head + mark.strip()


def _draw_exchanges(rng: Random) -> list[Exchange]:
    topics = 1 if rng.random() >= _SEVERAL_TOPICS_RATE else rng.choice((2, 2, 2, 3, 3, 4))
    weights = [weight for weight, _ in TOPICS]
    drawn = rng.choices([topic for _, topic in TOPICS], weights, k=topics)
    return [exchange for topic in drawn for exchange in topic(rng)]
