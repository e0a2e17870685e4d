"""Arguments, exemptions and data of rows of the table of methods that would not fit into it."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["FIRST_SPIKES", "STDP_FEATURES", "SURROGATE_SNN"]

Row: TypeAlias = tuple[dict[str, Any], dict[str, str], dict[str, Any]]

_DRAWN = {"unit_permutation": "drawn weights belong to places, so training takes another path"}
_RANGE = {"check_positive_only_tag_during_fit": "the refusal names both ends of the range"}

STDP_FEATURES: Row = (
    {"n_features": 2, "duration": 5.0, "max_input": 64.0, "max_rate": 2000.0},
    {
        "boolean_input": "images without a bright pixel are refused, and its data have some",
        "check_estimators_dtypes": "images without a bright pixel are refused",
        "check_fit2d_1feature": "images without a bright pixel are refused",
        **_RANGE,
    },
    {"values": "count", "n_trials": 6, "n_times": 4},
)
SURROGATE_SNN: Row = (
    {"hidden": (8,), "n_steps": 4, "n_epochs": 6, "lr": 0.1},
    _DRAWN,
    {"n_times": 8},
)
FIRST_SPIKES: Row = (
    {"hidden": (4,), "n_epochs": 2, "max_input": 64.0},
    {
        "check_classifiers_train": "times of two inputs, without a third, do not part its blobs",
        **_DRAWN,
        **_RANGE,
    },
    {"values": "count", "n_times": 8},
)
