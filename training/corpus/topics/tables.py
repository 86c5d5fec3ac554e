"""Facts that come as tables: capitals, animals, colours, opposites, words in other languages."""

from random import Random

from training.corpus.exchange import Exchange
from training.corpus.grammar import expand

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon",
    "England": "London", "the United Kingdom": "London", "Ireland": "Dublin", "Scotland": "Edinburgh",
    "Norway": "Oslo", "Sweden": "Stockholm", "Denmark": "Copenhagen", "Finland": "Helsinki", "Iceland": "Reykjavik",
    "Poland": "Warsaw", "Austria": "Vienna", "Switzerland": "Bern", "Belgium": "Brussels",
    "the Netherlands": "Amsterdam", "Greece": "Athens", "Turkey": "Ankara", "Hungary": "Budapest",
    "Romania": "Bucharest", "Bulgaria": "Sofia", "Croatia": "Zagreb", "Ukraine": "Kyiv", "Russia": "Moscow",
    "Egypt": "Cairo", "Kenya": "Nairobi", "Morocco": "Rabat", "Japan": "Tokyo", "China": "Beijing", "India": "New Delhi",
    "South Korea": "Seoul", "Thailand": "Bangkok", "Vietnam": "Hanoi", "Indonesia": "Jakarta", "Australia": "Canberra",
    "Canada": "Ottawa", "the United States": "Washington", "the USA": "Washington", "Mexico": "Mexico City",
    "Brazil": "Brasília", "Argentina": "Buenos Aires", "Chile": "Santiago", "Peru": "Lima", "Cuba": "Havana",
    "the Czech Republic": "Prague",
}  # fmt: skip
CONTINENTS = {
    "France": "Europe", "Germany": "Europe", "Italy": "Europe", "Spain": "Europe", "Norway": "Europe",
    "Poland": "Europe", "Greece": "Europe", "Egypt": "Africa", "Kenya": "Africa", "Morocco": "Africa",
    "Japan": "Asia", "China": "Asia", "India": "Asia", "Thailand": "Asia", "Vietnam": "Asia",
    "Canada": "North America", "Mexico": "North America", "Brazil": "South America", "Peru": "South America",
    "Chile": "South America", "Argentina": "South America",
}  # fmt: skip
# Animal: its sound, its young, its legs, what it eats.
ANIMALS = {
    "dog": ("bark", "puppy", "four", "meat and many other things"),
    "cat": ("meow", "kitten", "four", "meat and fish"),
    "cow": ("moo", "calf", "four", "grass"),
    "horse": ("neigh", "foal", "four", "grass and hay"),
    "sheep": ("bleat", "lamb", "four", "grass"),
    "pig": ("oink", "piglet", "four", "almost everything"),
    "duck": ("quack", "duckling", "two", "plants and small animals"),
    "chicken": ("cluck", "chick", "two", "seeds and insects"),
    "frog": ("croak", "tadpole", "four", "insects"),
    "lion": ("roar", "cub", "four", "meat"),
    "bear": ("growl", "cub", "four", "berries, fish and meat"),
    "wolf": ("howl", "pup", "four", "meat"),
    "owl": ("hoot", "owlet", "two", "mice"),
    "elephant": ("trumpet", "calf", "four", "leaves, grass and fruit"),
    "bee": ("buzz", "larva", "six", "nectar and pollen"),
}
COLOURS = {
    "grass": "green", "the sky": "blue", "blood": "red", "snow": "white", "milk": "white", "coal": "black",
    "the sun": "yellow", "a lemon": "yellow", "a banana": "yellow", "a tomato": "red", "a strawberry": "red",
    "an orange": "orange", "a carrot": "orange", "a leaf": "green", "a frog": "green", "the sea": "blue",
    "chocolate": "brown", "coffee": "brown", "an elephant": "grey", "a flamingo": "pink", "a plum": "purple",
}  # fmt: skip
OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "good": "bad", "happy": "sad", "light": "dark", "old": "young",
    "new": "old", "high": "low", "long": "short", "rich": "poor", "hard": "soft", "early": "late", "open": "closed",
    "full": "empty", "strong": "weak", "wet": "dry", "clean": "dirty", "loud": "quiet", "up": "down", "left": "right",
    "black": "white", "day": "night", "love": "hate", "cheap": "expensive", "easy": "difficult", "begin": "end",
}  # fmt: skip
# English: French, Spanish, German.
WORDS = {
    "hello": ("bonjour", "hola", "hallo"), "thank you": ("merci", "gracias", "danke"),
    "goodbye": ("au revoir", "adiós", "auf Wiedersehen"), "yes": ("oui", "sí", "ja"), "no": ("non", "no", "nein"),
    "please": ("s'il vous plaît", "por favor", "bitte"), "good morning": ("bonjour", "buenos días", "guten Morgen"),
    "water": ("eau", "agua", "Wasser"), "bread": ("pain", "pan", "Brot"), "house": ("maison", "casa", "Haus"),
    "dog": ("chien", "perro", "Hund"), "cat": ("chat", "gato", "Katze"), "friend": ("ami", "amigo", "Freund"),
    "love": ("amour", "amor", "Liebe"), "sun": ("soleil", "sol", "Sonne"), "book": ("livre", "libro", "Buch"),
    "red": ("rouge", "rojo", "rot"), "blue": ("bleu", "azul", "blau"), "one": ("un", "uno", "eins"),
}  # fmt: skip
_LANGUAGES = ("French", "Spanish", "German")


def draw_capital(rng: Random) -> list[Exchange]:
    """A country's capital, sometimes the other way round, sometimes with "and of ...?" after it."""
    country, other = rng.sample(list(CAPITALS), 2)
    capital = CAPITALS[country]
    if rng.random() < 0.15:
        asked = expand("<Which country is {city} in|Where is {city}|In which country is {city}|{city} is the capital of "
                       "which country>?", rng, {"city": capital})  # fmt: skip
        return [Exchange(asked, f"{capital} is the capital of {country}.", country)]
    asked = expand("<What is the capital of {country}?|<What is|What's|Tell me|Name|Do you know|What city is> the capital <city |>"
                   "of {country}?|What is {country}'s capital?|{country} capital|Which city is the capital of {country}?>",
                   rng, {"country": country})  # fmt: skip
    answer = f"The capital of {country} is {capital}."
    exchanges = [Exchange(asked, answer, capital)]
    if rng.random() < 0.3:
        asked = expand("<And of|And|and the capital of|what about|and what about> {country}?", rng, {"country": other})
        exchanges.append(Exchange(asked, f"The capital of {other} is {CAPITALS[other]}.", CAPITALS[other]))
    return exchanges


def draw_continent(rng: Random) -> list[Exchange]:
    country, continent = rng.choice(list(CONTINENTS.items()))
    asked = expand(
        "<Where is {x}|On which continent is {x}|Which continent is {x} in|where is {x} located>?", rng, {"x": country}
    )
    return [Exchange(asked, f"{country} is in {continent}.", continent)]


def draw_animal(rng: Random) -> list[Exchange]:
    name, (sound, young, legs, food) = rng.choice(list(ANIMALS.items()))
    an = "an" if name[0] in "aeiou" else "a"
    young_an = "an" if young[0] in "aeiou" else "a"
    kinds = (
        (f"What <sound|noise> does {an} {name} make?|Which sound does {an} {name} make?|What does {an} {name} say?",
         f"The sound of {an} {name} is a {sound}.", sound),
        (f"What is a <baby|young> {name} called?|What do you call a <baby|young> {name}?",
         f"A young {name} is called {young_an} {young}.", young),
        (f"How many legs does {an} {name} have?|How many legs has {an} {name}?",
         f"{an.capitalize()} {name} has {legs} legs.", legs),
        (f"What does {an} {name} eat?|What is the food of {an} {name}?|What do you feed {an} {name}?",
         f"{an.capitalize()} {name} eats {food}.", None),
        (f"<What is|Tell me about|Describe> {an} {name}.|What do you know about {an} {name}?",
         f"{an.capitalize()} {name} is an animal with {legs} legs. It eats {food}, and its young is called {young_an} {young}.",
         None),
    )  # fmt: skip
    asked, answer, short = rng.choice(kinds)
    return [Exchange(expand(f"<{asked}>", rng), answer, short)]


def draw_colour(rng: Random) -> list[Exchange]:
    thing, colour = rng.choice(list(COLOURS.items()))
    asked = expand("<What <colour|color> is {x}|Which <colour|color> is {x}|What is the <colour|color> of {x}|"
                   "tell me the colour of {x}|What <colour|color> does {x} have>?", rng, {"x": thing})  # fmt: skip
    return [Exchange(asked, f"{thing[0].upper()}{thing[1:]} is {colour}.", colour)]


def draw_opposite(rng: Random) -> list[Exchange]:
    word, opposite = rng.choice(list(OPPOSITES.items()))
    if rng.random() < 0.5 and opposite not in OPPOSITES:
        word, opposite = opposite, word
    asked = expand("<What is the opposite of {x}|Tell me the opposite of {x}|Opposite of {x}|What is the antonym of {x}|"
                   "give me the opposite of the word {x}>?", rng, {"x": word})  # fmt: skip
    return [Exchange(asked, f"The opposite of {word} is {opposite}.", opposite)]


def draw_translation(rng: Random) -> list[Exchange]:
    word, forms = rng.choice(list(WORDS.items()))
    at = rng.randrange(len(_LANGUAGES))
    slots = {"word": word, "language": _LANGUAGES[at]}
    asked = expand("<How do you say {word} in {language}?|What is {word} in {language}?|Translate {word} <to|into> {language}.|"
                   'What does "{word}" mean in {language}?|Say {word} in {language}.|Translate "{word}" <to|into> {language}.>',
                   rng, slots)  # fmt: skip
    return [Exchange(asked, f'"{word.capitalize()}" in {_LANGUAGES[at]} is "{forms[at]}".', forms[at])]
