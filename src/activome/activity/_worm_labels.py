"""Which neuron a trace is: labels of many laboratories to canonical names, and names to slots."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from activome.activity._worm_neurons import ALIASES, NEURONS
from activome.errors import ActivityError

__all__ = ["UNLABELLED", "Slots", "assign_slots", "label_text", "nearest_free", "normalise_label"]

Array = np.ndarray[Any, Any]

UNLABELLED = "unlabelled"
_PLACEHOLDER = re.compile(r"[\W\d_]*|nan|none|null|unlabell?ed|unknown", re.IGNORECASE)
_INNER_ZEROS = re.compile(r"(?<=[A-Z])0+(?=\d)")
_NUMBERED = re.compile(r"(?:AS|DA|DB|DD|VA|VB|VC|VD)\d+")


def normalise_label(label: Any, *, known: Sequence[str] = NEURONS) -> str:
    """Bring one label of a trace to the canonical name of its neuron.

    Spaces and case are ignored, inner zeros are taken out ("VB01" is VB1; the zero of "VB10" is
    not an inner one), and AWCOFF and AWCON become AWCL and AWCR by the convention of the atlases.

    Parameters
    ----------
    label : str, bytes, None, or sequence of these
        The label; of alternatives, the first that is not empty counts.
    known : sequence of str, default=NEURONS
        The canonical names.

    Returns
    -------
    str
        A name of ``known``; or "unlabelled" for anything that is no neuron. Two kinds of names that
        have no slot are kept, so that a reader sees them: those with "?" where a side is not known
        and that fit a canonical name otherwise, and numbers beyond those of a numbered class.

    Examples
    --------
    >>> [normalise_label(x) for x in ("VB01", ["", "avaL"], "AWCON", "AVA?", "DA10", "12", None)]
    ['VB1', 'AVAL', 'AWCR', 'AVA?', 'DA10', 'unlabelled', 'unlabelled']
    """
    text = label_text(label)
    if text in known:
        return text
    name = _INNER_ZEROS.sub("", text.upper())
    name = ALIASES.get(name, name)
    if name in known or name in NEURONS or _NUMBERED.fullmatch(name):
        return name
    is_open = "?" in name and any(_fits(name, other) for other in known)
    return name if is_open else UNLABELLED


def label_text(label: Any) -> str:
    """Return a label, or the first non-empty one of alternatives, as text; placeholders are ''."""
    if isinstance(label, (list, tuple, np.ndarray)):
        texts = (label_text(item) for item in np.asarray(label, dtype=object).ravel())
        return next((text for text in texts if text), "")
    if isinstance(label, bytes):
        label = label.decode("utf-8", "replace")
    if not isinstance(label, str):
        return ""
    text = label.strip()
    return "" if _PLACEHOLDER.fullmatch(text) else text


def nearest_free(name: str, free: Sequence[str]) -> str | None:
    """Return the free name that agrees with a name that holds "?" wherever that says something.

    Parameters
    ----------
    name : str
        A name with "?" for what is not known.
    free : sequence of str
        Names not yet given, in canonical order.

    Returns
    -------
    str or None
        Of those that agree in every known character the one nearest in length, then the first.
    """
    fitting = [other for other in free if _fits(name, other)]
    return min(fitting, key=lambda other: abs(len(other) - len(name)), default=None)


def _fits(name: str, other: str) -> bool:
    if len(other) < len(name.rstrip("?")) or not name.strip("?"):
        return False
    return all(a in ("?", b) for a, b in zip(name, other, strict=False))


@dataclass(frozen=True)
class Slots:
    """Where the traces of one recording go.

    Attributes
    ----------
    slot : ndarray of int, shape (n_traces,)
        Slot of each trace, -1 where it has none.
    labelled, guessed : ndarray of bool, shape (n_traces,)
        Whether the slot's name is that of the trace, and whether the name was guessed.
    dropped : list of str
        Labels of traces without a slot.
    n_surplus : int
        How many unlabelled traces found no free slot.
    """

    slot: Array
    labelled: Array
    guessed: Array
    dropped: list[str]
    n_surplus: int


def assign_slots(
    labels: Sequence[Any],
    order: Sequence[str],
    *,
    ambiguous: str,
    unlabelled: str,
    generator: np.random.Generator,
    owner: str,
) -> Slots:
    """Give each trace a slot: names first, then guesses, then unlabelled traces.

    Parameters
    ----------
    labels : sequence, length n_traces
        Labels as recorded.
    order : sequence of str
        Names of the slots.
    ambiguous : {"drop", "nearest"}
        Whether names with "?" become unlabelled or get the nearest free name.
    unlabelled : {"place", "drop"}
        Whether unlabelled traces get free slots.
    generator : numpy.random.Generator
        Which free slots these are.
    owner : str
        Who asks, for the message.

    Returns
    -------
    Slots
        Where the traces go.

    Raises
    ------
    ActivityError
        If there are names and none of them is that of a slot or of a neuron with an unknown side.
    """
    n_traces, index = len(labels), {name: k for k, name in enumerate(order)}
    names = [normalise_label(label, known=order) for label in labels]
    slot = np.full(n_traces, -1)
    guessed = np.zeros(n_traces, dtype=bool)
    dropped, waiting, unnamed = [], [], []
    taken: set[str] = set()
    for i, name in enumerate(names):
        if name in index and name not in taken:
            slot[i] = index[name]
            taken.add(name)
        elif name in index or name in NEURONS:
            dropped.append(label_text(labels[i]))
        elif "?" in name and ambiguous == "nearest":
            waiting.append(i)
        else:
            unnamed.append(i)
    if not taken:
        _refuse_strangers(labels, names, order, owner)
    for i in waiting:
        found = nearest_free(names[i], [name for name in order if name not in taken])
        if found is None:
            unnamed.append(i)
        else:
            slot[i], guessed[i] = index[found], True
            taken.add(found)
    labelled = slot >= 0
    free = generator.permutation([k for k, name in enumerate(order) if name not in taken])
    placed = sorted(unnamed)[: free.size] if unlabelled == "place" else []
    slot[placed] = free[: len(placed)]
    n_surplus = len(unnamed) - len(placed) if unlabelled == "place" else 0
    return Slots(slot, labelled, guessed, dropped, n_surplus)


def _refuse_strangers(
    labels: Sequence[Any], names: Sequence[str], order: Sequence[str], owner: str
) -> None:
    given = [text for text in map(label_text, labels) if text]
    if given and not any("?" in name for name in names):
        shown = ", ".join(repr(text) for text in given[:5])
        raise ActivityError(
            f"{owner}: at least one label must be one of the {len(order)} names, such as "
            f"{order[0]!r}; none of {len(given)} is, the first: {shown}. Map them to the names, or "
            "give order."
        )
