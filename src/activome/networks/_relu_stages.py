"""Networks of rectifiers taken apart: linear maps up to each rectifier, and their scales."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from activome._checks import check_finite
from activome.activity.stacking import SampleIndex, to_samples
from activome.errors import ActivityError, ParameterError
from activome.networks._step_inputs import check_unit_interval

__all__ = ["Stage", "calibrate", "read_samples", "rescale", "stages_of"]

Array = np.ndarray[Any, Any]
_OWNER = "convert_relu"
_SHAPES = (nn.Flatten, nn.Unflatten, nn.AvgPool2d)
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass
class Stage:
    """Linear maps between two layers of cells.

    Attributes
    ----------
    maps : torch.nn.Sequential
        Linear, convolution, pooling and reshaping.
    name : str
        Place of the last of them in the network.
    is_rectified : bool
        Whether a rectifier follows; false for logits.
    """

    maps: nn.Sequential
    name: str
    is_rectified: bool


def stages_of(module: nn.Sequential) -> list[Stage]:
    """Take a network apart at its rectifiers; batch norm is folded into the map before it.

    Raises
    ------
    ParameterError
        If a layer has no spiking form, which is said by its place and kind.
    """
    stages: list[Stage] = []
    maps: list[nn.Module] = []
    last = ""
    for name, part in _flat(module):
        if isinstance(part, nn.ReLU):
            stages.append(Stage(nn.Sequential(*maps), last or name, is_rectified=True))
            maps = []
        elif isinstance(part, _NORMS):
            maps[-1:] = [_folded(maps[-1] if maps else None, name, part)]
        elif isinstance(part, (nn.Linear, nn.Conv2d, *_SHAPES)):
            maps.append(copy.deepcopy(part).eval())
        elif not isinstance(part, _NOTHING):
            raise ParameterError(
                f"{_OWNER}: layer {name!r}, a {type(part).__name__}, has no spiking form. Linear, "
                f"Conv2d, AvgPool2d, ReLU, Flatten, Unflatten and Dropout have one.{_cure(part)}"
            )
        last = name
    if any(isinstance(part, (nn.Linear, nn.Conv2d, nn.AvgPool2d)) for part in maps) or not stages:
        stages.append(Stage(nn.Sequential(*maps), last, is_rectified=False))
    elif maps:
        # Reshaping behind the last rectifier moves no charge.
        stages[-1].maps.extend(maps)
    if not any(isinstance(p, (nn.Linear, nn.Conv2d)) for s in stages for p in s.maps):
        raise ParameterError(f"{_OWNER}: the network has no Linear or Conv2d.")
    return stages


def _flat(module: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, part in module.named_children():
        if isinstance(part, nn.Sequential):
            yield from _flat(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def _cure(part: nn.Module) -> str:
    if isinstance(part, (nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool2d)):
        return " A maximum of rates is no rate of a sum: train with AvgPool2d instead."
    return ""


def _folded(before: nn.Module | None, name: str, norm: Any) -> nn.Module:
    kind = type(norm).__name__
    if norm.running_mean is None:
        raise ParameterError(
            f"{_OWNER}: layer {name!r}, a {kind}, keeps no running statistics, and so cannot be "
            "folded into the layer before it. Train it with track_running_stats=True."
        )
    norm = copy.deepcopy(norm).eval()
    if isinstance(before, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
        return fuse_linear_bn_eval(before, norm)
    if isinstance(before, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        return fuse_conv_bn_eval(before, norm)
    raise ParameterError(
        f"{_OWNER}: layer {name!r}, a {kind}, can be folded only into the Linear or Conv2d right "
        f"before it; there is {'nothing' if before is None else type(before).__name__}. Move it "
        "there."
    )


def calibrate(
    stages: Sequence[Stage], samples: Tensor, percentile: float
) -> tuple[list[float], list[float]]:
    """Return the scale of every stage, and the share of its activations that are above.

    Raises
    ------
    ParameterError
        If activations are not finite.
    ActivityError
        If the scale of a rectified stage is 0.
    """
    scales, above = [], []
    for stage in stages:
        with torch.no_grad():
            samples = stage.maps(samples)
        if stage.is_rectified:
            samples = samples.clamp(min=0.0)
        if not bool(samples.isfinite().all()):
            raise ParameterError(
                f"{_OWNER}: activations must be finite; some of the layer at {stage.name!r} are "
                "NaN or infinite. Mend its weights, or those of a layer before it."
            )
        values = samples.clamp(min=0.0).double().numpy(force=True).ravel()
        scale = float(np.percentile(values, percentile))
        if scale <= 0 and stage.is_rectified:
            most = float(values.max())
            fault = (
                "are all 0: its cells would never fire. Calibrate with samples like those of the "
                "training"
                if most == 0
                else f"reach {most:g}, but their percentile {percentile:g} is 0. Raise percentile"
            )
            raise ActivityError(
                f"{_OWNER}: activations of the layer at {stage.name!r} over X_calibration {fault}."
            )
        if scale <= 0:
            # Logits below zero never fire; their voltages decide, in whatever unit.
            scale = (
                float(np.percentile(samples.abs().double().numpy(force=True), percentile)) or 1.0
            )
        scales.append(scale)
        above.append(float((values > scale).mean()))
    return scales, above


def rescale(stage: Stage, before: float, after: float) -> None:
    """Change the maps of a stage in place so that rates of scale take the place of activations."""
    weighted = [m for m in stage.maps if isinstance(m, (nn.Linear, nn.Conv2d))]
    with torch.no_grad():
        for part in weighted:
            if part.bias is not None:
                part.bias /= after
        if weighted:
            weighted[0].weight *= before / after
        else:
            stage.maps.append(_Gain(before / after))


class _Gain(nn.Module):
    """Multiply, where no weight can take the factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Return ``factor x``."""
        return self.factor * x


def read_samples(X: Any, owner: str, encoding: str) -> tuple[Array, SampleIndex | None]:
    """Return samples as float64, and where they came from if they have labels.

    Raises
    ------
    ActivityError
        If they are no numbers, not finite, or outside [0, 1] where spikes code them.
    """
    index = None
    if isinstance(X, xr.DataArray):
        values, index = to_samples(X, owner=owner)
    else:
        values = np.asarray(X)
    if values.ndim < 2 or values.dtype.kind not in "biuf" or not values.size:
        raise ActivityError(
            f"{owner}: samples must be numbers of shape (n_samples, n_units) or (n_samples, ...), "
            f"at least one; got {values.dtype} of shape {values.shape}."
        )
    values = values.astype(np.float64)
    axes = ("sample", *(f"axis {k}" for k in range(1, values.ndim)))
    check_finite(values, owner=owner, axes=axes, what="samples", cure="Drop them.")
    if encoding != "current":
        check_unit_interval(values, owner=owner)
    return values, index
