"""Scores of heads: what the removal of each would do to a metric, all from one backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from activome._checks import check_choice
from activome.errors import ParameterError
from activome.interventions._comparison import frozen, refuse_noise
from activome.interventions._components import Components
from activome.interventions._prompts import Prompts, last_logits
from activome.interventions.edits import Apply
from activome.interventions.relevance_rules import RelevanceRules

__all__ = ["head_means", "head_scores"]

RULES = ("relp", "gradient", "exact")


def head_means(
    model: nn.Module,
    *inputs: Any,
    site: str = "head_out",
    tokenizer: Any = None,
    scheme: str | None = None,
) -> xr.DataArray:
    """Return the mean output of every head, the reference that heads are removed to.

    The first position of each prompt is left out, since it is far from all others in most language
    models, and padding too. Give the prompts of all tasks at once: a mean over one task alone
    moves the network towards that task.

    Parameters
    ----------
    model : torch.nn.Module
        Any network with a site of heads; used in place.
    *inputs : Tensor, mapping of str to Tensor, list of list of int, or list of str
        Sets of prompts of at least two positions; their positions are pooled.
    site : str, default="head_out"
        Site of the heads; of a site without heads the units, such as those of "mlp_hidden".
    tokenizer : object, optional
        Encodes texts.
    scheme : str, optional
        Table of site names, as in ``Taps``.

    Returns
    -------
    xarray.DataArray of float64
        Dims (layer, head, feature), or (layer, unit).

    Raises
    ------
    ParameterError
        If there are no inputs, the site is not one of every layer, or the inputs do not fit.

    Examples
    --------
    >>> import torch
    >>> from activome.networks import TinyGPT
    >>> network = TinyGPT(vocab=10, context=8, d_model=8, n_heads=2).eval()
    >>> head_means(network, torch.randint(10, (4, 6))).sizes
    Frozen({'layer': 2, 'head': 2, 'feature': 4})
    """
    owner = "head_means"
    if not inputs:
        raise ParameterError(f"{owner}: give at least one set of prompts.")
    components = Components.of(owner, model, site, scheme)
    return components.means([Prompts.of(owner, model, one, tokenizer) for one in inputs])


def head_scores(
    model: nn.Module,
    inputs: Any,
    metric: Callable[[Any], Any],
    reference: Any = "mean",
    rule: str = "relp",
    *,
    site: str = "head_out",
    tokenizer: Any = None,
    scheme: str | None = None,
    rules: Sequence[str] | None = None,
) -> xr.DataArray:
    """Score every head by how a metric would change if the head gave its mean alone.

    The score is ``sum (reference - z) * coefficient`` over prompts, positions and features, with
    ``z`` the output of the head, and a coefficient from one pass back: relevances (RelP) or
    gradients. "exact" removes one head after the other. The more negative, the more the metric
    rests on the head.

    Parameters
    ----------
    model : torch.nn.Module
        Any network with a site of heads, in evaluation mode; used in place.
    inputs : Tensor, mapping of str to Tensor, list of list of int, or list of str
        Prompts, of any lengths; lists are run by length, without padding.
    metric : callable
        From logits (n_prompts, n_outputs) after the last position, in the order of the prompts, to
        one number, large where the task is done well; by functions of torch that have gradients.
    reference : {"mean", "zero"} or xarray.DataArray, default="mean"
        What a removed head gives: its mean over these prompts, 0, or what ``head_means`` returned.
    rule : {"relp", "gradient", "exact"}, default="relp"
        Where the coefficients come from. Plain gradients through many norms rank the heads of early
        layers by noise.
    site : str, default="head_out"
        As in ``head_means``.
    tokenizer : object, optional
        Encodes texts.
    scheme : str, optional
        Table of site names, as in ``Taps``.
    rules : sequence of str, optional
        Rules of "relp", as in ``RelevanceRules``.

    Returns
    -------
    xarray.DataArray of float64
        Dims (layer, head), or (layer, unit); attributes ``rule`` and ``metric``, its value.

    Raises
    ------
    ParameterError
        If an option is unknown, the site, the prompts or the reference do not fit, the model is in
        training mode, or the metric is not one finite number with a gradient.

    Notes
    -----
    One pass forward and one back per length of prompts, whatever the number of heads; "exact" takes
    a pass per head. With grouped queries each query head is a component of its own, as it should
    be: removing a shared key or value takes several at once.

    References
    ----------
    .. [1] H. Fartale, A. Kattamuri, R. Raja, A. Vats, I. Prasad and A. K. Moharir, "Disentangling
       recall and reasoning in transformer models through layer-wise attention and activation
       analysis", 2025.
    .. [2] F. Rezaei Jafari, O. Eberle, A. Khakzar and N. Nanda, "RelP: Faithful and efficient
       circuit discovery via relevance patching", 2025.

    Examples
    --------
    >>> import torch
    >>> from activome.networks import TinyGPT
    >>> network = TinyGPT(vocab=10, context=8, d_model=8, n_heads=2).eval()
    >>> scores = head_scores(network, torch.randint(10, (4, 6)), lambda y: y[:, 3].mean())
    >>> scores.dims, scores.shape
    (('layer', 'head'), (2, 2))
    """
    owner = "head_scores"
    check_choice(rule, RULES, name="rule", owner=owner)
    components = Components.of(owner, model, site, scheme)
    refuse_noise(model, owner)
    prompts = Prompts.of(owner, model, inputs, tokenizer)
    means = components.reference(reference, [prompts])
    if rule == "exact":
        found, value = _exact(components, prompts, metric, means)
    else:
        backward = RelevanceRules(model, rules, scheme=scheme) if rule == "relp" else nullcontext()
        found, value = _first_order(components, prompts, metric, means, backward)
    result = components.label(found)
    result.name = "score"
    return result.assign_attrs(rule=rule, metric=value)


def _first_order(
    components: Components,
    prompts: Prompts,
    metric: Callable[[Any], Any],
    means: xr.DataArray,
    backward: Any,
) -> tuple[np.ndarray[Any, Any], float]:
    met: list[tuple[int, int, Any]] = []  # pass, site, view

    def probe(part: int, site: int) -> Callable[[Any], Any]:
        def see(view: Any) -> Any:
            met.append((part, site, view if view.requires_grad else view.detach().requires_grad_()))
            return met[-1][2]

        return see

    with frozen(prompts.model), torch.enable_grad(), backward:
        pieces = []
        for i, part in enumerate(prompts.parts):
            edits = [Apply(site.label, probe(i, j)) for j, site in enumerate(components.sites)]
            with components.taps.edit(*edits):
                pieces.append(last_logits(prompts.model, part))
        value = _value(metric, prompts.in_order(pieces), components.owner)
        if not value.requires_grad:
            raise ParameterError(
                f"{components.owner}: metric must be differentiable by torch; its value has no "
                "gradient. Leave out argmax, detach and comparisons, or take rule='exact'."
            )
        views = [view for _, _, view in met]
        slopes = torch.autograd.grad(value, views, allow_unused=True)
    scores = np.zeros(means.shape[:2])
    for (i, j, view), slope in zip(met, slopes, strict=True):
        if slope is None:
            continue
        mean = torch.from_numpy(np.array(means.values[j])).to(view)
        effect = (mean - view.detach()) * slope
        mask = prompts.parts[i].kwargs.get("attention_mask")
        if mask is not None:
            effect = effect * mask.reshape(*mask.shape, *(1,) * (effect.ndim - 2))
        over = (0, 1, 3) if components.axis == "head" else (0, 1)
        scores[j] += effect.double().sum(over).cpu().numpy()
    return scores, float(value.detach())


def _exact(
    components: Components,
    prompts: Prompts,
    metric: Callable[[Any], Any],
    means: xr.DataArray,
) -> tuple[np.ndarray[Any, Any], float]:
    scores = np.zeros(means.shape[:2])
    with torch.no_grad():
        base = float(_value(metric, prompts.logits(), components.owner))
        for j, layer in enumerate(components.layers):
            for number in range(scores.shape[1]):
                with components.taps.edit(*components.removal([(layer, number)], means)):
                    value = _value(metric, prompts.logits(), components.owner)
                scores[j, number] = float(value) - base
    return scores, base


def _value(metric: Callable[[Any], Any], logits: Any, owner: str) -> Any:
    value = metric(logits)
    is_number = isinstance(value, torch.Tensor) and value.numel() == 1
    if not is_number or not bool(torch.isfinite(value.detach()).all()):
        shown = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise ParameterError(
            f"{owner}: metric must return one finite number as a tensor of torch; got "
            f"{float(value) if is_number else shown}. Average over the prompts inside it."
        )
    return value.reshape(())
