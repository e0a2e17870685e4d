"""Pool and targets of the study on data selection: facts whose words mislead, and other texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from activome.patterns.code_overlap import duplicate_rows
from activome.samples.corpora import function_corpora
from activome.samples.facts import relation_facts

__all__ = ["RELATIONS", "Task", "make_task"]

Array = np.ndarray[Any, Any]
RELATIONS = (
    "capital",
    "official language",
    "continent",
    "opposite",
    "plural",
    "comparative",
    "chemical symbol",
)
_COMPARATIVE = "Q: What is the comparative of {0}?\nA: The comparative of {0} is"
# Two wordings of each fact, which share no more words with the question than they must.
_PARAPHRASES = {
    "capital": (
        "{o} serves as the seat of government of {s}.",
        "Parliament and ministries of {s} sit in {o}.",
    ),
    "official language": (
        "In {s}, newspapers and laws are written in {o}.",
        "Children in {s} grow up speaking {o}.",
    ),
    "continent": (
        "{s} lies in {o}.",
        "On a map of {o} you will find {s}.",
    ),
    "opposite": (
        "Whatever is not {s} may well be {o}.",
        "He said {s}, she said {o}: they could not agree.",
    ),
    "plural": (
        "One {s} is enough, but they brought many {o}.",
        "First I saw a single {s}, then a lot of {o}.",
    ),
    "comparative": (
        "This one is {s}, yet the other is {o}.",
        "It was {s} yesterday and is {o} today.",
    ),
    "chemical symbol": (
        "Chemists abbreviate {s} as {o}.",
        "In the periodic table {o} stands for {s}.",
    ),
}
_SAME = 0.9  # index of two texts' counts of words and pairs of words, from which one is left out


@dataclass(frozen=True)
class Task:
    """Texts of the pool with what each is, and the target examples of each relation.

    ``answers`` are questions on the facts of the pool, as (text before the answer, answer); none of
    them is a target.
    """

    pool: list[str]
    kind: Array
    targets: dict[str, list[str]]
    answers: dict[str, list[tuple[str, str]]]
    n_repeats: int


def make_task(
    relations: Sequence[str], n_targets: int, n_facts: int, n_other: int, seed: int
) -> Task:
    """Build a pool of paraphrased facts and texts of other functions, in random order."""
    rng = np.random.default_rng([seed, 1])
    texts: list[str] = []
    kinds: list[str] = []
    targets, answers = {}, {}
    for name in relations:
        facts = relation_facts([name], templates=[0])
        order = rng.permutation(len(facts))[: n_targets + n_facts]
        questions = []
        for subject, answer, prompt in facts.iloc[order][["subject", "object", "prompt"]].values:
            text = _COMPARATIVE.format(subject) if name == "comparative" else prompt
            questions.append((text, f" {answer}", subject, answer))
        targets[name] = [f"{text}{answer}." for text, answer, *_ in questions[:n_targets]]
        answers[name] = [(text, answer) for text, answer, *_ in questions[n_targets:]]
        for *_, subject, answer in questions[n_targets:]:
            texts += [form.format(s=subject, o=answer) for form in _PARAPHRASES[name]]
            kinds += [name] * 2
    others = function_corpora(n_other, random_state=np.random.default_rng([seed, 2]))
    texts += others.text.tolist()
    kinds += [f"other: {function}" for function in others.function]
    texts = [text[0].upper() + text[1:] for text in texts]
    counts = CountVectorizer(ngram_range=(1, 2), lowercase=False).fit_transform(texts)
    kept = np.unique(duplicate_rows(counts, _SAME))
    shuffled = rng.permutation(kept)
    return Task(
        [texts[i] for i in shuffled],
        np.array(kinds)[shuffled],
        targets,
        answers,
        len(texts) - len(kept),
    )
