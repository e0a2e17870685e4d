"""The step of selection thresholds, for the rule and for loops over events."""

from __future__ import annotations

from typing import Any

import numpy as np

from activome._compile import kernel

__all__ = ["move_thresholds"]

Array = np.ndarray[Any, Any]


@kernel(inline=True)
def move_thresholds(thresholds: Array, winner: int, fall: float, rise: float) -> None:
    """Raise the winner's threshold; let all sink where the winner is -1."""
    if winner < 0:
        for k in range(thresholds.size):
            thresholds[k] -= fall
    else:
        thresholds[winner] += rise
