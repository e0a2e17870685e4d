"""Non-negative tensor factorisation of two to four modes, with missing entries."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy import linalg, optimize
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_finite, check_integer, check_number
from activome._random import RandomState, spawn_generators
from activome.errors import ActivityError, ConvergenceWarning, ParameterError
from activome.patterns._tensor_kernels import Sweeper, khatri_rao, reconstruct

__all__ = ["NonnegativeCP"]

Array = np.ndarray[Any, Any]
_EVERY = 10


class NonnegativeCP(BaseEstimator):
    """Write a non-negative tensor as a sum of products of non-negative vectors, one per mode.

    ``X[i, j, k] ~ sum_r weight_r a_ir b_jr c_kr``: component r says which units, when, and in which
    trials or animals. Unlike the parts of a matrix those of a tensor are unique under mild
    conditions, up to their order.

    Parameters
    ----------
    rank : int, default=2
        Number of components.
    init : {"random", "nndsvd"}, default="random"
        Start: absolute normal numbers, or the positive parts of the leading singular vectors of
        each unfolding, which is one start whatever ``n_init``.
    n_init : int, default=4
        Random starts, of which the best is kept.
    max_iter : int, default=500
        Most sweeps over the modes.
    tol : float in (0, inf), default=1e-6
        Change of the relative squared error over ten sweeps at which a start is done.
    sparsity : float in [0, inf), default=0.0
        Penalty on the sum of all entries of all factors before they are normalised, in units of
        the root mean square of the tensor.
    random_state : int, numpy.random.Generator or None, default=None
        Seed.

    Attributes
    ----------
    factors_ : list of ndarray, each (n_k, rank)
        Columns of length 1, or zero for a component that was not needed.
    weights_ : ndarray of float64, shape (rank,)
        Size of each component, descending.
    error_ : float
        Squared error over the squared norm, on observed entries.
    n_iter_ : int
        Sweeps of the best start.
    history_ : ndarray of float64, shape (n_iter,)
        Relative squared error (with the penalty) after each sweep of the best start.
    errors_ : ndarray of float64, shape (n_starts,)
        ``error_`` of every start.
    starts_ : list of list of ndarray, each (n_k, rank)
        Factors of every start, for how far starts agree.
    dims_ : list of str
        Names of the modes, where the input had them.

    Raises
    ------
    ParameterError
        If a parameter is outside its range, or the rank is above what the two smallest modes allow.
    ActivityError
        If the tensor has not two to four modes, holds negative values, or NaN at observed entries;
        or if a slice of it is missing altogether.

    Notes
    -----
    Hierarchical alternating least squares [1]_: each column is the exact minimum given all others,
    so the error never rises. The tensor is folded into a matrix and read twice per sweep; modes
    on one side share the product (a dimension tree). Missing entries are imputed by the
    reconstruction before each product, which keeps the observed error from rising [2]_.
    Single precision input is worked on without a copy in double precision.

    References
    ----------
    .. [1] A. Cichocki and A.-H. Phan, "Fast local algorithms for large scale nonnegative matrix and
       tensor factorizations", 2009.
    .. [2] G. Tomasi and R. Bro, "PARAFAC and missing values", 2005.

    Examples
    --------
    >>> import numpy as np
    >>> a, b, c = np.eye(4)[:, :2], np.eye(5)[:, 1:3], np.array([[1.0, 2.0], [3.0, 1.0]])
    >>> model = NonnegativeCP(2, random_state=0).fit(np.einsum("ir,jr,kr->ijk", a, b, c))
    >>> model.weights_.round(3).tolist(), round(model.error_, 6)
    ([3.162, 2.236], 0.0)
    """

    def __init__(
        self,
        rank: int = 2,
        init: str = "random",
        *,
        n_init: int = 4,
        max_iter: int = 500,
        tol: float = 1e-6,
        sparsity: float = 0.0,
        random_state: RandomState = None,
    ) -> None:
        self.rank = rank
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.sparsity = sparsity
        self.random_state = random_state

    def fit(self, X: Any, mask: ArrayLike | None = None) -> Self:
        """Factorise a tensor.

        Parameters
        ----------
        X : xarray.DataArray or array-like of float, shape (n_1, ..., n_d)
            Non-negative; d from 2 to 4. Missing entries may hold anything.
        mask : array-like of bool, broadcastable to the shape of X, optional
            False where an entry is missing.

        Returns
        -------
        Self
            The fitted factorisation.

        Raises
        ------
        ParameterError
            If a parameter is outside its range, or the rank is too high for the sizes.
        ActivityError
            If the tensor or the mask does not hold what is asked for.
        """
        values, known = self._read(X, mask, "NonnegativeCP.fit")
        self._check_parameters(values.shape)
        self.dims_ = [str(dim) for dim in X.dims] if isinstance(X, xr.DataArray) else []
        observed = values if known is None else values[known]
        norm = float(np.sum(np.square(observed, dtype=np.float64)))
        scale = np.sqrt(norm / max(observed.size, 1))
        n_starts = 1 if self.init == "nndsvd" else int(self.n_init)
        best, self.errors_, self.starts_ = np.inf, np.zeros(n_starts), []
        for k, generator in enumerate(spawn_generators(self.random_state, n_starts)):
            sweeper = Sweeper(values, known, float(self.sparsity) * scale)
            factors = self._start(sweeper.matrix.reshape(values.shape), generator)
            history, is_done = self._descend(sweeper, factors, norm)
            factors, weights = _normalise(factors)
            self.starts_.append(factors)
            self.errors_[k] = _error(values, known, factors, weights, norm)
            if history[-1] < best:
                best = history[-1]
                self.factors_, self.weights_ = factors, weights
                self.history_, self.error_, converged = history, float(self.errors_[k]), is_done
        self.n_iter_ = len(self.history_)
        if not converged:
            warnings.warn(
                f"NonnegativeCP.fit: the error was still changing by more than {self.tol:g} over "
                f"{_EVERY} sweeps after {self.max_iter} sweeps. Raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def reconstruct(self) -> Array:
        """Return the tensor that the components sum to.

        Returns
        -------
        ndarray of float64, shape (n_1, ..., n_d)
            Defined at missing entries too.
        """
        check_is_fitted(self)
        return reconstruct(self.factors_, self.weights_)

    def transform(self, X: Any, mode: int = 0) -> Array:
        """Find the loadings of new entries of one mode, the other factors held.

        Parameters
        ----------
        X : xarray.DataArray or array-like of float, shape (n_1, ..., n_d)
            Non-negative and whole; of the size of ``fit`` in all modes but ``mode``.
        mode : int, default=0
            The mode whose entries are new.

        Returns
        -------
        ndarray of float64, shape (n_mode, rank)
            Non-negative least squares solution; for the data of ``fit`` about
            ``factors_[mode] * weights_``.

        Raises
        ------
        ActivityError
            If the other modes have other sizes than in ``fit``.
        """
        check_is_fitted(self)
        owner = "NonnegativeCP.transform"
        check_integer(mode, name="mode", owner=owner, low=0, high=len(self.factors_) - 1)
        values, _ = self._read(X, None, owner)
        rest = [factor for k, factor in enumerate(self.factors_) if k != mode]
        moved = np.moveaxis(values, mode, 0)
        if moved.shape[1:] != tuple(len(factor) for factor in rest):
            raise ActivityError(
                f"{owner}: all modes but {mode} must have the sizes of fit, "
                f"{tuple(len(f) for f in self.factors_)}; got {values.shape}."
            )
        matrix = khatri_rao(rest)
        # An orthogonal basis of the columns leaves the problem as it is, at rank rows.
        basis, triangle = linalg.qr(matrix, mode="economic")
        products = moved.reshape(len(moved), -1).astype(np.float64) @ basis
        return np.stack([optimize.nnls(triangle, row)[0] for row in products])

    def _check_parameters(self, shape: tuple[int, ...]) -> None:
        owner = "NonnegativeCP"
        check_integer(self.rank, name="rank", owner=owner, low=1)
        check_choice(self.init, ("random", "nndsvd"), name="init", owner=owner)
        check_integer(self.n_init, name="n_init", owner=owner, low=1)
        check_integer(self.max_iter, name="max_iter", owner=owner, low=1)
        check_number(self.tol, name="tol", owner=owner, low=0.0)
        check_number(self.sparsity, name="sparsity", owner=owner, low=0.0, include_low=True)
        smallest = sorted(shape)[:2]
        if self.rank > smallest[0] * smallest[1]:
            raise ParameterError(
                f"{owner}: rank must be at most {smallest[0] * smallest[1]}, the product of the "
                f"two smallest of the sizes {shape}; got {self.rank}."
            )

    def _read(self, X: Any, mask: ArrayLike | None, owner: str) -> tuple[Array, Array | None]:
        values = np.asarray(X.values if isinstance(X, xr.DataArray) else X)
        if values.ndim not in (2, 3, 4) or values.size == 0 or values.dtype.kind not in "biuf":
            raise ActivityError(
                f"{owner}: the tensor must be real numbers with two to four modes, none empty; got "
                f"{values.dtype} of shape {values.shape}."
            )
        if values.dtype not in (np.float32, np.float64):
            values = values.astype(np.float64)
        known = None if mask is None else self._read_mask(mask, values.shape, owner)
        seen = values if known is None else np.where(known, values, 0)
        cure = "Give them as mask=False."
        axes = [f"mode {k} entry" for k in range(values.ndim)]
        check_finite(seen, owner=owner, axes=axes, what="the tensor", cure=cure)
        if seen.min() < 0:
            place = tuple(int(i) for i in np.unravel_index(int(seen.argmin()), seen.shape))
            raise ActivityError(
                f"{owner}: the tensor must not be negative; the smallest value is {seen.min():g}, "
                f"at {place}. Rectify it, or split positive and negative parts."
            )
        return seen, known

    def _read_mask(self, mask: ArrayLike, shape: tuple[int, ...], owner: str) -> Array:
        known = np.asarray(mask)
        try:
            known = np.broadcast_to(known, shape)
        except ValueError:
            known = np.empty(0)
        if known.dtype != np.bool_:
            raise ActivityError(
                f"{owner}: mask must be boolean and broadcast to the shape {shape}, False where an "
                f"entry is missing; got {np.asarray(mask).dtype} of shape {np.shape(mask)}."
            )
        for mode in range(len(shape)):
            rest = tuple(k for k in range(len(shape)) if k != mode)
            empty = np.flatnonzero(~known.any(axis=rest))
            if empty.size:
                raise ActivityError(
                    f"{owner}: every slice must have an observed entry; slice {int(empty[0])} of "
                    f"mode {mode} has none. Drop it."
                )
        return known

    def _start(self, values: Array, generator: np.random.Generator) -> list[Array]:
        rank = int(self.rank)
        if self.init == "random":
            return [np.abs(generator.standard_normal((n, rank))) for n in values.shape]
        factors = []
        for mode, n in enumerate(values.shape):
            flat = np.moveaxis(values, mode, 0).reshape(n, -1).astype(np.float64)
            _, vectors = linalg.eigh(flat @ flat.T)
            vectors = vectors[:, ::-1][:, :rank]
            # The sign with the larger positive part; entries of 0 would never come back.
            up, down = np.maximum(vectors, 0), np.maximum(-vectors, 0)
            larger = np.where((up**2).sum(axis=0) >= (down**2).sum(axis=0), up, down)
            extra = np.abs(generator.standard_normal((n, rank - larger.shape[1])))
            factor = np.column_stack([larger, extra / np.sqrt(n)])
            factors.append(np.maximum(factor, factor.mean() * 1e-2))
        return factors

    def _descend(self, sweeper: Sweeper, factors: list[Array], norm: float) -> tuple[Array, bool]:
        history: list[float] = []
        for n in range(int(self.max_iter)):
            history.append(2.0 * sweeper.sweep(factors) / (norm or 1.0))
            if n >= _EVERY and history[-1 - _EVERY] - history[-1] < self.tol:
                return np.array(history), True
        return np.array(history), False


def _normalise(factors: list[Array]) -> tuple[list[Array], Array]:
    lengths = [np.linalg.norm(factor, axis=0) for factor in factors]
    weights = np.prod(lengths, axis=0)
    order = np.argsort(-weights, kind="stable")
    unit = [
        np.divide(f, length, out=np.zeros_like(f), where=(length > 0) & (weights > 0))
        for f, length in zip(factors, lengths, strict=True)
    ]
    return [factor[:, order] for factor in unit], weights[order]


def _error(
    values: Array, known: Array | None, factors: list[Array], weights: Array, norm: float
) -> float:
    """Return the relative squared error, one slice of the first mode at a time."""
    if norm == 0:
        return 0.0
    rest = khatri_rao(factors[1:]).T
    total = 0.0
    for k, row in enumerate(factors[0] * weights):
        difference = values[k].reshape(-1) - row @ rest
        if known is not None:
            difference = difference[known[k].reshape(-1)]
        total += float(difference @ difference)
    return total / norm
