"""Pooling: one code for each trial, from the codes of its samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from activome._checks import check_choice, check_finite, check_integer
from activome.activity.schema import Activity
from activome.activity.stacking import to_samples
from activome.errors import ActivityError, ParameterError

__all__ = ["pooled_codes"]

Array = np.ndarray[Any, Any]


def pooled_codes(
    activity: Activity, encoder: Any = None, *, k: int | None = None, pool: str = "mean"
) -> Any:
    """Return one code for each trial: that of its samples, pooled over time.

    Parameters
    ----------
    activity : xarray.DataArray
        An Activity with trials, such as (trial, time, unit); samples outside ``valid`` are left
        out. Tokens of a text are the times of one trial.
    encoder : object, optional
        A fitted method with ``sparse_code`` (such as ``SparseAutoencoder``) or ``transform`` (such
        as ``SemiNMF``); by default the activity itself is pooled.
    k : int, optional
        Active components per sample, for an encoder whose ``sparse_code`` takes it.
    pool : {"mean", "max"}, default="mean"
        How samples of a trial are pooled. With a mean the number of samples does not count.

    Returns
    -------
    scipy.sparse.csr_array or ndarray, shape (n_trials, n_components)
        Sparse where the encoder has ``sparse_code``.

    Raises
    ------
    ActivityError
        If there are no trials, one has no valid sample, or values are not finite.
    ParameterError
        If ``pool`` is unknown, ``k`` is not positive, or is given with an encoder that has no
        ``sparse_code``.

    Examples
    --------
    >>> import numpy as np
    >>> from activome.activity import make
    >>> activity = make(np.array([[[0.0, 2.0], [4.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]]]))
    >>> pooled_codes(activity).tolist(), pooled_codes(activity, pool="max").tolist()
    ([[2.0, 2.0], [1.0, 1.0]], [[4.0, 2.0], [1.0, 1.0]])
    """
    owner = "pooled_codes"
    check_choice(pool, ("mean", "max"), name="pool", owner=owner)
    is_sparse = hasattr(encoder, "sparse_code")
    if k is not None:
        check_integer(k, name="k", owner=owner, low=1)
        if not is_sparse:
            raise ParameterError(
                f"{owner}: k goes with an encoder that has sparse_code, such as "
                f"SparseAutoencoder; got {type(encoder).__name__}."
            )
    values, index = to_samples(activity, owner=owner)
    owners, n_trials = _trials_of(index, owner)
    if is_sparse:
        codes = encoder.sparse_code(values, **({} if k is None else {"k": k}))
        return _pooled_sparse(codes, owners, n_trials, pool)
    codes = np.asarray(values if encoder is None else encoder.transform(values))
    check_finite(codes, owner=owner, axes=("sample", "component"))
    starts = np.searchsorted(owners, np.arange(n_trials))
    if pool == "max":
        return np.maximum.reduceat(codes, starts, axis=0)
    kind = codes.dtype if codes.dtype.kind == "f" else np.dtype(np.float64)
    counts = np.bincount(owners, minlength=n_trials)[:, np.newaxis]
    return (np.add.reduceat(codes, starts, axis=0, dtype=np.float64) / counts).astype(kind)


def _trials_of(index: Any, owner: str) -> tuple[Array, int]:
    """Return the number of the trial of each row, in rising order."""
    if "trial" not in index.frame.dims:
        raise ActivityError(
            f"{owner}: the activity must have the dim trial; got {index.frame.dims}. Cut it with "
            "cut_trials."
        )
    n_trials = int(index.frame.sizes["trial"])
    if index.mask is None:
        n_samples = index.frame.size // n_trials if n_trials else 0
        owners = np.repeat(np.arange(n_trials), n_samples)
    else:
        owners = np.nonzero(index.mask)[0]
    counts = np.bincount(owners, minlength=n_trials)
    if n_trials == 0 or not counts.all():
        place = f"trial {int(np.argmin(counts))} has none" if n_trials else "there is no trial"
        raise ActivityError(
            f"{owner}: every trial must have a valid sample; {place}. Leave it out."
        )
    return owners, n_trials


def _pooled_sparse(codes: Any, owners: Array, n_trials: int, pool: str) -> Any:
    n_rows, n_components = codes.shape
    if pool == "mean":
        counts = np.bincount(owners, minlength=n_trials)
        starts = np.concatenate([[0], np.cumsum(counts)])
        share = (1.0 / counts)[owners]
        averaging = sparse.csr_array((share, np.arange(n_rows), starts), shape=(n_trials, n_rows))
        pooled = sparse.csr_array(averaging @ codes).astype(codes.dtype)
    else:
        rows = np.repeat(owners, np.diff(codes.indptr))
        places = rows * n_components + codes.indices
        order = np.argsort(places, kind="stable")
        found, first = np.unique(places[order], return_index=True)
        highest = np.maximum.reduceat(codes.data[order], first) if found.size else codes.data[:0]
        cells = np.divmod(found, n_components)
        pooled = sparse.csr_array((highest, cells), shape=(n_trials, n_components))
    pooled.sort_indices()
    return pooled
