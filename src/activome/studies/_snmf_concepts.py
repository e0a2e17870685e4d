"""Words of twelve concepts in sentences that all of them share, for the study of SNMF."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CONCEPTS", "FRAMES", "Corpus", "build_corpus"]

Array = np.ndarray[Any, Any]
CONCEPTS: dict[str, str] = {
    "weekday": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "month": "January February March April June July August September October",
    "colour": "red blue green yellow purple orange brown pink black",
    "animal": "dog cat horse cow lion tiger rabbit elephant monkey",
    "fruit": "apple banana grape lemon cherry peach mango pear",
    "country": "France Germany Italy Spain Japan China Brazil Canada Egypt",
    "number": "two three four five six seven eight nine ten twenty",
    "body part": "hand foot arm leg nose ear knee shoulder finger",
    "job": "doctor teacher lawyer farmer nurse engineer soldier pilot chef",
    "metal": "gold silver iron copper steel aluminum zinc nickel",
    "emotion": "anger joy fear sadness happiness guilt shame pride",
    "weather": "rain snow wind storm fog thunder sunshine hail",
}
FRAMES = (
    "I was thinking about {} all day long",
    "She told me something about {} yesterday",
    "The article mentioned {} in the first paragraph",
    "We talked about {} for a while",
    "He wrote the word {} on the board",
    "They asked a question about {} again",
)
_TRAINING = 0.6


@dataclass(frozen=True)
class Corpus:
    """Sentences as token ids, and what each is about.

    ``place`` is the position of the last token of the word, ``concept`` its number, and
    ``is_training`` whether the word is one of those that are fitted; ``words`` holds, per concept,
    the first token of each of its words.
    """

    ids: list[list[int]]
    place: Array
    concept: Array
    is_training: Array
    names: list[str]
    words: list[list[int]]


def build_corpus(tokenizer: Any, n_concepts: int, n_words: int, n_frames: int) -> Corpus:
    """Put words into frames; 60 % of the words of each concept, at random, are for training."""
    rng = random.Random(0)
    ids: list[list[int]] = []
    place, concept, is_training = [], [], []
    words: list[list[int]] = []
    names = list(CONCEPTS)[:n_concepts]
    for number, name in enumerate(names):
        chosen = CONCEPTS[name].split()[:n_words]
        training = set(rng.sample(chosen, round(_TRAINING * len(chosen))))
        words.append([tokenizer.encode(" " + word)[0] for word in chosen])
        for word in chosen:
            for frame in FRAMES[:n_frames]:
                before = frame.partition("{}")[0]
                ids.append(list(tokenizer.encode(frame.format(word))))
                place.append(len(tokenizer.encode(before + word)) - 1)
                concept.append(number)
                is_training.append(word in training)
    return Corpus(ids, np.array(place), np.array(concept), np.array(is_training), names, words)
