"""Short stories and verses about a hero, a place and a thing that the user may choose."""

from random import Random

from training.corpus.exchange import Exchange
from training.corpus.grammar import expand

NAMES = ("Anna", "Tom", "Mia", "Ben", "Lena", "Max", "Sara", "Paul", "Lily", "Sam", "Emma", "Leo", "Nora", "Finn", "Ella",
         "Jack", "Ruby", "Oscar", "Clara", "Hugo", "Ida", "Milo", "Alice", "Bob", "Maria", "David", "Sophie", "Peter", "Julia",
         "Omar", "Yuki", "Priya", "Carlos", "Ivan", "Fatima", "Kim", "Alex", "John", "Mary", "Daniel")  # fmt: skip
_HEROES = ("robot", "dragon", "cat", "dog", "fox", "bear", "girl", "boy", "king", "queen", "knight", "wizard", "mouse", "owl",
           "rabbit", "sailor", "princess", "pirate", "frog", "bird", "computer", "chip", "baker", "gardener", "elephant",
           "horse", "farmer", "fish", "turtle", "star")  # fmt: skip
_PLACES = ("in a small village", "in a deep forest", "by the sea", "on a high mountain", "in a big city", "on a lonely island",
           "in an old castle", "at the edge of a lake", "on the Moon", "in a quiet valley")  # fmt: skip
_TRAITS = ("small", "brave", "kind", "curious", "lonely", "clever", "shy", "old", "young", "friendly")
# What was wrong, what the hero did, how it ended.
_PLOTS = (
    ("One day the river dried up, and nobody had water.",
     "{name} walked <for three days|up the mountain> and found a great stone that blocked the stream. With the help of <an old goat|a strong wind|some friends>, {name} pushed it away.",
     "The water came back, and <everybody danced|the whole valley was green again>."),
    ("One night a <bright|strange> light fell from the sky.",
     "{name} followed it and found a little star in the grass. It was cold and could not fly. {name} kept it warm <all night|in both hands> and told it stories.",
     "In the morning the star rose again, and since then it has shone <above the house of {name}|a little brighter than the others>."),
    ("One morning {name} found an old map <under a tree|in a bottle|behind a door>.",
     "It showed a treasure far away. {name} crossed <a wide river|a dark wood|a windy hill> and shared bread with a <hungry bird|tired traveller>, who showed the way.",
     "In the chest there was no gold, only a book with empty pages. {name} <smiled and began to write|filled it with all that had happened on the way>."),
    ("{name} wanted to have a friend, but everybody was <afraid|too busy>.",
     "One day a <small bird|lost child|little mouse> came in from the rain. {name} made a fire and shared the soup. They talked until the rain was over.",
     "From that day on, {name} was never alone again."),
    ("{name} wanted to learn to <sing|fly|paint|dance>, but it never went well.",
     "An old <owl|teacher|woman> said: do it badly every day, and one day it will be good. So {name} tried again each morning, <in rain and in sun|without giving up>.",
     "After a year people came from far away to see it. {name} only said: I tried one more time."),
    ("In the winter a great storm came, and all the lamps went out.",
     "{name} took the last candle and went from door to door. At every house {name} lit a lamp, and <the snow began to shine|the people came out to help>.",
     "When the morning came, the whole <place|street> was full of light, and nobody was afraid any more."),
    ("One day the big clock stopped, and nobody knew what time it was.",
     "{name} climbed inside and listened. Between two wheels there sat a <tiny spider|little bird> with a thread. {name} gently carried it outside.",
     "The clock began to tick again, and the <people cheered|spider waved goodbye>."),
)  # fmt: skip
_VERSE_SUBJECTS = {
    "the sea": "The sea is wide, the sea is deep,\\nit sings the little ships to sleep.\\nThe waves come in, the waves go out,\\nand gulls are calling all about.",
    "spring": "The snow is gone, the days are long,\\nthe blackbird sings its morning song.\\nThe trees are green, the air is light,\\nand flowers open overnight.",
    "winter": "The snow lies soft on every tree,\\nthe world is white as it can be.\\nInside we sit around the fire,\\nand watch the sparks fly ever higher.",
    "the moon": "The moon looks down, so round and bright,\\nand fills the garden with its light.\\nIt sees the owl, it sees the mouse,\\nit sees the cat behind the house.",
    "love": "I saw you smile, the day was new,\\nthe sky was never half so blue.\\nWe walked along, we talked till late,\\nand stood a while beside the gate.",
    "a cat": "A cat lay sleeping in the sun,\\nher work for all the day was done.\\nShe dreamt of milk, she dreamt of mice,\\nand thought that both of them were nice.",
    "a computer": "A little chip, a steady clock,\\nit counts each step from tick to tock.\\nIt does not guess, it does not wait,\\nand so its answers are not late.",
    "autumn": "The leaves are red, the leaves are gold,\\nthe wind is getting clear and cold.\\nThe swallows leave, the apples fall,\\nand mist lies over garden wall.",
    "rain": "The rain is tapping on the pane,\\nit stops a while, then starts again.\\nThe flowers lift their heads to drink,\\nand I have time to sit and think.",
}  # fmt: skip
_HAIKU = (
    "Snow on the old bridge,\\na fox leaves its quiet prints,\\nthe river moves on.",
    "Morning by the lake,\\na heron stands on one leg,\\nthe mist slowly lifts.",
    "A clock without hands,\\nthe signals still arrive in time,\\neach step has its place.",
    "Leaves fall one by one,\\nthe garden listens to rain,\\nautumn has come home.",
)


def draw_story(rng: Random) -> list[Exchange]:
    """A story of four to six sentences, often about the hero that was asked for."""
    hero, name, trait = rng.choice(_HEROES), rng.choice(NAMES), rng.choice(_TRAITS)
    exchanges = [Exchange(_wish(hero, name, trait, rng), _tell(hero, name, trait, rng))]
    if rng.random() < 0.2:
        exchanges.append(_another(rng))
    return exchanges


def draw_verse(rng: Random) -> list[Exchange]:
    """Four rhymed lines, or a haiku."""
    if rng.random() < 0.25:
        asked = "<Write|Give me|Can you write|Compose|Tell me> a haiku<| about nature| about autumn| about the morning| about snow|>."
        return [Exchange(expand(asked, rng), expand(rng.choice(_HAIKU), rng))]
    subject, verse = rng.choice(list(_VERSE_SUBJECTS.items()))
    about = f" about {subject}" if rng.random() < 0.8 else ""
    asked = f"<Write|Write me|Give me|Can you write|Make|I want|Compose> a <|short |little |nice >poem{about}."
    return [Exchange(expand(asked, rng), expand(verse, rng))]


def _wish(hero: str, name: str, trait: str, rng: Random) -> str:
    opening = (
        "<Tell me|Write|Write me|Can you tell me|I want to hear|Please tell me|Make up|Could you write|Invent|tell>"
    )
    kind = rng.random()
    about = ""
    if kind < 0.75:
        an = "an" if (trait if kind < 0.25 else hero)[0] in "aeiou" else "a"
        about = f" about {an} {trait + ' ' if kind < 0.25 else ''}{hero}"
    if 0.55 < kind < 0.75:
        about += f" <called|named> {name}"
    return expand(f"{opening} a <|short |very short |little |nice >story{about}.", rng)


def _tell(hero: str, name: str, trait: str, rng: Random) -> str:
    an = "an" if trait[0] in "aeiou" else "a"
    opening = f"<Once upon a time|Once|Long ago> there was {an} {trait} {hero} <called|named> {name} who lived {rng.choice(_PLACES)}."
    trouble, deed, ending = rng.choice(_PLOTS)
    return expand(" ".join((opening, trouble, deed, ending)), rng, {"name": name})


def _another(rng: Random) -> Exchange:
    asked = "<Another one|Tell me another one|One more story|and another|another story>, please."
    return Exchange(expand(asked, rng), _tell(rng.choice(_HEROES), rng.choice(NAMES), rng.choice(_TRAITS), rng))
