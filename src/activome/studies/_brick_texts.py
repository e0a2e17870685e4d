"""Short texts of seven functions, generated: a stand-in for labelled instructions."""

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

from activome.samples.facts import relation_facts

__all__ = ["FUNCTIONS", "texts_of"]

_PAIRS = (
    ("house", "maison"), ("dog", "chien"), ("book", "livre"), ("tree", "arbre"),
    ("water", "eau"), ("friend", "ami"), ("bread", "pain"), ("school", "école"),
    ("street", "rue"), ("night", "nuit"), ("child", "enfant"), ("flower", "fleur"),
    ("bird", "oiseau"), ("window", "fenêtre"), ("garden", "jardin"), ("horse", "cheval"),
)  # fmt: skip
_VERBS = (("sees", "voit"), ("likes", "aime"), ("takes", "prend"), ("finds", "trouve"))
_PEOPLE = ("Anna", "Tom", "Maria", "Peter", "Lucy", "Omar", "Nina", "Jack")
_SCIENCE = (
    "Light travels faster than sound, so lightning is seen before thunder is heard.",
    "Water boils at one hundred degrees Celsius at sea level.",
    "The heart pumps blood through arteries, and veins carry it back.",
    "Plants take in carbon dioxide and give off oxygen in sunlight.",
    "The Moon orbits the Earth once in about twenty-seven days.",
    "Iron rusts when it meets oxygen and water for a long time.",
    "Bees carry pollen between flowers while they collect nectar.",
    "Sound needs air, water or another medium in which to travel.",
    "The Sun is a star, and eight planets move around it.",
    "Whales are mammals that breathe air and feed milk to their young.",
    "An atom has a nucleus of protons and neutrons with electrons around it.",
    "Glaciers form where more snow falls in a year than melts.",
)
_DEEDS = (
    "lied to a friend", "kept a lost wallet", "broke a promise", "copied an exam",
    "ignored someone in need", "shared a secret", "blamed a colleague", "spread a rumour",
)  # fmt: skip
_VALUES = ("honesty", "fairness", "kindness", "respect", "trust", "duty", "courage", "mercy")
_PLACES = ("a quiet village", "an old harbour", "the edge of a forest", "a windy island")
_THINGS = ("a silver key", "a torn map", "a small lantern", "a letter without a name")
_WORDS = ("run", "quick", "teacher", "slowly", "happiness", "write", "under", "beautiful")
_CLASSES = ("noun", "verb", "adjective", "adverb")


def texts_of(function: str, n: int, seed: int) -> list[str]:
    """Return different texts that need one of the functions."""
    rng = np.random.default_rng([seed, FUNCTIONS.index(function)])
    found: dict[str, None] = {}
    draw = _DRAWS[function]
    while len(found) < n:
        found.setdefault(draw(rng, len(found)))
    return list(found)


def _pick(rng: np.random.Generator, items: tuple[str, ...]) -> str:
    return items[int(rng.integers(len(items)))]


@functools.cache
def _functions() -> list[str]:
    """Return a dozen lines of functions and methods of the standard library.

    They begin at one of the first four lines: not every text of code starts in the same way.
    """
    modules: tuple[ModuleType, ...] = (
        ast, calendar, csv, difflib, inspect, json, python_random, shutil, statistics, textwrap,
    )  # fmt: skip
    owners: list[Any] = [*modules, csv.DictReader, python_random.Random, textwrap.TextWrapper]
    found = [
        member
        for owner in owners
        for _, member in inspect.getmembers(owner, inspect.isfunction)
        if member.__module__ in {module.__name__ for module in modules}
    ]
    sources = [textwrap.dedent(inspect.getsource(member)).splitlines() for member in found]
    parts = ["\n".join(lines[i % 4 : i % 4 + 12]) for i, lines in enumerate(sources)]
    return [part for part in dict.fromkeys(parts) if len(part) > 40]


def _code(rng: np.random.Generator, _: int) -> str:
    sources = _functions()
    return sources[int(rng.integers(len(sources)))]


def _sum(rng: np.random.Generator, i: int) -> str:
    a, b, c = (int(x) for x in rng.integers(2, 60, 3))
    who = _pick(rng, _PEOPLE)
    return (
        f"Question: {who} has {a} apples and buys {b}. How many are there? {a} + {b} = {a + b}.",
        f"Solve for x: {b} x = {b * c}. Divide both sides by {b}: x = {b * c} / {b} = {c}.",
        f"A box holds {a} pens. In {b} boxes there are {a} * {b} = {a * b} pens in all.",
        f"Compute {a + b} - {b} + {c}. First {a + b} - {b} = {a}, then {a} + {c} = {a + c}.",
    )[i % 4]


def _translation(rng: np.random.Generator, i: int) -> str:
    (en, fr), (other_en, other_fr) = (_PAIRS[k] for k in rng.choice(len(_PAIRS), 2, replace=False))
    who = _pick(rng, _PEOPLE)
    verb, verbe = _VERBS[int(rng.integers(len(_VERBS)))]
    return (
        f"English: {who} {verb} a {en} and a {other_en}. French: {who} {verbe} {fr} et {other_fr}.",
        f"The French word for {en} is {fr}, and {other_en} is {other_fr} in French.",
        f"Translate into French: my {en} and my {other_en}. Mon {fr} et mon {other_fr}.",
        f"« {who} {verbe} le {fr} » means that {who} {verb} the {en}.",
    )[i % 4]


@functools.cache
def _capitals() -> list[tuple[str, str]]:
    facts = relation_facts(["capital"], templates=[0])
    return list(zip(facts["subject"], facts["object"], strict=True))


def _knowledge(rng: np.random.Generator, i: int) -> str:
    if i % 5 == 4 and i // 5 < len(_SCIENCE):
        return _SCIENCE[i // 5]
    capitals = _capitals()
    land, city = capitals[int(rng.integers(len(capitals)))]
    return (
        f"{city} is the capital of {land}, and it is one of its largest cities.",
        f"The government of {land} is in {city}. Many people live there.",
        f"{land} is a country whose capital is {city}, a city with a long history.",
        f"Visitors to {land} often begin in {city}, where the main airport is.",
    )[int(rng.integers(4))]


def _ethics(rng: np.random.Generator, i: int) -> str:
    deed, value, who = _pick(rng, _DEEDS), _pick(rng, _VALUES), _pick(rng, _PEOPLE)
    return (
        f"It would be wrong if {who} {deed}, because {value} matters to everyone involved.",
        f"{who} {deed} and now feels guilty. The right thing is to apologise and show {value}.",
        f"Is it ever acceptable that {who} {deed}? Many would say no, since {value} comes first.",
        f"A person of {value} would not have {deed}; {who} should think of those who are hurt.",
    )[i % 4]


def _story(rng: np.random.Generator, i: int) -> str:
    who, place, thing = _pick(rng, _PEOPLE), _pick(rng, _PLACES), _pick(rng, _THINGS)
    other = _pick(rng, _PEOPLE)
    return (
        f"Once upon a time {who} lived in {place}. One morning {who} found {thing} by the door.",
        f"The rain had stopped when {who} reached {place}. In the grass lay {thing}, still warm.",
        f'"Do not open it," whispered {other}, but {who} held {thing} up to the fading light.',
        f"Nobody in {place} believed {who}, until {thing} began to glow in the dark.",
    )[i % 4]


def _grammar(rng: np.random.Generator, i: int) -> str:
    word, kind, other = _pick(rng, _WORDS), _pick(rng, _CLASSES), _pick(rng, _WORDS)
    return (
        f'In this sentence the word "{word}" is used as a {kind} and modifies the word "{other}".',
        f'The stress of "{word}" falls on the first syllable, while "{other}" has another rhythm.',
        f'A {kind} such as "{word}" agrees with its subject; the suffix of "{other}" marks number.',
        f'The clause with "{word}" is subordinate, and "{other}" is the {kind} of the main clause.',
    )[i % 4]


_DRAWS: dict[str, Callable[[np.random.Generator, int], str]] = {
    "coding": _code,
    "maths": _sum,
    "translation": _translation,
    "knowledge": _knowledge,
    "ethics": _ethics,
    "writing": _story,
    "linguistic": _grammar,
}
FUNCTIONS = tuple(_DRAWS)
