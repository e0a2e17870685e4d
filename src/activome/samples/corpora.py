"""Short texts of seven functions of language, made from templates with a seed."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from activome._checks import check_choice, check_integer
from activome._random import RandomState, make_generator
from activome.samples._more_corpora import MORE

__all__ = ["FUNCTIONS", "function_corpora"]

_MOST = 150

_MODULES = (
    "textwrap",
    "statistics",
    "shutil",
    "heapq",
    "bisect",
    "fnmatch",
    "calendar",
    "colorsys",
)
_N_LINES = 12


def function_corpora(
    n_texts: int = 60,
    functions: Sequence[str] | None = None,
    *,
    random_state: RandomState = 0,
) -> pd.DataFrame:
    """Return short texts of seven functions of language: what a model is asked to be good at.

    They are stand-ins, made from templates, for collections of instructions that are sorted by the
    ability they need: varied in their words, so that a function is not told by one phrase.

    Parameters
    ----------
    n_texts : int, default=60
        Texts of each function, at most 150. A longer list begins with the shorter one.
    functions : sequence of str, optional
        Out of ``FUNCTIONS``; by default all.
    random_state : int, Generator or None, default=0
        Seed of the words and numbers.

    Returns
    -------
    pandas.DataFrame
        Columns function and text; texts of a function differ from each other.

    Raises
    ------
    ParameterError
        If a function is unknown, or ``n_texts`` is not within 1 and 150.

    Notes
    -----
    "coding" holds a dozen lines of functions of the standard library, and so depends on the version
    of Python. From the 61st text on other templates take turns.

    Examples
    --------
    >>> texts = function_corpora(2, ["maths", "linguistic"])
    >>> texts.function.tolist()
    ['maths', 'maths', 'linguistic', 'linguistic']
    """
    owner = "function_corpora"
    check_integer(n_texts, name="n_texts", owner=owner, low=1, high=_MOST)
    chosen = list(FUNCTIONS) if functions is None else list(functions)
    for name in chosen:
        check_choice(name, FUNCTIONS, name="function", owner=owner)
    rng = make_generator(random_state)
    # Every function draws from a stream of its own, so that a choice of functions changes no text.
    streams = dict(zip(FUNCTIONS, rng.spawn(len(FUNCTIONS)), strict=True))
    rows = []
    for name in chosen:
        texts = dict.fromkeys(_MAKERS[name](streams[name]))
        while len(texts) < n_texts:
            texts[MORE[name](streams[name])] = None
        rows += [(name, text) for text in list(texts)[:n_texts]]
    return pd.DataFrame(rows, columns=["function", "text"])


def _drawn(rng: np.random.Generator, templates: Sequence[str], **slots: Sequence[Any]) -> list[str]:
    """Fill templates in turn with words drawn for each slot, until there are 60 different texts."""
    found: dict[str, None] = {}
    number = 0
    while len(found) < 60:
        words = {name: values[int(rng.integers(len(values)))] for name, values in slots.items()}
        found[templates[number % len(templates)].format(**words)] = None
        number += 1
    return list(found)


def _coding(rng: np.random.Generator) -> list[str]:
    found: dict[str, None] = {}
    for name in _MODULES:
        module = __import__(name)
        for _, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == name:
                lines = textwrap.dedent(inspect.getsource(function)).splitlines()
                if len(lines) > 3:
                    found["\n".join(lines[:_N_LINES])] = None
    texts = list(found)
    return [texts[i] for i in rng.permutation(len(texts))[:60]]


def _maths(rng: np.random.Generator) -> list[str]:
    texts: dict[str, None] = {}
    while len(texts) < 60:
        a, b, c = (int(value) for value in rng.integers((3, 2, 2), (60, 20, 9)))
        for text in (
            (
                f"A box holds {a} pencils. There are {b} boxes in the cupboard and {c} pencils are "
                f"lost. How many are left? {a} times {b} is {a * b}, less {c} is {a * b - c}."
            ),
            (
                f"Solve for x: {b}x + {c} = {b * a + c}. Subtract {c} from both sides and divide "
                f"by {b}. Therefore x = {a}."
            ),
            (
                f"A train covers {a * b} kilometres in {b} hours, so its mean speed is {a} "
                f"kilometres per hour. In {c} hours it covers {a * c} kilometres."
            ),
            (
                f"A rectangle with sides {a} and {b} has the area {a * b} and the perimeter "
                f"{2 * (a + b)}."
            ),
        ):
            texts[text] = None
    return list(texts)[:60]


def _translation(rng: np.random.Generator) -> list[str]:
    who = (
        ("The girl", "La fille"),
        ("My brother", "Mon frère"),
        ("The doctor", "Le médecin"),
        ("Our neighbour", "Notre voisin"),
        ("The teacher", "Le professeur"),
    )
    does = (
        ("eats an apple", "mange une pomme"),
        ("opens the door", "ouvre la porte"),
        ("reads the newspaper", "lit le journal"),
        ("buys some bread", "achète du pain"),
        ("waits for the bus", "attend le bus"),
        ("closes the window", "ferme la fenêtre"),
    )
    when = (
        ("today", "aujourd'hui"),
        ("every morning", "chaque matin"),
        ("in the evening", "le soir"),
        ("after lunch", "après le déjeuner"),
    )
    pairs = [(f"{a} {b} {c}.", f"{d} {e} {f}.") for a, d in who for b, e in does for c, f in when]
    forms = ("English: {0} French: {1}", "Translate into French: {0}\n{1}", "{0} = {1}")
    return [
        forms[number % 3].format(*pairs[place])
        for number, place in enumerate(rng.permutation(len(pairs))[:60])
    ]


def _knowledge(rng: np.random.Generator) -> list[str]:
    lands = {
        "France": ("the Seine", "wine and cheese", 68),
        "Egypt": ("the Nile", "cotton", 110),
        "Brazil": ("the Amazon", "coffee", 215),
        "India": ("the Ganges", "tea and rice", 1400),
        "Germany": ("the Rhine", "cars and machines", 84),
        "China": ("the Yangtze", "silk", 1410),
        "Russia": ("the Volga", "gas and timber", 144),
        "Iraq": ("the Tigris", "dates and oil", 44),
        "Austria": ("the Danube", "music", 9),
        "Portugal": ("the Tagus", "cork", 10),
        "Vietnam": ("the Mekong", "rice and pepper", 98),
        "Poland": ("the Vistula", "amber", 37),
    }
    forms = (
        "{0} is known for {2}. Its best known river is {1}.",
        "About {3} million people live in {0}.",
        "The river {1} flows through {0}, where many live by its banks.",
        "Traders in {0} have sold {2} for centuries.",
    )
    texts = [form.format(land, *entry) for land, entry in lands.items() for form in forms]
    texts = [text.replace("river the ", "river ") for text in texts] + [
        "Water is made of hydrogen and oxygen.",
        "Light travels about three hundred thousand kilometres in a second.",
        "The heart pumps blood through the arteries to the organs.",
        "Plants take carbon dioxide from the air and give off oxygen.",
        "The moon turns around the earth once in about a month.",
        "Sound needs air or another medium to travel through.",
        "Bees carry pollen from one flower to the next.",
        "Iron rusts when it meets water and air.",
        "The Pacific is the largest of the oceans.",
        "Genes are stretches of DNA that hold the plan of a protein.",
        "Glaciers are rivers of ice that move slowly down a valley.",
        "Copper conducts electricity better than iron does.",
    ]
    return [texts[i] for i in rng.permutation(len(texts))]


def _ethics(rng: np.random.Generator) -> list[str]:
    return _drawn(
        rng,
        (
            (
                "Is it wrong to {deed} when {reason}? Many would say that honesty and fairness "
                "weigh more than {gain}."
            ),
            "One should not {deed}, even if {reason}, because others are harmed by it.",
            "A person who is asked to {deed} may refuse: duty is owed to others before {gain}.",
            "Whether it is just to {deed} depends on who bears the harm and who agreed to it.",
        ),
        deed=(
            "lie to a friend",
            "keep money that was found",
            "break a promise",
            "read the letters of another",
            "cheat in an exam",
            "blame a colleague",
            "hide a mistake",
            "take more than a fair share",
        ),
        reason=(
            "nobody will find out",
            "it helps the family",
            "the law allows it",
            "everybody else does it",
            "the damage is small",
        ),
        gain=("profit", "comfort", "the approval of others", "success"),
    )


def _writing(rng: np.random.Generator) -> list[str]:
    return _drawn(
        rng,
        (
            (
                "Once upon a time there was a {who} named {name} who lived near a {where}. One "
                "night {name} heard a strange sound and went out with a lantern."
            ),
            (
                "The {where} lay silent when {name}, the old {who}, came home. Nothing was as it "
                "had been, and yet the lamp still burned."
            ),
            (
                "{name} had never seen such a {where}. The {who} smiled, packed a small bag and "
                "set off before dawn."
            ),
            (
                "It was raining over the {where}. Under an umbrella stood {name}, a {who} with a "
                "secret that nobody had asked for."
            ),
        ),
        who=("baker", "sailor", "princess", "fox", "gardener", "soldier", "painter"),
        name=("Mary", "Tom", "Anna", "Rusty", "Leo", "Clara", "Otto"),
        where=("dark forest", "quiet lake", "village", "castle", "harbour", "wide river"),
    )


def _linguistic(rng: np.random.Generator) -> list[str]:
    return _drawn(
        rng,
        (
            'In the sentence "{sentence}" the word "{word}" is a {part}.',
            'The {part} "{word}" can be replaced by a synonym without a change of the grammar.',
            'The clause "{sentence}" is in the active voice; its subject comes before the verb.',
            'As a {part}, "{word}" agrees with its head in number and takes no article here.',
            'Parse "{sentence}": a noun phrase is followed by a verb phrase.',
        ),
        sentence=(
            "The cat sleeps",
            "A student wrote the letter",
            "Old trees fall in storms",
            "We have seen the film",
            "She sings very well",
            "The rain stopped early",
        ),
        word=("quickly", "under", "river", "because", "write", "green", "nobody", "often"),
        part=("noun", "verb", "adverb", "preposition", "conjunction", "pronoun"),
    )


_MAKERS: dict[str, Callable[[np.random.Generator], list[str]]] = {
    "coding": _coding,
    "maths": _maths,
    "translation": _translation,
    "knowledge": _knowledge,
    "ethics": _ethics,
    "writing": _writing,
    "linguistic": _linguistic,
}
FUNCTIONS = tuple(_MAKERS)
