"""Further texts of the seven functions of language, one draw at a time."""

from __future__ import annotations

import ast
import calendar
import csv
import difflib
import functools
import inspect
import json
import random as python_random
import shutil
import statistics
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["MORE"]

_PAIRS = (
    ("house", "maison"), ("dog", "chien"), ("book", "livre"), ("tree", "arbre"),
    ("water", "eau"), ("friend", "ami"), ("bread", "pain"), ("school", "école"),
    ("street", "rue"), ("night", "nuit"), ("child", "enfant"), ("flower", "fleur"),
    ("bird", "oiseau"), ("window", "fenêtre"), ("garden", "jardin"), ("horse", "cheval"),
)  # fmt: skip
_VERBS = (("sees", "voit"), ("likes", "aime"), ("takes", "prend"), ("finds", "trouve"))
_PEOPLE = ("Anna", "Tom", "Maria", "Peter", "Lucy", "Omar", "Nina", "Jack")
_LANDS = (
    ("Italy", "the Po", "olive oil", 59), ("Hungary", "the Tisza", "paprika", 10),
    ("Pakistan", "the Indus", "cotton cloth", 240), ("Spain", "the Ebro", "oranges", 48),
    ("Iran", "the Karun", "saffron and carpets", 89), ("Nigeria", "the Niger", "palm oil", 220),
    ("Canada", "the Mackenzie", "furs", 40), ("Australia", "the Murray", "wool", 26),
    ("Colombia", "the Magdalena", "emeralds", 52), ("Myanmar", "the Irrawaddy", "jade", 54),
    ("Ghana", "the Volta", "gold", 34), ("Thailand", "the Chao Phraya", "spices", 71),
    ("Romania", "the Mureș", "salt", 19), ("Morocco", "the Draa", "leather", 37),
)  # fmt: skip
_FACTS = (
    "Light travels faster than sound, so lightning is seen before thunder is heard.",
    "Water boils at one hundred degrees Celsius at sea level.",
    "Veins carry blood back to the heart, and arteries carry it away.",
    "The Sun is a star, and eight planets move around it.",
    "Whales are mammals that breathe air and feed milk to their young.",
    "An atom has a nucleus of protons and neutrons with electrons around it.",
    "Glaciers form where more snow falls in a year than melts.",
    "Salt lowers the temperature at which water freezes.",
    "Bats find their way in the dark by the echo of their calls.",
    "Diamond and graphite are both made of carbon.",
    "Tides follow the pull of the Moon on the sea.",
    "Spiders have eight legs, and insects have six.",
)
_DEEDS = (
    "lied to a friend", "kept a lost wallet", "broke a promise", "copied an exam",
    "ignored someone in need", "shared a secret", "blamed a colleague", "spread a rumour",
)  # fmt: skip
_VALUES = ("honesty", "fairness", "kindness", "respect", "trust", "duty", "courage", "mercy")
_PLACES = ("a quiet village", "an old harbour", "the edge of a forest", "a windy island")
_THINGS = ("a silver key", "a torn map", "a small lantern", "a letter without a name")
_WORDS = ("run", "quick", "teacher", "slowly", "happiness", "write", "under", "beautiful")
_CLASSES = ("a noun", "a verb", "an adjective", "an adverb")


def _one(rng: np.random.Generator, *items: str) -> str:
    return items[int(rng.integers(len(items)))]


@functools.cache
def _sources() -> list[str]:
    """Return a dozen lines of functions and methods of the standard library.

    They begin at one of the first four lines: not every text of code starts in the same way.
    """
    modules: tuple[ModuleType, ...] = (
        ast, calendar, csv, difflib, inspect, json, python_random, shutil, statistics, textwrap,
    )  # fmt: skip
    owners: list[Any] = [*modules, csv.DictReader, python_random.Random, textwrap.TextWrapper]
    names = {module.__name__ for module in modules}
    found = [
        textwrap.dedent(inspect.getsource(member)).splitlines()
        for owner in owners
        for _, member in inspect.getmembers(owner, inspect.isfunction)
        if member.__module__ in names
    ]
    parts = ["\n".join(lines[i % 4 : i % 4 + 12]) for i, lines in enumerate(found)]
    return [part for part in dict.fromkeys(parts) if len(part) > 40]


def _code(rng: np.random.Generator) -> str:
    return _one(rng, *_sources())


def _sum(rng: np.random.Generator) -> str:
    a, b, c = (int(x) for x in rng.integers(2, 60, 3))
    return _one(
        rng,
        f"Question: {_one(rng, *_PEOPLE)} has {a} apples and buys {b}. How many are there? "
        f"{a} + {b} = {a + b}.",
        f"Divide both sides of {b} x = {b * c} by {b}: x = {b * c} / {b} = {c}.",
        f"In {b} boxes of {a} pens there are {a} * {b} = {a * b} pens in all.",
        f"Compute {a + b} - {b} + {c}. First {a + b} - {b} = {a}, then {a} + {c} = {a + c}.",
    )


def _translation(rng: np.random.Generator) -> str:
    (en, fr), (other_en, other_fr) = (_PAIRS[k] for k in rng.choice(len(_PAIRS), 2, replace=False))
    who = _one(rng, *_PEOPLE)
    verb, verbe = _VERBS[int(rng.integers(len(_VERBS)))]
    return _one(
        rng,
        f"English: {who} {verb} a {en} and a {other_en}. French: {who} {verbe} {fr} et {other_fr}.",
        f"The French word for {en} is {fr}, and {other_en} is {other_fr} in French.",
        f"« {who} {verbe} {fr} et {other_fr} » means that {who} {verb} {en} and {other_en}.",
        f"{other_fr.capitalize()} is French for {other_en}, and {fr} for {en}.",
    )


def _knowledge(rng: np.random.Generator) -> str:
    land, river, goods, people = _LANDS[int(rng.integers(len(_LANDS)))]
    return _one(
        rng,
        f"{land} has about {people} million inhabitants.",
        f"Farmers and fishers settled along {river} in {land} long ago.",
        f"Among the goods of {land} are {goods}.",
        f"For centuries {goods} came from {land} by ship and caravan.",
        f"{river[0].upper()}{river[1:]} is a river of {land}.",
        f"Maps of {land} show {river} and the towns on its banks.",
        f"Visitors to {land} take home {goods}.",
        _one(rng, *_FACTS),
    )


def _ethics(rng: np.random.Generator) -> str:
    deed, value, who = _one(rng, *_DEEDS), _one(rng, *_VALUES), _one(rng, *_PEOPLE)
    return _one(
        rng,
        f"It would be wrong if {who} {deed}, because {value} matters to everyone involved.",
        f"{who} {deed} and now feels guilty. The right thing is to apologise and show {value}.",
        f"Is it ever acceptable that {who} {deed}? Many would say no, since {value} comes first.",
        f"A person of {value} would not have {deed}; {who} should think of those who are hurt.",
    )


def _story(rng: np.random.Generator) -> str:
    who, other = _one(rng, *_PEOPLE), _one(rng, *_PEOPLE)
    place, thing = _one(rng, *_PLACES), _one(rng, *_THINGS)
    return _one(
        rng,
        f"Long ago {who} lived in {place}. One morning {who} found {thing} by the door.",
        f"The rain had stopped when {who} reached {place}. In the grass lay {thing}, still warm.",
        f'"Do not open it," whispered {other}, but {who} held {thing} up to the fading light.',
        f"Nobody in {place} believed {who}, until {thing} began to glow in the dark.",
    )


def _grammar(rng: np.random.Generator) -> str:
    word, other, kind = _one(rng, *_WORDS), _one(rng, *_WORDS), _one(rng, *_CLASSES)
    return _one(
        rng,
        f'In this sentence the word "{word}" is used as {kind} and modifies the word "{other}".',
        f'The stress of "{word}" falls on the first syllable, while "{other}" has another rhythm.',
        f'{kind.capitalize()} such as "{word}" agrees with its subject; "{other}" has a suffix.',
        f'The clause with "{word}" is subordinate, and "{other}" is {kind} of the main clause.',
    )


MORE: dict[str, Callable[[np.random.Generator], str]] = {
    "coding": _code,
    "maths": _sum,
    "translation": _translation,
    "knowledge": _knowledge,
    "ethics": _ethics,
    "writing": _story,
    "linguistic": _grammar,
}
