"""What bricks are made of: the modules that names stand for, their sizes, and fresh weights."""

from __future__ import annotations

import fnmatch
import hashlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from activome.errors import ParameterError
from activome.networks._linear_maps import linear_shape

__all__ = [
    "Paths",
    "ends",
    "fingerprint",
    "like",
    "linear_of",
    "matching",
    "require_linear",
    "uniform",
]

Paths = str | Sequence[str]


def fingerprint(model: nn.Module, paths: Sequence[str]) -> str:
    """Return a checksum of the weights of some modules of a network."""
    digest = hashlib.sha256()
    for path in paths:
        for name, value in model.get_submodule(path).named_parameters():
            digest.update(f"{path}.{name} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


def matching(model: nn.Module, paths: Paths, owner: str) -> tuple[str, ...]:
    patterns = [paths] if isinstance(paths, str) else list(paths)
    names = [name for name, _ in model.named_modules() if name]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ParameterError(
                f"{owner}: {pattern!r} matches no module of {type(model).__name__}; its modules "
                f"are {', '.join(names[:6])}, ..."
            )
    if not patterns:
        raise ParameterError(f"{owner}: give at least one path.")
    return tuple(n for n in names if any(fnmatch.fnmatch(n, pattern) for pattern in patterns))


def linear_paths(model: nn.Module, paths: Paths, owner: str) -> tuple[str, ...]:
    """Return the modules of paths, and of patterns those that are linear maps."""
    exact = {paths} if isinstance(paths, str) else set(paths)
    found = matching(model, paths, owner)
    kept = tuple(path for path in found if path in exact or linear_shape(model.get_submodule(path)))
    if not kept:
        raise ParameterError(f"{owner}: {sorted(exact)} must match a linear map; it matches none.")
    return kept


def require_linear(model: nn.Module, path: str, owner: str) -> tuple[int, int]:
    module = model.get_submodule(path)
    shape = linear_shape(module)
    if shape is None:
        raise ParameterError(
            f"{owner}: {path!r} must be a linear map; it is a {type(module).__name__}."
        )
    return shape


def ends(model: nn.Module, path: str) -> tuple[int, int]:
    """Return the inputs of the first and the outputs of the last linear map of a module."""
    shapes = [linear_shape(part) for part in model.get_submodule(path).modules()]
    found = [shape for shape in shapes if shape is not None]
    if not found:
        raise ParameterError(f"AdapterBrick: {path!r} must hold a linear map; it holds none.")
    return found[0][0], found[-1][1]


def like(model: nn.Module, paths: Sequence[str]) -> dict[str, Any]:
    first = next(model.get_submodule(paths[0]).parameters())
    return {"dtype": first.dtype, "device": first.device}


def uniform(n: int, n_in: int, generator: torch.Generator, kind: dict[str, Any]) -> torch.Tensor:
    return ((2 * torch.rand(n, n_in, generator=generator) - 1) / math.sqrt(n_in)).to(**kind)


def linear_of(weight: torch.Tensor, bias: Any = None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.zeros_like(layer.bias) if bias is None else bias)
    return layer
