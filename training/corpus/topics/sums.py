"""Small sums, and counting."""

from random import Random

from training.corpus.exchange import Exchange
from training.corpus.grammar import expand

_NUMBER_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def draw_sum(rng: Random) -> list[Exchange]:
    """An addition or subtraction up to 20, a product of the small times table, or a plain division."""
    sign, left, right, result = rng.choice((_addition, _addition, _subtraction, _product, _division))(rng)
    exchanges = [_ask(sign, left, right, result, rng)]
    if rng.random() < 0.2 and result + 10 <= 40:
        more = rng.randrange(1, 11)
        asked = expand("<And plus {n}|plus {n}|now add {n}|add {n} to that|and if you add {n}>?", rng, {"n": str(more)})
        exchanges.append(Exchange(asked, f"{result} + {more} = {result + more}.", str(result + more)))
    return exchanges


def draw_word_problem(rng: Random) -> list[Exchange]:
    """Apples bought and eaten."""
    name = rng.choice(("Anna", "Tom", "Mia", "Ben", "Lena", "Max", "Sara", "Paul"))
    thing = rng.choice(("apples", "books", "coins", "pens", "oranges", "cookies", "cards", "eggs"))
    have = rng.randrange(2, 11)
    if rng.random() < 0.5:
        more = rng.randrange(1, 10)
        asked = (
            f"{name} has {have} {thing} and <gets|buys|finds> {more} more. How many {thing} does {name} have<| now>?"
        )
        return [Exchange(expand(asked, rng), f"{have} + {more} = {have + more}, so {name} has {have + more} {thing}.")]
    less = rng.randrange(1, have)
    asked = f"{name} has {have} {thing} and <loses|sells|gives away> {less}. How many {thing} <are left|does {name} have left>?"
    return [Exchange(expand(asked, rng), f"{have} - {less} = {have - less}, so {have - less} {thing} are left.")]


def draw_count(rng: Random) -> list[Exchange]:
    """Counting up or down to at most twelve, or comparing two numbers."""
    if rng.random() < 0.5:
        small, large = sorted(rng.sample(range(100), 2))
        pair = [small, large]
        rng.shuffle(pair)
        asked = expand(f"<Which is|What is|Which number is> <larger|bigger|greater>, {pair[0]} or {pair[1]}?", rng)
        return [Exchange(asked, f"{large} is larger than {small}.", str(large))]
    last = rng.randrange(3, 13)
    in_words = rng.random() < 0.3
    numbers = [_NUMBER_WORDS[n] if in_words else str(n) for n in range(1, last + 1)]
    backwards = rng.random() < 0.25
    asked = (
        f"Count <down |backwards >from {last} to 1"
        if backwards
        else f"<Count to {last}|Count from 1 to {last}|count up to {last}>"
    )
    asked = expand(asked + (" in words." if in_words else "."), rng)
    return [Exchange(asked, ", ".join(reversed(numbers) if backwards else numbers) + ".")]


def _addition(rng: Random) -> tuple[str, int, int, int]:
    left, right = rng.randrange(0, 21), rng.randrange(0, 13)
    return "+", left, right, left + right


def _subtraction(rng: Random) -> tuple[str, int, int, int]:
    left = rng.randrange(1, 21)
    right = rng.randrange(0, left + 1)
    return "-", left, right, left - right


def _product(rng: Random) -> tuple[str, int, int, int]:
    left, right = rng.randrange(1, 11), rng.randrange(1, 11)
    return "x", left, right, left * right


def _division(rng: Random) -> tuple[str, int, int, int]:
    right, result = rng.randrange(1, 11), rng.randrange(1, 11)
    return "/", right * result, right, result


def _ask(sign: str, left: int, right: int, result: int, rng: Random) -> Exchange:
    spoken = {"+": "<plus|and>", "-": "minus", "x": "times", "/": "divided by"}[sign]
    typed = rng.choice(
        (f"{left} {sign} {right}", f"{left}{sign}{right}", f"{left} {spoken} {right}", f"{left} {spoken} {right}")
    )
    if sign == "x" and rng.random() < 0.4:
        typed = typed.replace("x", "*")
    asked = expand(f"<What is {typed}?|{typed}|{typed} =|What's {typed}?|How much is {typed}?|Calculate {typed}.|"
                   f"What is {typed}?|Can you compute {typed}?>", rng)  # fmt: skip
    return Exchange(asked, f"{left} {sign} {right} = {result}.", str(result))
