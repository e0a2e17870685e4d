"""Prompts that need a stored fact, and prompts that are answered from what they say themselves."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from activome.networks.language_models import LanguageModel, load_language_model

__all__ = ["TaskPrompts", "language_model", "matched", "prompts"]

_NAMES = (
    "Mary John Tom James Dan Martin Amy Anna Paul Mark Sarah Laura Kevin Emma Jack David Michael "
    "Lisa Peter Kate Alice George Henry Robert Jane Susan"
)
_PLACES = "store park school office garden station"
_OBJECTS = "drink book ring ball gift computer"
_CAPITALS = (
    "France Paris, Germany Berlin, Italy Rome, Spain Madrid, Japan Tokyo, China Beijing, "
    "Russia Moscow, Egypt Cairo, Greece Athens, Portugal Lisbon, Austria Vienna, "
    "Hungary Budapest, Sweden Stockholm, Norway Oslo, Denmark Copenhagen, Finland Helsinki, "
    "Ireland Dublin, Belgium Brussels, Iran Tehran, Iraq Baghdad, Thailand Bangkok, "
    "Vietnam Hanoi, Indonesia Jakarta, Cuba Havana, Peru Lima, Chile Santiago, Canada Ottawa, "
    "Kenya Nairobi, Romania Bucharest, Bulgaria Sofia, Serbia Belgrade, Croatia Zagreb, "
    "Netherlands Amsterdam, Nepal Kathmandu, Syria Damascus, Lebanon Beirut, Poland Warsaw, "
    "Philippines Manila, Scotland Edinburgh, Cambodia Phnom"
)
_PLURALS = (
    "cat cats, dog dogs, book books, child children, man men, woman women, foot feet, car cars, "
    "city cities, country countries, house houses, tree trees, bird birds, story stories, "
    "key keys, boy boys, girl girls, table tables, door doors, river rivers"
)
_FACT = "Q: What is the capital of {0}?\nA: The capital of {0} is"
_PLURAL = "Q: What is the plural of {0}?\nA: The plural of {0} is"
_INFERENCE = "{word} {a} and {b} went to the {place}, {s} gave a {thing} to"
_PUZZLE = "John lives in {1}. {1} is in {0}. So John is in the country of"


@dataclass(frozen=True)
class TaskPrompts:
    """Prompts of one length, the token that answers each, and one that does not."""

    ids: Any
    right: Any
    wrong: Any

    def metric(self, logits: Any) -> Any:
        """Return by how much the right answer is above the wrong one, in logits, on average."""
        rows = torch.arange(len(logits))
        return (logits[rows, self.right] - logits[rows, self.wrong]).mean()

    def part(self, n: int | None) -> TaskPrompts:
        """Return the first prompts."""
        return TaskPrompts(self.ids[:n], self.right[:n], self.wrong[:n])


@lru_cache(maxsize=2)
def language_model(attention: str | None = None) -> LanguageModel:
    """Return SmolLM2 in single precision."""
    return load_language_model("smollm2", dtype="float32", attention=attention)


def _pack(texts: list[str], right: list[str], wrong: list[str]) -> TaskPrompts:
    tokenizer = language_model().tokenizer
    ids = [tokenizer.encode(text) for text in texts]
    lengths = {len(one) for one in ids}
    if len(lengths) != 1:
        raise ValueError(f"prompts of one task must have one length; these have {sorted(lengths)}.")
    first = [[tokenizer.encode(" " + word)[0] for word in words] for words in (right, wrong)]
    return TaskPrompts(torch.tensor(ids), torch.tensor(first[0]), torch.tensor(first[1]))


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = [entry.split() for entry in text.split(", ")]
    return [(a, b) for a, b in pairs]


def prompts(task: str, half: str) -> TaskPrompts:
    """Return the prompts of "recall", "inference" or "plural", of the half "score" or "evaluate".

    Countries, and names, of one half are not in the other; so is the first word of the inference.
    """
    rng = random.Random(0)
    if task in ("recall", "plural"):
        pairs = _pairs(_CAPITALS if task == "recall" else _PLURALS)
        rng.shuffle(pairs)
        chosen = pairs[::2] if half == "score" else pairs[1::2]
        answers = [answer for _, answer in chosen]
        texts = [(_FACT if task == "recall" else _PLURAL).format(x) for x, _ in chosen]
        return _pack(texts, answers, answers[1:] + answers[:1])
    names = _NAMES.split()
    rng.shuffle(names)
    n, word = (32, "When") if half == "score" else (40, "After")
    mine = names[::2] if half == "score" else names[1::2]
    texts, right, wrong = [], [], []
    for i in range(n):
        a, b = rng.sample(mine, 2)
        s = (a, b)[i % 2]
        place, thing = rng.choice(_PLACES.split()), rng.choice(_OBJECTS.split())
        texts.append(_INFERENCE.format(word=word, a=a, b=b, place=place, s=s, thing=thing))
        right.append(b if s == a else a)
        wrong.append(s)
    return _pack(texts, right, wrong)


def matched(n: int) -> tuple[Any, Any]:
    """Return n recall prompts and n puzzles on the same countries, all of one number of tokens."""
    tokenizer = language_model().tokenizer
    pairs = [pair for pair in _pairs(_CAPITALS) if len(tokenizer.encode(" " + pair[1])) == 1][:n]
    facts = [tokenizer.encode(_FACT.format(*pair)) for pair in pairs]
    puzzles = [tokenizer.encode(_PUZZLE.format(*pair)) for pair in pairs]
    return torch.tensor(facts), torch.tensor(puzzles)
