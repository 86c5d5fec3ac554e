"""How people type: lower case, no full stop, a greeting before or a thank-you after, now and then a typo."""

from random import Random

_OPENINGS = (
    "please ",
    "hi, ",
    "hey, ",
    "hello, ",
    "quick question: ",
    "ok, ",
    "so ",
    "um, ",
    "Hi! ",
    "Hello! ",
    "hey ",
)
_CLOSINGS = (" please", " thanks", " Thanks!", ", please", " thank you")
_TYPO_RATE = 0.10


def type_like_a_person(question: str, rng: Random) -> str:
    """`question` as someone might type it; the words stay recognisable."""
    text = question
    if rng.random() < 0.08 and "\n" not in text:
        text = rng.choice(_OPENINGS) + _decapitalise(text)
    if rng.random() < 0.30:
        text = text.rstrip("?.!")
        if rng.random() < 0.08:
            text += rng.choice(_CLOSINGS)
    if rng.random() < 0.35:
        text = text.lower()
    if rng.random() < _TYPO_RATE:
        text = _mistype(text, rng)
    return text.strip()


def _decapitalise(text: str) -> str:
    return text if text.startswith("I ") else text[:1].lower() + text[1:]


def _mistype(text: str, rng: Random) -> str:
    """One slip of the finger inside one word of at least five letters, digits left alone."""
    words = text.split(" ")
    candidates = [index for index, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if not candidates:
        return text
    index = rng.choice(candidates)
    word = words[index]
    at = rng.randrange(1, len(word) - 1)
    slips = (
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )
    words[index] = rng.choice(slips)
    return " ".join(words)
