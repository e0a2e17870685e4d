"""Linear maps of a network: their sizes, whatever the layout of their weights."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["linear_shape", "norms_into"]


def linear_shape(module: nn.Module) -> tuple[int, int] | None:
    """Return (inputs, outputs) of a linear map, None for other modules."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if _is_transposed(module):
        weight: Any = module.weight
        return int(weight.shape[0]), int(weight.shape[1])
    return None


def norms_into(module: nn.Module) -> Any:
    """Return the norm of what each input of a linear map writes to its outputs."""
    weight: Any = module.weight
    return weight.detach().norm(dim=1 if _is_transposed(module) else 0)


def _is_transposed(module: nn.Module) -> bool:
    """Tell whether it is the map of GPT-2, which keeps (inputs, outputs)."""
    weight = getattr(module, "weight", None)
    return type(module).__name__ == "Conv1D" and isinstance(weight, nn.Parameter)
