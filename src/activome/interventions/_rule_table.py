"""The table of backward rules: what to do with each class of module, and the rules themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from activome.errors import ParameterError

__all__ = ["FUNCTIONS", "Entry", "entry_of", "register"]

RuleFunction = Callable[[nn.Module, Any, Any], Any]
# Where an activation is nearly 0 / 0 its slope at 0 stands for the ratio.
_TINY = 1e-6
# By module, since it costs as much to find out as to normalise.
_OFFSETS: WeakKeyDictionary[nn.Module, float] = WeakKeyDictionary()


@dataclass(frozen=True)
class Entry:
    """What is done at modules of a class: which rule it belongs to, and the function of it.

    ``rule`` is "norm", "identity", or "linear" for modules whose plain gradient is right. From
    (module, input, output), ``function`` gives a tensor with the gradient of the rule, ``factor``
    the constant by which the module multiplies its input.
    """

    rule: str
    function: RuleFunction | None = None
    factor: RuleFunction | None = None


def rms_norm(module: nn.Module, value: Any, output: Any) -> Any:
    """Return the weight over the root mean square."""
    wide = value if value.dtype.itemsize >= 4 else value.float()
    eps = next(
        (getattr(module, n) for n in ("variance_epsilon", "eps") if getattr(module, n, None)), None
    )
    eps = torch.finfo(value.dtype).eps if eps is None else eps
    n_axes = len(getattr(module, "normalized_shape", (1,)))
    axes = tuple(range(-n_axes, 0))
    scale = torch.rsqrt(wide.square().mean(axes, keepdim=True) + eps)
    weight = getattr(module, "weight", None)
    if weight is None:
        weight = scale.new_ones(())
    offset = _OFFSETS.get(module)
    if offset is None:
        offset = _offset(module, wide * scale, weight.detach(), output)
    return scale * (weight + offset if offset else weight)


def _offset(module: nn.Module, scaled: Any, weight: Any, output: Any) -> float:
    """Return what is added to the weight of a norm: 0, or 1 where it is trained from 0 on."""
    size = float(output.abs().max())
    limit = max(1e-3, 4 * torch.finfo(output.dtype).eps) * size
    for offset in (0.0, 1.0):
        if float((scaled * (weight + offset) - output).abs().max()) <= limit:
            if size > 0:
                _OFFSETS[module] = offset
            return offset
    raise ParameterError(
        f"RelevanceRules: {type(module).__name__} is not x / rms(x), times its weight or one plus "
        "its weight. Give its rule with register_rule."
    )


def layer_norm(module: Any, value: Any, output: Any) -> Any:
    """Return the normalised value with its scale as a constant; the centring is kept."""
    axes = list(range(-len(module.normalized_shape), 0))
    centred = value - value.mean(axes, keepdim=True)
    spread = centred.pow(2).mean(axes, keepdim=True)
    found = centred * torch.rsqrt(spread + module.eps).detach()
    if module.weight is not None:
        found = found * module.weight
    return found if module.bias is None else found + module.bias


def identity(module: nn.Module, value: Any, output: Any) -> Any:
    """Return act(x) / x."""
    tiny = torch.full((1,), _TINY, dtype=value.dtype, device=value.device)
    at_zero = type(module).forward(module, tiny)
    is_tiny = value.abs() < _TINY
    return torch.where(is_tiny, at_zero / _TINY, output / value.masked_fill(is_tiny, 1.0))


def silu(module: nn.Module, value: Any, output: Any) -> Any:
    """Return sigmoid(x), which is right at 0 too."""
    return torch.sigmoid(value)


_LINEAR = (
    "Linear", "Conv1D", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose*", "Embedding",
    "EmbeddingBag", "Identity", "LinearActivation", "Dropout*", "AlphaDropout", "Flatten",
    "Unflatten", "AvgPool*", "AdaptiveAvgPool*", "MaxPool*", "BatchNorm*", "ZeroPad*",
    "ReLU", "LeakyReLU", "PReLU", "*RotaryEmbedding", "Upsampl*", "PixelShuffle",
)  # fmt: skip
_IDENTITY = (
    "GELU", "Tanh", "Mish", "Hardswish", "GELUTanh", "PytorchGELUTanh", "GELUActivation",
    "NewGELUActivation", "FastGELUActivation", "QuickGELUActivation", "AccurateGELUActivation",
    "MishActivation", "ReLUSquaredActivation",
)  # fmt: skip
# Looked up by the exact name along the classes a module derives from, then by pattern.
TABLE: dict[str, Entry] = {
    **{name: Entry("linear") for name in _LINEAR},
    **{name: Entry("identity", factor=identity) for name in _IDENTITY},
    "SiLU": Entry("identity", factor=silu),
    "SiLUActivation": Entry("identity", factor=silu),
    "LayerNorm": Entry("norm", layer_norm),
    "*RMSNorm": Entry("norm", factor=rms_norm),
}
# Calls of these outside the modules above would escape the rules.
FUNCTIONS = {
    **dict.fromkeys(("layer_norm", "rms_norm", "group_norm", "instance_norm"), "norm"),
    **dict.fromkeys(
        ("silu", "gelu", "tanh", "sigmoid", "softplus", "elu", "celu", "selu", "mish", "hardswish",
         "hardtanh", "hardsigmoid", "logsigmoid"),
        "identity",
    ),
}  # fmt: skip


def entry_of(kind: type[nn.Module]) -> Entry | None:
    """Return the entry of a class of modules by its name and those of its bases, or None."""
    names = [cls.__name__ for cls in kind.__mro__ if cls not in (nn.Module, object)]
    for name in names:
        if name in TABLE:
            return TABLE[name]
    for name in names:
        for pattern, entry in TABLE.items():
            if "*" in pattern and fnmatchcase(name, pattern):
                return entry
    return None


def register(name: str, entry: Entry) -> None:
    """Put an entry for a class name, or a pattern with ``*``, in the table."""
    TABLE[name] = entry
