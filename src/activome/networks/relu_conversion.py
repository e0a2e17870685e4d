"""From a trained network of rectifiers to one of integrate-and-fire cells."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, integer_seed
from activome.errors import ActivityError, ParameterError
from activome.networks._relu_stages import calibrate, read_samples, rescale, stages_of
from activome.networks.converted_snn import ConvertedSNN
from activome.networks.spiking.surrogate_gradient import ResetMode

__all__ = ["convert_relu"]


def convert_relu(
    module: nn.Sequential,
    X_calibration: Any,
    *,
    percentile: float = 99.9,
    n_steps: int = 32,
    reset: ResetMode = "subtract",
    encoding: Literal["current", "poisson"] = "current",
    classes: ArrayLike | None = None,
    random_state: RandomState = 0,
) -> ConvertedSNN:
    """Turn a trained network of rectifiers into a spiking one.

    Each layer is scaled by a high percentile of its activations over some samples, so that a rate
    of one spike per step stands for it: ``W <- W before / after`` and ``b <- b / after``. Every
    rectifier, and the output, becomes a layer of integrate-and-fire cells with threshold 1. With a
    constant current and reset by subtraction the rates of the first layer are those of the
    rectifiers, cut at 1, to within ``1 / n_steps``; deeper layers take longer to settle.

    Parameters
    ----------
    module : torch.nn.Sequential
        Linear, Conv2d, AvgPool2d, ReLU, Flatten, Unflatten and Dropout, in nested Sequentials too.
        Dropout is left out; batch norm right after a Linear or Conv2d is folded into it. The module
        itself stays as it is.
    X_calibration : xarray.DataArray or array-like, shape (n_samples, n_units) or (n_samples, ...)
        Samples of the training.
    percentile : float in (0, 100], default=99.9
        Of the activations of a layer, zeros included. The largest one, 100, may be an outlier that
        makes all rates small.
    n_steps : int, default=32
        Steps per sample.
    reset : {"subtract", "zero"}, default="subtract"
        Whether a spike lowers the voltage by 1, or sets it to 0, which loses charge.
    encoding : {"current", "poisson"}, default="current"
        The input as a constant current, or as spikes with chance x in every step, which needs x in
        [0, 1].
    classes : array-like, shape (n_outputs,), optional
        Labels of the outputs; by default their numbers.
    random_state : int, Generator or None, default=0
        Seed of input that is drawn: its spikes come from the seed and the sample alone, whichever
        others are shown.

    Returns
    -------
    ConvertedSNN
        The spiking network, with ``predict``, ``score``, ``spikes`` and ``operations``.

    Raises
    ------
    ActivityError
        If the samples are not finite, outside [0, 1] where spikes code them, or do not fit the
        module; or if a layer of rectifiers is silent for all of them.
    ParameterError
        If a layer has no spiking form, activations are not finite, or an option is outside its
        range.

    Notes
    -----
    Ties between outputs are decided by the voltage left over alone, however large it is; cells
    integrate in float64, so that a rate does not depend on the rounding of sums: our choices.

    References
    ----------
    .. [1] P. U. Diehl, D. Neil, J. Binas, M. Cook, S.-C. Liu and M. Pfeiffer, "Fast-classifying,
       high-accuracy spiking deep networks through weight and threshold balancing", 2015.
    .. [2] B. Rueckauer, I.-A. Lungu, Y. Hu, M. Pfeiffer and S.-C. Liu, "Conversion of
       continuous-valued deep networks to efficient event-driven networks for image
       classification", 2017.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    >>> _ = nn.init.ones_(network[0].weight)
    >>> spiking = convert_relu(network, [[1.0]], n_steps=10)
    >>> spiking.spikes([[0.3]])["output"].values[0, :, 0].astype(int).tolist()
    [0, 0, 0, 1, 0, 0, 1, 0, 0, 1]
    """
    owner = "convert_relu"
    if not isinstance(module, nn.Sequential):
        raise ParameterError(
            f"{owner}: module must be a torch.nn.Sequential; got {type(module).__name__}. Write it "
            "as one."
        )
    check_number(percentile, name="percentile", owner=owner, low=0.0, high=100.0, include_high=True)
    check_integer(n_steps, name="n_steps", owner=owner, low=1)
    check_choice(reset, ("subtract", "zero"), name="reset", owner=owner)
    check_choice(encoding, ("current", "poisson"), name="encoding", owner=owner)
    stages = stages_of(module)
    values, _ = read_samples(X_calibration, owner, encoding)
    like = next(module.parameters())
    samples = torch.from_numpy(values).to(like)
    try:
        scales, above = calibrate(stages, samples, percentile)
    except RuntimeError as error:
        raise ActivityError(
            f"{owner}: X_calibration must be samples that the module takes; shape "
            f"{tuple(samples.shape)} fails: {error}"
        ) from error
    for stage, before, after in zip(stages, [1.0, *scales[:-1]], scales, strict=True):
        rescale(stage, before, after)
    found = ConvertedSNN(
        stages, scales, above, n_steps=n_steps, reset=reset, encoding=encoding,
        classes=None if classes is None else np.asarray(classes), seed=integer_seed(random_state),
    )  # fmt: skip
    found._see(samples)
    found.eval().requires_grad_(False)
    return found
