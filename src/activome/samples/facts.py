"""Facts by relation: a small table that ships, and a reader for tables of the same kind."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from activome._checks import check_integer, nearest_names
from activome._random import RandomState, make_generator
from activome.errors import ActivityError, ParameterError, ReadError

__all__ = ["read_relations", "relation_facts", "split_by_subject"]

_PATH = Path(__file__).parent / "data" / "relation_facts.json"
_SHA256 = "31ff472c6cda0507e8dd432631ba8439de8b4603b5c35f9fb97236f1ef28e110"
_COLUMNS = ["relation", "subject", "object", "template", "prompt"]


def relation_facts(
    relations: Sequence[str] | None = None, *, templates: Sequence[int] | None = None
) -> pd.DataFrame:
    """Return facts of seven relations as prompts that end before the object.

    Parameters
    ----------
    relations : sequence of str, optional
        Out of "capital", "official language", "continent", "opposite", "plural", "comparative" and
        "chemical symbol"; by default all.
    templates : sequence of int, optional
        Out of 0, 1 and 2, three wordings of each relation; by default all.

    Returns
    -------
    pandas.DataFrame
        Columns relation, subject, object, template and prompt, one row per fact and template: 40
        facts of each relation (30 of "chemical symbol").

    Raises
    ------
    ParameterError
        If a relation or a template is unknown.
    ReadError
        If the shipped file is missing or damaged.

    Examples
    --------
    >>> facts = relation_facts(["capital"], templates=[1])
    >>> len(facts), facts.prompt[0], facts.object[0]
    (40, 'The capital city of France is the city of', 'Paris')
    """
    table = _shipped()
    chosen = list(table) if relations is None else list(relations)
    for relation in chosen:
        if relation not in table:
            raise ParameterError(
                f"relation_facts: unknown relation {relation!r}; "
                f"{nearest_names(str(relation), table)}"
            )
    return _rows({name: table[name] for name in chosen}, templates, "relation_facts")


def read_relations(
    folder: str | os.PathLike[str], *, templates: Sequence[int] | None = None
) -> pd.DataFrame:
    """Read a folder of relations, one JSON file each, as prompts that end before the object.

    This is the form of the data set of linear relational embeddings: an object with "name",
    "prompt_templates" that hold ``{}`` for the subject, and "samples", a list of objects with
    "subject" and "object".

    Parameters
    ----------
    folder : path-like
        Looked through with its folders for files that end in ``.json``.
    templates : sequence of int, optional
        Which of the templates of each relation, from 0; by default all.

    Returns
    -------
    pandas.DataFrame
        Columns as of ``relation_facts``.

    Raises
    ------
    ReadError
        If there is no such file, or one is not of this form.
    ParameterError
        If a relation has no template of a number.

    References
    ----------
    .. [1] E. Hernandez et al., "Linearity of relation decoding in transformer language models",
       2024.
    """
    paths = sorted(Path(folder).rglob("*.json"))
    if not paths:
        raise ReadError(
            f"read_relations: {folder} must hold JSON files of relations; there are none."
        )
    table = {}
    for path in paths:
        try:
            found = json.loads(path.read_text("utf-8"))
            facts = {str(one["subject"]): str(one["object"]) for one in found["samples"]}
            entry = {"templates": [str(text) for text in found["prompt_templates"]], "facts": facts}
            name = str(found["name"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ReadError(
                f"read_relations: {path} must be JSON with name, prompt_templates and samples of "
                f"subject and object; it could not be read: {error!r}."
            ) from error
        if any("{}" not in text for text in entry["templates"]):
            raise ReadError(
                f"read_relations: every template must hold {{}} for the subject; one in {path} "
                "does not."
            )
        table[name] = entry
    return _rows(table, templates, "read_relations")


def split_by_subject(
    facts: pd.DataFrame, *, random_state: RandomState = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut facts into two halves that share no subject, whatever the relation.

    Parameters
    ----------
    facts : pandas.DataFrame
        With the column "subject".
    random_state : int, Generator or None, default=0
        Seed of the halves.

    Returns
    -------
    tuple of pandas.DataFrame
        Facts for detection and for evaluation, each numbered from 0.

    Raises
    ------
    ActivityError
        If there are fewer than two subjects, or no column of them.

    Examples
    --------
    >>> detection, evaluation = split_by_subject(relation_facts())
    >>> bool(set(detection.subject) & set(evaluation.subject))
    False
    """
    if "subject" not in facts:
        raise ActivityError(
            "split_by_subject: facts must have a column 'subject'; got "
            f"{', '.join(map(str, facts.columns))}."
        )
    subjects = np.array(sorted(set(facts["subject"])))
    if subjects.size < 2:
        raise ActivityError(
            f"split_by_subject: needs two or more subjects; got {subjects.size}. Add facts."
        )
    drawn = make_generator(random_state).permutation(subjects)[: subjects.size // 2]
    is_first = facts["subject"].isin(drawn)
    return facts[is_first].reset_index(drop=True), facts[~is_first].reset_index(drop=True)


def _shipped() -> dict[str, Any]:
    try:
        content = _PATH.read_bytes()
    except FileNotFoundError as error:
        raise ReadError(
            f"relation_facts: {_PATH} must ship with the package; it is missing. Reinstall "
            "activome."
        ) from error
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise ReadError(
            f"relation_facts: {_PATH} must have the checksum it was shipped with; it is damaged or "
            "was edited. Reinstall activome."
        )
    table: dict[str, Any] = json.loads(content)
    return table


def _rows(
    table: Mapping[str, Mapping[str, Any]], templates: Sequence[int] | None, owner: str
) -> pd.DataFrame:
    rows = []
    for relation, entry in table.items():
        texts = entry["templates"]
        for number in range(len(texts)) if templates is None else templates:
            high = len(texts) - 1
            check_integer(number, name=f"template of {relation!r}", owner=owner, low=0, high=high)
            rows += [
                (relation, subject, answer, number, texts[number].replace("{}", subject))
                for subject, answer in entry["facts"].items()
            ]
    return pd.DataFrame(rows, columns=_COLUMNS)
