"""Answers in a form that was asked for: lists, bullets, one word, JSON; and names given by the user."""

import json
from random import Random

from training.corpus.exchange import Exchange
from training.corpus.grammar import expand
from training.corpus.topics.stories import NAMES
from training.corpus.topics.sums import draw_sum
from training.corpus.topics.tables import draw_capital, draw_colour, draw_opposite

_LISTS = {
    "fruits": ("apple", "banana", "orange", "pear", "cherry", "grape", "lemon", "plum"),
    "vegetables": ("carrot", "potato", "onion", "tomato", "cabbage", "pea", "spinach", "bean"),
    "animals": ("dog", "cat", "horse", "cow", "lion", "elephant", "mouse", "bear"),
    "birds": ("owl", "eagle", "duck", "swan", "robin", "sparrow", "raven", "gull"),
    "colours": ("red", "blue", "green", "yellow", "orange", "purple", "black", "white"),
    "cities": ("Paris", "London", "Berlin", "Rome", "Tokyo", "Cairo", "Oslo", "Madrid"),
    "countries": ("France", "Japan", "Brazil", "Kenya", "Canada", "India", "Norway", "Egypt"),
    "programming languages": ("Python", "Rust", "Java", "C", "Go", "Ruby", "JavaScript", "Swift"),
    "sports": ("football", "tennis", "swimming", "running", "basketball", "cycling", "hockey", "chess"),
    "trees": ("oak", "pine", "birch", "maple", "beech", "willow", "fir", "ash"),
    "flowers": ("rose", "tulip", "lily", "daisy", "sunflower", "violet", "orchid", "poppy"),
    "instruments": ("piano", "guitar", "violin", "flute", "drum", "trumpet", "cello", "harp"),
    "names": ("Anna", "Tom", "Mia", "Ben", "Clara", "Leo", "Nora", "Max"),
    "drinks": ("water", "tea", "coffee", "milk", "juice", "lemonade", "cocoa", "soup"),
    "planets": ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"),
}
# Subject as asked for: points that can be made in one line each.
_POINTS = {
    "an LPU": ("It has only SRAM and no caches", "Its schedule is planned to the cycle", "Tensors stream past its units",
               "It has 320 lanes", "Its timing is always the same"),
    "this service": ("It has an API like OpenAI's", "It streams answers token by token", "You pay only for the tokens used",
                     "It shows your usage and cost", "The same seed gives the same answer"),
    "API keys": ("A key is shown only once", "Keep it in an environment variable", "Revoke it when it leaks",
                 "Never put it in public code"),
    "streaming": ("The answer starts at once", "Text comes in small chunks", "The stream ends with [DONE]",
                  "You can stop at any time"),
    "dogs": ("They are loyal", "They like to play", "They need a walk every day", "They have a good nose"),
    "cats": ("They sleep a lot", "They are quiet hunters", "They can see well in the dark", "They like warm places"),
    "healthy living": ("Sleep enough", "Eat vegetables", "Move every day", "Drink water"),
    "learning to code": ("Start with small programs", "Practise every day", "Read good code", "Ask when you are stuck"),
    "water": ("It has no colour and no taste", "It freezes at 0 degrees", "It boils at 100 degrees", "All life needs it"),
    "the Moon": ("It goes around the Earth", "It reflects sunlight", "It has many craters", "It causes the tides"),
    "reading": ("It teaches new words", "It calms the mind", "It opens other worlds", "It costs little"),
    "exercise": ("It makes the heart strong", "It lifts the mood", "It helps you sleep", "It costs nothing"),
}  # fmt: skip
_COUNT_WORDS = {2: "two", 3: "three", 4: "four", 5: "five"}
_LIST_WISH = "<Name|List|Give me|Tell me|Can you name|Write> {count} {subject}<|, please>."
_POINT_WISH = ("<<Give me|Write|List> {count} <bullet points|bullets|points|facts> about {subject}."
               "|Tell me about {subject} in {count} <bullet points|bullets|points>."
               "|Describe {subject} in {count} <bullet points|bullets>."
               "|What are {count} <benefits|facts|things to know> about {subject}?>")  # fmt: skip


def draw_list(rng: Random) -> list[Exchange]:
    """So many things of a kind: in a line, as bullets, numbered or as JSON."""
    subject = rng.choice(list(_LISTS))
    count = rng.choice((2, 3, 3, 3, 4, 5))
    items = rng.sample(_LISTS[subject], count)
    if subject == "planets":
        items.sort(key=_LISTS["planets"].index)
    wish, answer = rng.choice((_in_a_line, _as_bullets, _numbered, _as_json_list))(items)
    said = rng.choice((_COUNT_WORDS[count], str(count)))
    asked = expand(_LIST_WISH, rng, {"count": said, "subject": subject})
    words = (asked.removesuffix("."), expand(wish, rng))
    return [Exchange(" ".join(filter(None, words)) + ".", answer)]


def draw_points(rng: Random) -> list[Exchange]:
    """A few facts on a subject as bullets."""
    subject, points = rng.choice(list(_POINTS.items()))
    count = rng.choice((2, 3, 3, 3, 4))
    said = rng.choice((_COUNT_WORDS[count], str(count)))
    answer = "\n".join(f"- {point}" for point in rng.sample(points, count))
    return [Exchange(expand(_POINT_WISH, rng, {"count": said, "subject": subject}), answer)]


def draw_bare_answer(rng: Random) -> list[Exchange]:
    """A fact in one word or as JSON."""
    exchange = rng.choice((draw_capital, draw_colour, draw_opposite, draw_sum))(rng)[0]
    if exchange.short is None:
        return [exchange]
    if rng.random() < 0.5:
        wish = expand(
            "<Answer in one word|Answer with one word|One word only|Just the answer|Reply with one word|only one word>",
            rng,
        )
        answer = exchange.short
    else:
        wish = expand(
            "<Answer in JSON|Reply in JSON|Give the answer as JSON|JSON only|Answer as JSON|in JSON|as JSON>", rng
        )
        answer = json.dumps({"answer": exchange.short}, ensure_ascii=False)
    question = f"{exchange.question} {wish}." if rng.random() < 0.7 else f"{wish}: {exchange.question}"
    return [Exchange(question, answer)]


def draw_person_json(rng: Random) -> list[Exchange]:
    """A small JSON object with the fields that were asked for."""
    name, age = rng.choice(NAMES), rng.randrange(18, 80)
    city = rng.choice(_LISTS["cities"])
    record: dict[str, str | int] = {"name": name, "age": age}
    fields = "name and age"
    if rng.random() < 0.4:
        record["city"] = city
        fields = "name, age and city"
    asked = (f"<Give me|Write|Make|Create|Return|Show me> <a JSON object|JSON|a small JSON|a JSON example> "
             f"<with|with the fields> {fields}.")  # fmt: skip
    if rng.random() < 0.4:
        asked = f"<Write as JSON|Put this into JSON|Turn this into JSON|Convert to JSON>: {name} is {age} years old."
        record = {"name": name, "age": age}
    return [Exchange(expand(asked, rng), json.dumps(record))]


def draw_introduction(rng: Random) -> list[Exchange]:
    """The user gives a name; often it is asked for later."""
    name = rng.choice(NAMES)
    asked = "<<|Hi, |Hello, |Hey, >my name is {x}|<|Hi, |Hello! |Hey, >I am {x}|<|Hi, |Hello, >I'm {x}|Call me {x}|This is {x}>."
    answer = "<Nice to meet you, {x}!|Hello, {x}! Nice to meet you.> <I am lpu-demo.|How can I help you?|What can I do for you?>"
    exchanges = [Exchange(expand(asked, rng, {"x": name}), expand(answer, rng, {"x": name}))]
    if rng.random() < 0.6:
        asked = "<What is my name|Do you remember my name|What's my name|Who am I|What did I say my name was|do you know my name>?"
        exchanges.append(Exchange(expand(asked, rng), expand("<Your name is {x}.|You are {x}.>", rng, {"x": name})))
    return exchanges


def draw_repetition(rng: Random) -> list[Exchange]:
    """Say this: words copied as they stand."""
    words = rng.sample([item for items in _LISTS.values() for item in items], rng.choice((1, 2, 3)))
    text = " ".join(words)
    return [
        Exchange(
            expand("<Say|Repeat|Write|Repeat after me:|Please say|Echo|Say the word|Repeat this:> ", rng) + " " + text,
            text,
        )
    ]


def _in_a_line(items: list[str]) -> tuple[str, str]:
    joined = ", ".join(items[:-1]) + " and " + items[-1]
    return "", joined[0].upper() + joined[1:] + "."


def _as_bullets(items: list[str]) -> tuple[str, str]:
    return "< as bullets| as a list| in bullet points| as a bullet list>", "\n".join(f"- {item}" for item in items)


def _numbered(items: list[str]) -> tuple[str, str]:
    answer = "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
    return "< as a numbered list| with numbers| in a numbered list>", answer


def _as_json_list(items: list[str]) -> tuple[str, str]:
    return "< as JSON| in JSON| as a JSON list| as a JSON array>", json.dumps(items)
