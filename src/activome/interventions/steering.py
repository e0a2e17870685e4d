"""Steering: push a network along a direction, by a strength that can be matched over directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from activome._checks import check_number
from activome.errors import ParameterError
from activome.interventions._prompts import Prompts
from activome.interventions.edits import Steer
from activome.interventions.taps import Taps

__all__ = ["alpha_for_kl", "steer"]

GRID = tuple(float(2**power) for power in range(9))


@contextmanager
def steer(
    model: nn.Module,
    site: str,
    direction: ArrayLike,
    alpha: float = 1.0,
    *,
    pos: Any = "all",
    scheme: str | None = None,
) -> Iterator[None]:
    """Add a direction, scaled to a length of ``alpha``, to a site during the block.

    Parameters
    ----------
    model : torch.nn.Module
        Any network; used in place.
    site : str
        Name of the sites, such as "mlp_hidden[20]" for features of MLP neurons or "mlp_out[20]" for
        what they write.
    direction : array-like of float, shape (n_features,)
        Direction in the space of the site; its length does not count, its sign does.
    alpha : float, default=1.0
        Length of what is added, in units of the site; below 0 for the opposite.
    pos : optional
        Which positions, as in ``Sel``.
    scheme : str, optional
        Table of site names, as in ``Taps``.

    Yields
    ------
    None
        The direction is added inside the block.

    Raises
    ------
    ParameterError
        If the direction is no vector, not finite or all zero, ``alpha`` is not finite, or the site
        does not fit.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> before = network(torch.ones(1, 2))
    >>> with steer(network, "module:1#out", [3.0, 4.0], alpha=10.0):
    ...     after = network(torch.ones(1, 2))
    >>> (after - before).round().tolist()
    [[6.0, 8.0]]
    """
    check_number(alpha, name="alpha", owner="steer")
    unit = _unit(direction, "steer")
    with Taps(model, scheme).edit(Steer(site, direction=unit, alpha=float(alpha), pos=pos)):
        yield


def alpha_for_kl(
    model: nn.Module,
    prompts: Any,
    direction: ArrayLike,
    target: float = 0.5,
    grid: Sequence[float] | np.ndarray[Any, Any] = GRID,
    *,
    site: str,
    pos: Any = "all",
    tokenizer: Any = None,
    scheme: str | None = None,
) -> float:
    """Return the strength of steering that moves the next-token distribution by a given amount.

    Directions of different kinds are compared at equal disturbance: at the strength at which the
    Kullback-Leibler divergence of the steered distribution from the plain one, averaged over
    prompts, is ``target``.

    Parameters
    ----------
    model : torch.nn.Module
        Any network that returns logits; used in place.
    prompts : Tensor, mapping of str to Tensor, list of list of int, or list of str
        Prompts; the distribution after the last position counts.
    direction : array-like of float, shape (n_features,)
        As in ``steer``.
    target : float, default=0.5
        Divergence in nats.
    grid : sequence of float, shape (n_strengths,), default=(1, 2, 4, ..., 256)
        Strengths to try, rising from above 0; divergences between them, and between the first and
        no steering, are interpolated linearly.
    site : str
        As in ``steer``.
    pos : optional
        As in ``steer``.
    tokenizer : object, optional
        Encodes texts.
    scheme : str, optional
        Table of site names, as in ``Taps``.

    Returns
    -------
    float
        The smallest strength at which the divergence meets the target.

    Raises
    ------
    ParameterError
        If the grid does not rise, the target is not positive or not met within the grid, or the
        direction, the site or the prompts do not fit.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Identity())
    >>> found = alpha_for_kl(
    ...     network, torch.zeros(1, 2), [1.0, 0.0], 0.1, [0.5, 1.0, 2.0], site="module:0#out"
    ... )
    >>> round(found, 2)
    0.89
    """
    owner = "alpha_for_kl"
    check_number(target, name="target", owner=owner, low=0.0)
    strengths = [check_number(step, name="grid", owner=owner, low=0.0) for step in grid]
    if not strengths or sorted(set(strengths)) != strengths:
        raise ParameterError(f"{owner}: grid must hold strengths that rise; got {list(grid)}.")
    unit = _unit(direction, owner)
    several = Prompts.of(owner, model, prompts, tokenizer)
    before, below = 0.0, 0.0
    with torch.no_grad():
        plain = several.logits().double().log_softmax(-1)
        for strength in strengths:
            with steer(model, site, unit, strength, pos=pos, scheme=scheme):
                moved = several.logits().double().log_softmax(-1)
            reached = float((plain.exp() * (plain - moved)).sum(-1).mean())
            if reached >= target:
                share = (target - below) / (reached - below)
                return before + share * (strength - before)
            before, below = strength, reached
    raise ParameterError(
        f"{owner}: the target {target:g} must be met within the grid; the divergence is "
        f"{below:.3g} at strength {before:g}. Extend the grid, or look whether the site matters."
    )


def _unit(direction: ArrayLike, owner: str) -> torch.Tensor:
    found = direction.detach().cpu() if isinstance(direction, torch.Tensor) else direction
    vector = np.asarray(found, dtype=np.float64)
    length = float(np.linalg.norm(vector)) if vector.ndim == 1 else 0.0
    if vector.ndim != 1 or not np.isfinite(length) or length == 0:
        raise ParameterError(
            f"{owner}: direction must be a finite vector (n_features,) that is not all zero; got "
            f"shape {vector.shape} and length {length:g}."
        )
    return torch.from_numpy(vector / length)
