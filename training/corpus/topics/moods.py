"""Is this review positive, negative or neutral?"""

from random import Random

from training.corpus.exchange import Exchange
from training.corpus.grammar import expand

_SUBJECTS = ("film", "movie", "food", "book", "hotel", "phone", "service", "game", "product", "restaurant", "lesson", "trip",
             "concert", "coffee", "room", "app", "website", "delivery", "weather", "day")  # fmt: skip
_POSITIVE = ("<I love|I really like|I enjoyed> <this|the> {x}<|, it is great|, it is wonderful|, well done>",
             "The {x} was <great|wonderful|excellent|very good|fantastic|amazing|perfect|lovely|brilliant>",
             "What a <great|wonderful|lovely|fantastic> {x}", "<Best|The best> {x} ever<|, I will come back>",
             "The {x} was good and I am <happy|very happy|pleased>")  # fmt: skip
_NEGATIVE = ("<I hate|I do not like|I did not enjoy> <this|the> {x}<|, it is bad|, it is awful|, never again>",
             "The {x} was <terrible|awful|bad|boring|very bad|horrible|broken|disappointing|a waste of money|too slow>",
             "What a <terrible|bad|boring|awful> {x}", "<Worst|The worst> {x} ever<|, never again|, I want my money back>",
             "The {x} was bad and I am <angry|sad|disappointed>")  # fmt: skip
_NEUTRAL = ("The {x} was <okay|average|neither good nor bad|on Monday|as expected>", "I <saw|have> the {x} today",
            "This is the {x}")  # fmt: skip
_WISH = ("<<Is this|Is the following|Is this review|Is this sentence|Is this text> positive or negative<|?> {t}"
         "|<What is the sentiment|Sentiment|Classify the sentiment|Classify this|What is the mood|Classify this review>: {t}"
         "|<Positive or negative|positive, negative or neutral|Positive, negative or neutral>: {t}"
         "|Classify as positive or negative: {t}|What is the sentiment of this <review|text|sentence>: {t}>")  # fmt: skip


def draw_sentiment(rng: Random) -> list[Exchange]:
    """A review of one sentence and its mood, in one word or a short sentence."""
    mood, patterns = rng.choices((("positive", _POSITIVE), ("negative", _NEGATIVE), ("neutral", _NEUTRAL)), (5, 5, 1))[
        0
    ]
    text = expand(rng.choice(patterns), rng, {"x": rng.choice(_SUBJECTS)})
    quoted = rng.choice((f'"{text}."', f"{text}.", f"'{text}'", text))
    asked = expand(_WISH, rng, {"t": quoted})
    return [Exchange(asked, expand(f"<{mood.capitalize()}.|This is {mood}.|The sentiment is {mood}.>", rng))]
