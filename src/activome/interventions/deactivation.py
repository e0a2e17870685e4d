"""Deactivation: switch units of a network off, anywhere in its layers, and the matched control."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import nn

from activome._checks import check_choice, check_number
from activome._random import RandomState, make_generator
from activome.errors import ParameterError
from activome.interventions.edits import Edit, Mean, Set, Zero
from activome.interventions.sites import Site
from activome.interventions.taps import Taps
from activome.networks._linear_maps import linear_shape

__all__ = ["deactivate", "matched_random_units", "site_widths"]

Array = np.ndarray[Any, Any]


@contextmanager
def deactivate(
    model: nn.Module,
    units: Any,
    value: float | str = 0.0,
    *,
    site: str | Sequence[str] = "mlp_hidden[*]",
    reference: Any = None,
    scheme: str | None = None,
) -> Iterator[None]:
    """Hold some units at a value, at every position, while the block runs.

    Units are counted over all layers of the site, one layer after the other, as ``record`` lays
    them out: what is found in a recording can be switched off by its number.

    Parameters
    ----------
    model : torch.nn.Module
        Any network with the site; used in place.
    units : array-like of int, shape (n_off,), or of bool, shape (n_units,)
        Numbers of the units, or a mask over all layers.
    value : float or "mean", default=0.0
        Value to hold. "mean" takes ``reference``, or the mean of each unit over the samples and
        real positions of the running batch.
    site : str or sequence of str, default="mlp_hidden[*]"
        Where the units are: by default the hidden neurons of every MLP.
    reference : array-like, shape (n_units,), optional
        Mean of every unit over all layers, for ``value="mean"``.
    scheme : str, optional
        Table of site names, as in ``Taps``.

    Yields
    ------
    None
        The units are off inside the block.

    Raises
    ------
    ParameterError
        If there is no unit, one is out of range, or an option does not fit.

    Notes
    -----
    Outputs of ``down_proj`` (dimensions of the residual stream) are units as well, but a few of
    them carry massive activations: off, they destroy a model whatever the rest does.

    Examples
    --------
    >>> import torch
    >>> from activome.networks import TinyGPT, seed_everything
    >>> with seed_everything(0):
    ...     network = TinyGPT(5, 4, d_model=8, n_heads=2)
    >>> ids = torch.tensor([[1, 2, 3]])
    >>> before = network(ids)
    >>> with deactivate(network, [0, 40]):  # unit 0 of block 0, unit 8 of block 1
    ...     changed = network(ids)
    >>> bool((changed == before).all()), bool((network(ids) == before).all())
    (False, True)
    """
    taps = Taps(model, scheme)
    names = [site] if isinstance(site, str) else list(site)
    sites = list({found.label: found for name in names for found in taps.sites(name)}.values())
    edits = _edits(model, sites, units, value, reference)
    with taps.edit(*edits):
        yield


def _edits(
    model: nn.Module, sites: list[Site], units: Any, value: float | str, reference: Any
) -> list[Edit]:
    owner = "deactivate"
    if isinstance(value, str):
        check_choice(value, ("mean",), name="value", owner=owner)
    else:
        check_number(value, name="value", owner=owner)
    if reference is not None and value != "mean":
        raise ParameterError(f"{owner}: reference goes with value='mean'; got value={value!r}.")
    widths = site_widths(model, sites)
    total = sum(widths)
    is_off = _mask(units, total)
    means = None if reference is None else np.asarray(reference, dtype=np.float64)
    if means is not None and (means.shape != (total,) or not np.isfinite(means).all()):
        raise ParameterError(
            f"{owner}: reference must hold one finite mean for each of the {total} units; got "
            f"shape {means.shape}."
        )
    edits: list[Edit] = []
    start = 0
    for site, width in zip(sites, widths, strict=True):
        part = slice(start, start + width)
        start += width
        chosen = is_off[part]
        if not chosen.any():
            continue
        if value == "mean":
            mean = None if means is None else means[part]
            edits.append(Mean(site.label, units=chosen, reference=mean))
        elif value == 0.0:
            edits.append(Zero(site.label, units=chosen))
        else:
            edits.append(Set(site.label, value, units=chosen))
    return edits


def _mask(units: Any, total: int) -> Array:
    found = np.asarray(units)
    if found.dtype == bool:
        if found.shape != (total,):
            raise ParameterError(
                f"deactivate: a mask must have shape ({total},), one entry for each unit of the "
                f"site over all layers; got {found.shape}."
            )
    elif found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ParameterError(
            f"deactivate: units must be a list of numbers or a boolean mask; got {found.dtype} of "
            f"shape {found.shape}."
        )
    if not found.any() and (found.dtype == bool or found.size == 0):
        raise ParameterError("deactivate: name at least one unit; got none.")
    if found.dtype == bool:
        return found
    if found.min() < 0 or found.max() >= total:
        raise ParameterError(
            f"deactivate: units must be 0 to {total - 1}; got {int(found.min())} to "
            f"{int(found.max())}."
        )
    mask = np.zeros(total, dtype=bool)
    mask[found] = True
    return mask


def site_widths(model: nn.Module, sites: Sequence[Site]) -> list[int]:
    """Return the number of units of each site, from the weights of its module.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    sites : sequence of Site
        Inputs or outputs of linear maps.

    Returns
    -------
    list of int
        One width per site.

    Raises
    ------
    ParameterError
        If the module of a site is no linear map, or the site is a part of one.
    """
    widths = []
    for site in sites:
        module = model.get_submodule(site.path)
        shape = linear_shape(module)
        if shape is None or site.part is not None:
            raise ParameterError(
                f"deactivate: units are counted at inputs and outputs of linear maps; {site.label} "
                f"is at a {type(module).__name__}. Use mlp_hidden, mlp_pre, mlp_up or head_out."
            )
        widths.append(shape[0] if site.io == "in" else shape[1])
    return widths


def matched_random_units(
    units: Any, groups: Any, *, random_state: RandomState = 0
) -> np.ndarray[Any, Any]:
    """Draw other units, one for each given unit and from its own group: the fair control.

    Units of early layers do more harm than those of late ones: a control must match the number in
    each layer. The j-th drawn unit is of the group of the j-th given one, so that any first k of
    them match the first k given.

    Parameters
    ----------
    units : array-like of int, shape (n,)
        Units to match.
    groups : array-like, shape (n_units,)
        Group of every unit, such as its layer.
    random_state : int, Generator or None, default=0
        Seed of the draw.

    Returns
    -------
    ndarray of int64, shape (n,)
        Different units, none of them among those given.

    Raises
    ------
    ParameterError
        If a unit is out of range or given twice, or a group has too few others.

    Examples
    --------
    >>> drawn = matched_random_units([0, 5, 1], [0, 0, 0, 0, 1, 1, 1])
    >>> sorted(drawn[[0, 2]].tolist()), bool(drawn[1] in (4, 6))
    ([2, 3], True)
    """
    owner = "matched_random_units"
    given, names = np.asarray(units), np.asarray(groups)
    is_numbers = given.ndim == 1 and given.size and given.dtype.kind in "iu"
    if not is_numbers or given.min() < 0 or given.max() >= names.size:
        raise ParameterError(f"{owner}: units must be numbers of 0 to {names.size - 1}.")
    if np.unique(given).size != given.size:
        raise ParameterError(f"{owner}: units must differ; one is given twice.")
    generator = make_generator(random_state)
    is_free = np.ones(names.size, dtype=bool)
    is_free[given] = False
    drawn = np.empty(given.size, dtype=np.int64)
    for group in np.unique(names[given]):
        places = np.flatnonzero(names[given] == group)
        others = np.flatnonzero(is_free & (names == group))
        if others.size < places.size:
            raise ParameterError(
                f"{owner}: group {group} has {others.size} units besides the {places.size} given; "
                "there must be as many. Match fewer."
            )
        drawn[places] = generator.choice(others, places.size, replace=False)
    return drawn
