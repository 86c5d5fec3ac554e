"""How people type: other words, lower case, no full stop, something said before or after, now and then a typo."""

import re
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

# A question that hands over words to be copied or judged keeps its own words.
_QUOTING = re.compile(r"[\n\":]|^(say|repeat|write|please say|echo|my name|call me|i am|this is)\b", re.IGNORECASE)
# Words that can stand for each other in a question without changing what is asked.
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "answer": ("reply", "response", "output"),
    "answers": ("replies", "responses"),
    "big": ("large", "huge"),
    "capital": ("capital city",),
    "cost": ("price",),
    "create": ("make", "set up"),
    "error": ("status", "response", "problem"),
    "explain": ("describe", "tell me about", "clarify"),
    "fast": ("quick", "rapid"),
    "find": ("see", "get"),
    "get": ("obtain", "receive"),
    "give": ("write", "show"),
    "help": ("support", "assistance"),
    "identical": ("the same", "equal"),
    "key": ("API key", "token"),
    "list": ("name", "give me"),
    "make": ("create", "produce"),
    "money": ("credit", "funds"),
    "need": ("want", "require"),
    "plus": ("and", "+"),
    "request": ("call", "query"),
    "requests": ("calls", "queries"),
    "same": ("identical",),
    "see": ("find", "view", "check"),
    "send": ("give", "pass"),
    "short": ("brief", "little", "small"),
    "show": ("give", "write"),
    "story": ("tale",),
    "stream": ("get", "receive"),
    "talking": ("speaking", "chatting"),
    "tell": ("give", "write"),
    "use": ("take", "set", "work with"),
    "want": ("need", "would like"),
    "what's": ("what is",),
    "who's": ("who is",),
}
_SYNONYM_RATE = 0.18
# Small words that people leave out.
_FILLERS = frozenset({"a", "an", "the", "do", "does", "i", "my", "to", "of", "can", "me", "please", "are"})
_DROP_RATE = 0.05
_BEFORE = (
    "I am new here.",
    "I have a question.",
    "I was wondering,",
    "One more thing,",
    "Sorry to ask, but",
    "I am building an app.",
    "I am a developer.",
    "My friend asked me,",
    "Just checking,",
    "Can you help me?",
    "I would like to know,",
    "Tell me,",
    "Could you explain",
    "Do you know",
    "Thanks!",
    "Ok.",
    "Great.",
)
_AFTER = (
    "Keep it simple.",
    "Keep it short.",
    "I am new to this.",
    "In a few words.",
    "Explain it simply.",
    "I need it for my app.",
    "for my app",
    "for my project",
    "in my script",
    "in simple terms",
    "exactly",
    "actually",
    "here",
    "right now",
    "please explain",
)
_AROUND_RATE = 0.16


def type_like_a_person(question: str, rng: Random) -> str:
    """`question` as someone might type it; the words stay recognisable."""
    text = question if _QUOTING.search(question) else _reword(question, rng)
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


def _reword(question: str, rng: Random) -> str:
    """The same question in slightly other words, with something said around it now and then."""
    words = [_swap_word(word, rng) for word in question.split(" ")]
    kept = [word for word in words if word.lower() not in _FILLERS or rng.random() >= _DROP_RATE]
    text = " ".join(kept or words)
    chance = rng.random()
    if chance < _AROUND_RATE / 2:
        return f"{rng.choice(_BEFORE)} {text}"
    if chance < _AROUND_RATE:
        after = rng.choice(_AFTER)
        return f"{text} {after}" if after[0].isupper() else f"{text.rstrip('?.!')} {after}?"
    return text


def _swap_word(word: str, rng: Random) -> str:
    bare = word.rstrip("?.!,")
    others = _SYNONYMS.get(bare.lower())
    if others is None or rng.random() >= _SYNONYM_RATE:
        return word
    other = rng.choice(others)
    return (other[:1].upper() + other[1:] if bare[:1].isupper() else other) + word[len(bare) :]


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
