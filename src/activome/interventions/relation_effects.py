"""Relation effects: which facts a language model still recalls with units switched off."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn

from activome._checks import check_integer
from activome._progress import Progress, silent, track
from activome.activity.schema import Activity
from activome.errors import ActivityError, ActivityWarning, ParameterError
from activome.interventions._inputs import Batch, run
from activome.interventions._labels import activity_of
from activome.interventions.deactivation import deactivate, site_widths
from activome.interventions.selectors import Sel
from activome.interventions.taps import Taps

__all__ = ["recalls", "relation_effects", "relation_responses", "relative_drop"]

Array = np.ndarray[Any, Any]
_COLUMNS = ("relation", "subject", "object", "prompt")


@dataclass(frozen=True)
class _Questions:
    """Facts as batches of prompts of one length, with the first token of each object."""

    batches: list[Batch]
    answers: list[Any]
    n_facts: int


def recalls(
    model: nn.Module, facts: pd.DataFrame, *, tokenizer: Any, max_tokens: int = 2048
) -> np.ndarray[Any, Any]:
    """Tell which facts a language model completes with the right object.

    A fact is recalled when the most likely token after the prompt is the first one of the object.

    Parameters
    ----------
    model : torch.nn.Module
        From token ids to logits.
    facts : pandas.DataFrame
        Columns relation, subject, object and prompt, as of ``activome.samples.relation_facts``.
    tokenizer : object
        With ``encode``.
    max_tokens : int, default=2048
        Tokens per batch.

    Returns
    -------
    ndarray of bool, shape (n_facts,)
        True where the object comes first.

    Raises
    ------
    ActivityError
        If a column is missing or there is no fact.
    ParameterError
        If the tokenizer does not give a prompt and what goes on from it the same tokens.

    Warns
    -----
    ActivityWarning
        If different objects of a relation begin with the same token.

    Notes
    -----
    Prompts of one length make a batch, so that there is no padding that could leak.
    """
    return _correct(model, _questions(model, facts, tokenizer, max_tokens, "recalls"))


def relation_responses(
    model: nn.Module,
    facts: pd.DataFrame,
    *,
    tokenizer: Any,
    site: str = "mlp_hidden[*]",
    skip_first: bool = True,
    max_tokens: int = 2048,
) -> Activity:
    """Record the mean response of every unit to the prompt of each fact.

    ``UnitExpertise`` scores the units on them by the label "relation"; keep the facts that the
    model recalls.

    Parameters
    ----------
    model : torch.nn.Module
        From token ids to logits.
    facts : pandas.DataFrame
        Columns relation, subject, object and prompt; others become labels as well.
    tokenizer : object
        With ``encode``.
    site : str, default="mlp_hidden[*]"
        Where the units are.
    skip_first : bool, default=True
        Leave the first position out of the mean: massive activations live there, and it knows
        nothing but its own token.
    max_tokens : int, default=2048
        Tokens per batch.

    Returns
    -------
    xarray.DataArray
        An Activity (trial, unit), one trial per fact, with the columns of the facts and
        ``recalled`` as labels.

    Raises
    ------
    ActivityError
        If a column is missing or there is no fact.
    ParameterError
        If the tokenizer does not give a prompt and what goes on from it the same tokens.

    Warns
    -----
    ActivityWarning
        If different objects of a relation begin with the same token.
    """
    questions = _questions(model, facts, tokenizer, max_tokens, "relation_responses")
    at = Sel(pos="all_but_first") if skip_first else None
    with Taps(model).record(site, at=at, reduce="mean") as recording:
        recalled = _correct(model, questions)
    rows = [row for batch in questions.batches for row in batch.rows]
    whole = activity_of(recording, recording.sites, f"responses of {type(model).__name__}")
    found: Activity = whole.isel(trial=np.argsort(rows))
    labels: dict[str, Any] = {"trial": np.arange(len(facts)), "recalled": ("trial", recalled)}
    for name in facts.columns:
        column = facts[name].to_numpy()
        labels[str(name)] = ("trial", column.astype(str) if column.dtype == object else column)
    return found.assign_coords(labels).rename("responses")


def relation_effects(
    model: nn.Module,
    facts: pd.DataFrame,
    units_by_relation: Mapping[str, Any],
    ks: Sequence[int],
    *,
    tokenizer: Any,
    detected_on: pd.DataFrame | None = None,
    value: float | str = 0.0,
    site: str = "mlp_hidden[*]",
    max_tokens: int = 2048,
    progress: Progress = silent,
) -> xr.DataArray:
    """Measure how many facts of each relation survive when the units of each are off.

    Parameters
    ----------
    model : torch.nn.Module
        From token ids to logits.
    facts : pandas.DataFrame
        Facts to evaluate: columns relation, subject, object and prompt.
    units_by_relation : mapping of str to array-like of int, shape (n_listed,)
        Units to switch off under each name, the most specific first; the names may be relations or
        controls. ``UnitExpertise.top`` gives them.
    ks : sequence of int
        How many of the first units to switch off.
    tokenizer : object
        With ``encode``.
    detected_on : pandas.DataFrame, optional
        Facts on which the units were found; a subject that occurs in both is refused.
    value : float or "mean", default=0.0
        What a switched-off unit is held at, as in ``deactivate``.
    site : str, default="mlp_hidden[*]"
        Where the units are.
    max_tokens : int, default=2048
        Tokens per batch.
    progress : Progress, default=silent
        Told of each set of units.

    Returns
    -------
    xarray.DataArray of float64
        Accuracy, dims (k, switched_off, evaluated). Coordinates on evaluated: ``baseline``, the
        accuracy of the model as it is, and ``n_facts``.

    Raises
    ------
    ActivityError
        If a column is missing, there is no fact, or a subject was used for detection.
    ParameterError
        If there are no units, or fewer than a k, or an option does not fit.

    Warns
    -----
    ActivityWarning
        If a relation has a baseline under one half, of which relative drops say little; or
        different objects of a relation begin with the same token.

    Notes
    -----
    One pass over the facts for each k and each name, and one without.

    References
    ----------
    .. [1] Y. Liu, R. Chen, L. Hirlimann, A. D. Hakimi, M. Wang, A. H. Kargaran, S. Rothe, F. Yvon
       and H. Schuetze, "On relation-specific neurons in large language models", 2025.
    """
    owner = "relation_effects"
    orders = _orders(model, units_by_relation, ks, site)
    if detected_on is not None:
        _refuse_shared(facts, detected_on)
    questions = _questions(model, facts, tokenizer, max_tokens, owner)
    codes, relations = pd.factorize(facts["relation"])
    counts = np.bincount(codes)
    baseline = np.bincount(codes, _correct(model, questions)) / counts
    weak = [str(name) for name, rate in zip(relations, baseline, strict=True) if rate < 0.5]
    if weak:
        warnings.warn(
            f"{owner}: under half of the facts of {', '.join(weak)} are recalled by the model as "
            "it is; relative drops of them say little.",
            ActivityWarning,
            stacklevel=2,
        )
    accuracy = np.empty((len(ks), len(orders), relations.size))
    tasks = [(i, j) for i in range(len(ks)) for j in range(len(orders))]
    names = list(orders)
    for i, j in track(tasks, "switching off", progress):
        with deactivate(model, orders[names[j]][: ks[i]], value, site=site):
            accuracy[i, j] = np.bincount(codes, _correct(model, questions)) / counts
    return xr.DataArray(
        accuracy,
        dims=("k", "switched_off", "evaluated"),
        coords={
            "k": list(ks),
            "switched_off": names,
            "evaluated": relations.to_numpy().astype(str),
            "baseline": ("evaluated", baseline),
            "n_facts": ("evaluated", counts),
        },
        name="accuracy",
    )


def relative_drop(accuracy: xr.DataArray) -> xr.DataArray:
    """Return the share of the recalled facts of each relation that is lost.

    Parameters
    ----------
    accuracy : xarray.DataArray
        What ``relation_effects`` gives, with the coordinate ``baseline``.

    Returns
    -------
    xarray.DataArray
        ``1 - accuracy / baseline``, of the same dims; negative where facts are gained.

    Raises
    ------
    ActivityError
        If there is no baseline, or a baseline is 0.

    Examples
    --------
    >>> import xarray as xr
    >>> found = xr.DataArray([[0.2, 0.9]], dims=("switched_off", "evaluated"),
    ...                      coords={"baseline": ("evaluated", [0.8, 0.9])})
    >>> relative_drop(found).values.round(2).tolist()
    [[0.75, 0.0]]
    """
    if "baseline" not in accuracy.coords:
        raise ActivityError(
            "relative_drop: accuracy must carry the coordinate 'baseline'; give what "
            "relation_effects returns."
        )
    baseline = accuracy["baseline"]
    if not bool((baseline > 0).all()):
        raise ActivityError(
            "relative_drop: every baseline must be above 0; a relation of which nothing is "
            "recalled has nothing to lose. Leave it out."
        )
    return (1.0 - accuracy / baseline).rename("relative_drop")


def _orders(
    model: nn.Module, units: Mapping[str, Any], ks: Sequence[int], site: str
) -> dict[str, Array]:
    owner = "relation_effects"
    if not units or not len(ks):
        raise ParameterError(f"{owner}: give at least one set of units and one k.")
    total = sum(site_widths(model, Taps(model).sites(site)))
    for k in ks:
        check_integer(k, name="k", owner=owner, low=1, high=total)
    orders = {str(name): np.asarray(found) for name, found in units.items()}
    for name, order in orders.items():
        if order.ndim != 1 or order.dtype.kind not in "iu" or order.size < max(ks):
            raise ParameterError(
                f"{owner}: {name!r} must list at least {max(ks)} units, the largest k, by number; "
                f"got {order.dtype} of shape {order.shape}."
            )
    return orders


def _refuse_shared(facts: pd.DataFrame, detected_on: pd.DataFrame) -> None:
    shared = sorted(set(facts["subject"]) & set(detected_on["subject"]))
    if shared:
        raise ActivityError(
            f"relation_effects: facts must be of subjects that were not used to find the units; "
            f"{len(shared)} were, such as {shared[0]!r}. Split with split_by_subject."
        )


def _questions(
    model: nn.Module, facts: pd.DataFrame, tokenizer: Any, max_tokens: int, owner: str
) -> _Questions:
    check_integer(max_tokens, name="max_tokens", owner=owner, low=1)
    missing = [column for column in _COLUMNS if column not in facts]
    if missing or len(facts) == 0:
        raise ActivityError(
            f"{owner}: facts must be rows with {', '.join(_COLUMNS)}; "
            + (f"{', '.join(missing)} is missing." if missing else "there is none.")
        )
    prompts, answers = [], []
    for prompt, answer in zip(facts["prompt"], facts["object"], strict=True):
        ids, whole = _encode(tokenizer, prompt), _encode(tokenizer, f"{prompt} {answer}")
        if whole[: len(ids)] != ids or len(whole) == len(ids):
            raise ParameterError(
                f"{owner}: a prompt must keep its tokens when the object follows; {prompt!r} does "
                "not. End it with a whole word, without a space."
            )
        prompts.append(ids)
        answers.append(whole[len(ids)])
    _warn_of_shared_tokens(facts, answers, owner)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    lengths = np.array([len(ids) for ids in prompts])
    found = []
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        size = max(1, max_tokens // int(length))
        for part in (rows[i : i + size].tolist() for i in range(0, rows.size, size)):
            ids = torch.tensor([prompts[row] for row in part], device=device)
            found.append(Batch(part, (), {"input_ids": ids}))
    targets = [torch.tensor([answers[row] for row in b.rows], device=device) for b in found]
    return _Questions(found, targets, len(facts))


def _encode(tokenizer: Any, text: str) -> list[int]:
    found = tokenizer.encode(text)
    return list(getattr(found, "ids", found))


def _warn_of_shared_tokens(facts: pd.DataFrame, answers: list[int], owner: str) -> None:
    table = facts.assign(token=answers).groupby(["relation", "token"])["object"].unique()
    shared = table[table.map(len) > 1]
    if len(shared):
        relation, objects = str(shared.index[0][0]), list(shared.iloc[0])
        warnings.warn(
            f"{owner}: the first token decides, and {objects[0]!r} and {objects[1]!r} of "
            f"{relation!r} begin with the same one ({len(shared)} such tokens in all).",
            ActivityWarning,
            stacklevel=4,
        )


def _correct(model: nn.Module, questions: _Questions) -> Array:
    correct = np.zeros(questions.n_facts, dtype=bool)
    for batch, answers in zip(questions.batches, questions.answers, strict=True):
        with torch.no_grad():
            out = run(model, batch, use_cache=False, logits_to_keep=1)
        best = getattr(out, "logits", out)[:, -1].argmax(-1)
        correct[batch.rows] = (best == answers).cpu().numpy()
    return correct
