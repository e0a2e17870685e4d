"""Semi-nonnegative matrix factorisation: signed activity as parts that are used or not used."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, make_generator
from activome.activity.estimators.sample import SampleTransformer
from activome.errors import ActivityError, ActivityWarning, ConvergenceWarning
from activome.patterns import _semi_nmf_kernels as kernels
from activome.patterns._semi_nmf_blocks import BlockwiseSemiNMF
from activome.patterns._semi_nmf_code import code
from activome.patterns._semi_nmf_fit import Course, Rules, advance, first_course, order_of_parts
from activome.patterns._semi_nmf_start import learn_start, start_coef, start_rows

__all__ = ["SemiNMF"]

Array = np.ndarray[Any, Any]
INITS = ("random", "kmeans", "svd", "varimax")
# Guards the division of the update, against the mean square of the data.
_EPS = 1e-6


class SemiNMF(BlockwiseSemiNMF, SampleTransformer):
    """Factorise signed activity into sparse signed features and non-negative coefficients.

    With samples as rows, ``X (n_samples, n_units)`` is approximated by ``Y C``: row ``k`` of ``C``
    is a feature, a signed combination of a few units that are active together; column ``k`` of
    ``Y >= 0`` says how much each sample uses it. Use it for MLP activations and for z-scored
    recordings, where plain NMF would have to throw the negative half of the data away.

    Alternates a least-squares solve for the features, of which only the largest entries are kept
    [1]_, with multiplicative updates of the coefficients [2]_.

    Parameters
    ----------
    n_components : int, default=100
        Number of parts, at most ``min(n_samples, n_units)``.
    keep : float in (0, 1], default=0.01
        Share of units in each feature: ``ceil(keep * n_units)`` entries are kept, silent units not
        counted. The default is for thousands of units; with a hundred take 0.1 to 1.
    max_iter : int, default=2000
        Most iterations.
    tol : float, default=1e-4
        Relative fall of the loss that counts as improvement. With 0 no warning is given when
        ``max_iter`` ends the fit.
    patience : int, default=100
        Iterations without improvement after which the fit has converged.
    reg : float, default=1e-6
        Ridge of the solve for the features, relative to coefficients of unit length.
    init : {"random", "kmeans", "svd", "varimax"}, default="random"
        Uniform coefficients; membership of k-means clusters; the positive half of each singular
        vector; or that of singular vectors rotated so that each is large in few samples, which
        finds parts that are rarely in use where the others end in a local optimum.
    random_state : int, numpy.random.Generator or None, default=0
        Seed of the start.

    Attributes
    ----------
    components_ : ndarray, shape (n_components, n_units)
        Features, in activity units, those that carry most energy first. Zero at silent units.
    coef_ : ndarray, shape (n_samples, n_components), or None
        Coefficients of the training samples, at least 0; None after a fit in blocks whose
        coefficients would take more than 256 MiB (``transform`` gives them).
    loss_curve_ : ndarray of float64, shape (n_iterations,)
        Sum of squared residuals after each iteration.
    n_iter_ : int
        Iterations done. The solution kept is that of the smallest loss.

    Raises
    ------
    ParameterError
        If a parameter is outside its range.
    ActivityError
        If the activity is not (n_samples, n_units), holds NaN or infinity or values whose squares
        overflow or underflow, has no unit that is ever active, has fewer samples or active
        units than ``n_components``, or has other units than in ``fit``.

    Warns
    -----
    ActivityWarning
        If units are zero in all samples; they are left out of the fit.
    ConvergenceWarning
        If ``max_iter`` ended the fit.

    See Also
    --------
    HierarchicalSemiNMF : Features of features.
    choose_n_components : How many parts a recording supports.

    Notes
    -----
    An iteration is two matrix products, ``4 n_samples n_units n_components`` operations, and reads
    the data once; held beside the data: three sets of coefficients. Sparse rows are taken as CSR;
    other forms are converted. With ``keep=1`` the loss never
    rises; with less it may, so the best solution is kept.

    Our choices: convergence is relative; the constant that guards the division is relative to the
    mean square of the data, so that volts and microvolts give the same parts; a component that
    died starts again from the sample that is reconstructed worst. Starts by k-means and by singular
    vectors look at 10,000 samples at most. The start by rotation [3]_ is ours: coefficients that
    are mostly zero are what varimax looks for, so that it begins near the parts.

    ``transform`` holds the features fixed and solves the non-negative least squares of each sample
    exactly: it reconstructs the training data at least as well as ``coef_``. The multiplicative
    updates head for the same answer, but may be some per cent of the loss away when they hardly
    move any more (our choice).

    A constant offset, or an attention sink, takes a component of its own and most of the energy:
    z-score the units, or leave the first token out.

    References
    ----------
    .. [1] O. Shafran, A. Geiger and M. Geva, "Decomposing MLP activations into interpretable
       features via semi-nonnegative matrix factorization", 2025.
    .. [2] C. Ding, T. Li and M. I. Jordan, "Convex and semi-nonnegative matrix factorizations",
       2010.
    .. [3] H. F. Kaiser, "The varimax criterion for analytic rotation in factor analysis", 1958.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> features = np.array([[1.0, -1.0, 0, 0, 0], [0, 0, 2.0, 1.0, -1.0]])
    >>> use = rng.exponential(size=(200, 2)) * (rng.random((200, 2)) < 0.3)
    >>> model = SemiNMF(n_components=2, keep=0.6, tol=0, max_iter=100).fit(use @ features)
    >>> np.round(np.abs(model.components_) > 0.1).astype(int).tolist()
    [[0, 0, 1, 1, 1], [1, 1, 0, 0, 0]]
    >>> round(model.score(use @ features), 3)
    1.0
    """

    _accept_sparse: ClassVar[tuple[str, ...]] = ("csr",)

    def __init__(
        self,
        n_components: int = 100,
        keep: float = 0.01,
        *,
        max_iter: int = 2000,
        tol: float = 1e-4,
        patience: int = 100,
        reg: float = 1e-6,
        init: str = "random",
        random_state: RandomState = 0,
    ) -> None:
        self.n_components = n_components
        self.keep = keep
        self.max_iter = max_iter
        self.tol = tol
        self.patience = patience
        self.reg = reg
        self.init = init
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def score(self, X: Any, y: Any = None) -> float:
        """Return the explained variance of activity under the features.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            An Activity, or plain numbers.
        y : None
            Ignored.

        Returns
        -------
        float
            ``1 - |X - Y C|^2 / |X|^2``: about zero, since the model has no offset; for z-scored
            units that is the usual share of variance. 0 for activity that is all zero.
        """
        check_is_fitted(self)
        values, _ = self._read(X, reset=False)
        coef = self._transform(values)
        features = self.components_.astype(values.dtype)
        energy = residual = 0.0
        for i in range(0, values.shape[0], 4096):
            dense = kernels.dense_rows(values[i : i + 4096])
            left = dense - coef[i : i + 4096] @ features
            energy += float(np.einsum("ij,ij->", dense, dense, dtype=np.float64))
            residual += float(np.einsum("ij,ij->", left, left, dtype=np.float64))
        return 1.0 - residual / energy if energy else 0.0

    def _fit(self, values: Any) -> None:
        seed = self._check_parameters()
        energy = kernels.unit_energy(values)
        is_active, rules = self._rules(values.shape[0], energy, values.dtype)
        picked = start_rows(values, seed)
        directions = learn_start(picked, self.n_components, self.init, seed)
        coef = start_coef(values, self.n_components, directions, self.init, seed, 0)
        active = values if is_active.all() else values[:, is_active]
        course = first_course(kernels.gather(active, coef), rules)
        # The best, the present and the next coefficients: a copy per improvement is saved.
        buffers = [coef, np.empty_like(coef), np.empty_like(coef)]
        now, best = 0, 0
        while not course.is_done:
            target = next(i for i in range(3) if i not in (now, best))
            sums = kernels.sweep(active, buffers[now], course.plan, buffers[target])
            course, now = advance(course, sums, rules), target
            if course.best_sweep == len(course.losses):
                best = now
        self._finish(course, rules, is_active, buffers[best], values.dtype)

    def _finish(
        self, course: Course, rules: Rules, is_active: Array, coef: Array | None, dtype: Any
    ) -> None:
        order = order_of_parts(course)
        self.components_ = np.zeros((self.n_components, is_active.size), dtype=dtype)
        if course.best_features is not None:
            self.components_[:, is_active] = course.best_features.T[order]
        self.coef_ = None if coef is None else np.ascontiguousarray(coef[:, order])
        self.loss_curve_ = np.array(course.losses)
        self.n_iter_ = len(course.losses)
        if not course.is_converged and self.tol > 0:
            tail = course.losses[-min(len(course.losses), 10) :]
            change = (tail[0] - tail[-1]) / max(tail[0], np.finfo(np.float64).tiny)
            warnings.warn(
                f"SemiNMF.fit: stopped at max_iter={self.max_iter}; over the last {len(tail)} "
                f"iterations the loss fell by {change:.2g}, which tol={self.tol:g} calls "
                "improvement. Raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _transform(self, values: Any) -> Array:
        features = np.ascontiguousarray(self.components_.T, dtype=values.dtype)
        return code(values, features)

    def _inverse_transform(self, values: Array) -> Array:
        if values.ndim != 2 or values.shape[1] != self.components_.shape[0]:
            raise ActivityError(
                "SemiNMF.inverse_transform: coefficients must be (n_samples, "
                f"{self.components_.shape[0]}); got shape {values.shape}."
            )
        return values @ self.components_

    def _check_parameters(self) -> int:
        owner = "SemiNMF"
        check_integer(self.n_components, name="n_components", owner=owner, low=1)
        check_number(self.keep, name="keep", owner=owner, low=0.0, high=1.0, include_high=True)
        check_integer(self.max_iter, name="max_iter", owner=owner, low=1)
        check_number(self.tol, name="tol", owner=owner, low=0.0, include_low=True, high=1.0)
        check_integer(self.patience, name="patience", owner=owner, low=1)
        check_number(self.reg, name="reg", owner=owner, low=0.0, include_low=True)
        check_choice(self.init, INITS, name="init", owner=owner)
        return int(make_generator(self.random_state).integers(2**31 - 1))

    def _rules(self, n_samples: int, energy: Array, dtype: Any) -> tuple[Array, Rules]:
        """Refuse what cannot be factorised, and say which units are left out."""
        total, limits = float(energy.sum()), np.finfo(dtype)
        # Products with features sum over units and samples, in the type of the data.
        if not total < 1e-3 * float(limits.max):
            raise ActivityError(
                "SemiNMF.fit: squares of the activity must be finite, and so their sums in "
                f"{limits.dtype}; they overflow, most for unit {int(energy.argmax())}. Divide the "
                "activity by its scale first."
            )
        is_active = energy > 0
        n_active, n_units = int(is_active.sum()), is_active.size
        if n_active == 0:
            raise ActivityError(
                f"SemiNMF.fit: some unit must be active; all {n_units} are zero in all "
                f"{n_samples} samples. Check the selection."
            )
        if self.n_components > min(n_samples, n_active):
            raise ActivityError(
                "SemiNMF.fit: n_components must be at most the number of samples and of active "
                f"units; got {self.n_components} for n_samples={n_samples} and n_features="
                f"{n_units}, of which {n_active} are active. Ask for fewer components."
            )
        if n_active < n_units:
            silent = np.flatnonzero(~is_active)
            warnings.warn(
                f"SemiNMF.fit: {silent.size} of {n_units} units are zero in all samples, the first "
                f"is unit {silent[0]}; they are left out, and zero in every feature.",
                ActivityWarning,
                stacklevel=4,
            )
        mean_square = total / (n_samples * n_active)
        if _EPS * mean_square < float(limits.tiny):
            raise ActivityError(
                f"SemiNMF.fit: squares of the activity must not underflow in {limits.dtype}; their "
                f"mean is {mean_square:.2g}. Divide the activity by its scale first."
            )
        return is_active, Rules(
            n_keep=kernels.n_kept(self.keep, n_active),
            reg=float(self.reg),
            tol=float(self.tol),
            max_iter=int(self.max_iter),
            patience=int(self.patience),
            energy=total,
            eps=_EPS * mean_square,
            resolution=float(limits.eps),
        )
