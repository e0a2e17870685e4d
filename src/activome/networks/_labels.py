"""Labels as classifiers take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from activome.errors import ActivityError

__all__ = ["encode_labels"]

Array = np.ndarray[Any, Any]


def encode_labels(target: Any, owner: str) -> tuple[Array, Array]:
    """Return the classes in order, and the place of each label among them.

    Raises
    ------
    ActivityError
        If labels are not finite, are no classes, or are all the same.
    """
    try:
        labels = column_or_1d(target, warn=True)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
    except ValueError as error:
        raise ActivityError(f"{owner}: {error}") from error
    classes, codes = np.unique(labels, return_inverse=True)
    if classes.size < 2:
        raise ActivityError(f"{owner}: there must be at least two classes; got 1 class.")
    return classes, codes
