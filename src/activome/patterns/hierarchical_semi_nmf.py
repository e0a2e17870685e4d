"""Features of features: a tower of semi-nonnegative factorisations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_integer
from activome._extras import require
from activome._random import RandomState, integer_seed
from activome.activity.estimators.sample import SampleTransformer
from activome.errors import ActivityError, ParameterError
from activome.patterns._semi_nmf_kernels import n_kept
from activome.patterns.semi_nmf import SemiNMF

__all__ = ["HierarchicalSemiNMF"]

Array = np.ndarray[Any, Any]


class HierarchicalSemiNMF(SampleTransformer):
    """Merge features step by step into fewer, broader ones.

    The first level factorises the activity, every further level the features of the level below:
    ``X ~ Y1 C1``, ``C1 ~ W1 C2``, ``C2 ~ W2 C3`` and so on. The non-negative ``W`` say which
    broad features a narrow one belongs to, so the levels form a tree [1]_: days of the week merge
    into a unit of time, ensembles into the population pattern that recruits them.

    Parameters
    ----------
    ranks : sequence of int, default=(400, 200, 100, 50)
        Number of features of each level, strictly falling.
    keep : float in (0, 1], default=0.01
        Share of units in each feature of each level.
    finetune : int, default=0
        Steps of joint fine-tuning of all levels by Adam at a rate of 1e-3; the paper takes 500.
        Needs the extra ``nets``.
    max_iter : int, default=2000
        Most iterations of each level.
    tol : float, default=1e-4
        Relative fall of the loss that counts as improvement.
    patience : int, default=100
        Iterations without improvement after which a level has converged.
    reg : float, default=1e-6
        Ridge of the solve for the features.
    init : {"random", "kmeans", "svd", "varimax"}, default="random"
        Start of each level, as in ``SemiNMF``.
    random_state : int, numpy.random.Generator or None, default=0
        Seed of the first level; each further level takes the next integer.

    Attributes
    ----------
    n_iter_ : int
        Iterations of the level that took most.
    levels_ : list of ndarray, shape (n_features_of_level, n_units)
        Features of each level, each of unit length (zero where a feature died).
    tree_ : list of ndarray, shape (n_features_of_level, n_features_of_next_level)
        Weight of each feature in those of the next level, at least 0; one table fewer than levels.
    parents_ : list of ndarray of int64, shape (n_features_of_level,)
        The next level's feature with the largest weight; -1 where all weights are 0.
    components_ : ndarray, shape (n_features_of_last_level, n_units)
        Features of the last level: ``transform`` codes with these.
    coef_ : ndarray, shape (n_samples, n_features_of_first_level)
        Coefficients of the training samples on the first level, at least 0.
    finetune_curve_ : ndarray of float64, shape (finetune,)
        Explained variance of the whole tower before each step of fine-tuning.

    Raises
    ------
    ParameterError
        If ``ranks`` is empty or does not fall, or a parameter is outside its range.
    ActivityError
        If the activity is not (n_samples, n_units), holds NaN or infinity, or has fewer samples or
        active units than the first rank; or if the features of a level use fewer units than the
        next level has features.
    MissingExtraError
        If ``finetune`` is positive and torch is not installed.

    See Also
    --------
    SemiNMF : One level.

    Notes
    -----
    Features are scaled to unit length before they are factorised further, so that a level merges
    what points the same way and not what is strong (our choice). Upper levels keep as many entries
    per feature as the first. Fine-tuning moves the coefficients, the weights and the last features
    together; the features between are then products, and no sparser than what they are made of. It
    holds the residual of all samples in memory.

    References
    ----------
    .. [1] O. Shafran, A. Geiger and M. Geva, "Decomposing MLP activations into interpretable
       features via semi-nonnegative matrix factorization", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> days = np.eye(6) + 2 * np.kron(np.eye(2), np.ones((3, 3)))
    >>> X = rng.exponential(size=(300, 6)) * (rng.random((300, 6)) < 0.2) @ days
    >>> tower = HierarchicalSemiNMF((4, 2), keep=1.0, tol=1e-3).fit(X)
    >>> [level.shape for level in tower.levels_], tower.tree_[0].shape
    ([(4, 6), (2, 6)], (4, 2))
    """

    _accept_sparse: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        ranks: Sequence[int] = (400, 200, 100, 50),
        keep: float = 0.01,
        *,
        finetune: int = 0,
        max_iter: int = 2000,
        tol: float = 1e-4,
        patience: int = 100,
        reg: float = 1e-6,
        init: str = "random",
        random_state: RandomState = 0,
    ) -> None:
        self.ranks = ranks
        self.keep = keep
        self.finetune = finetune
        self.max_iter = max_iter
        self.tol = tol
        self.patience = patience
        self.reg = reg
        self.init = init
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def codes(self, X: Any) -> list[Array]:
        """Return the coefficients of samples on every level.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            An Activity, or plain numbers.

        Returns
        -------
        list of ndarray, shape (n_samples, n_features_of_level)
            Coefficients on the features of ``levels_``, at least 0.
        """
        check_is_fitted(self)
        values, _ = self._read(X, reset=False)
        return self._codes(values)

    def _fit(self, values: Array) -> None:
        ranks = self._check_ranks()
        n_samples, n_units = values.shape
        n_silent = n_units - np.count_nonzero(values.any(axis=0))
        if ranks[0] > min(n_samples, n_units - n_silent):
            silent = f", of which {n_silent} are silent" if n_silent else ""
            raise ActivityError(
                "HierarchicalSemiNMF.fit: the first rank must be at most the number of samples and "
                f"of units; got {ranks[0]} for n_samples={n_samples} and n_features={n_units}"
                f"{silent}. Ask for fewer features."
            )
        seed = integer_seed(self.random_state)
        first = self._level(ranks[0], seed, self.keep).fit(values)
        features, length = _unit_rows(first.components_)
        self.levels_, self.tree_, self.coef_ = [features], [], first.coef_ * length
        self.n_iter_ = first.n_iter_
        n_keep = n_kept(self.keep, int(features.any(axis=0).sum()))
        for level, rank in enumerate(ranks[1:], start=1):
            is_used = self.levels_[-1].any(axis=0)
            n_used = int(is_used.sum())
            if rank > n_used:
                raise ActivityError(
                    f"HierarchicalSemiNMF.fit: the features of a level must use at least as many "
                    f"units as the next level has features; those of level {level} use {n_used} "
                    f"for a rank of {rank}. Raise keep, or ask for fewer features."
                )
            keep = min(1.0, n_keep / n_used)
            model = self._level(rank, seed + level, keep).fit(self.levels_[-1][:, is_used])
            self.n_iter_ = max(self.n_iter_, model.n_iter_)
            features, length = _unit_rows(model.components_)
            whole = np.zeros((rank, values.shape[1]), dtype=values.dtype)
            whole[:, is_used] = features
            self.levels_.append(whole)
            self.tree_.append(model.coef_ * length)
        self.finetune_curve_ = np.zeros(0)
        if self.finetune:
            self._finetune(values)
        self.components_ = self.levels_[-1]
        self.parents_ = [
            np.where(weights.any(axis=1), weights.argmax(axis=1), -1) for weights in self.tree_
        ]

    def _check_ranks(self) -> list[int]:
        owner = "HierarchicalSemiNMF"
        check_integer(self.finetune, name="finetune", owner=owner, low=0)
        if np.ndim(self.ranks) != 1 or not len(self.ranks):
            raise ParameterError(
                f"{owner}: ranks must hold at least one number of features; got {self.ranks!r}."
            )
        ranks = [check_integer(rank, name="ranks", owner=owner, low=1) for rank in self.ranks]
        if any(above >= below for below, above in itertools.pairwise(ranks)):
            raise ParameterError(
                f"{owner}: ranks must fall from level to level; got {tuple(ranks)}. Sort them, the "
                "largest first."
            )
        return ranks

    def _level(self, rank: int, seed: int, keep: float) -> SemiNMF:
        return SemiNMF(
            rank,
            keep,
            max_iter=self.max_iter,
            tol=self.tol,
            patience=self.patience,
            reg=self.reg,
            init=self.init,
            random_state=seed,
        )

    def _transform(self, values: Array) -> Array:
        return self._codes(values)[-1]

    def _codes(self, values: Array) -> list[Array]:
        first = self._level(self.levels_[0].shape[0], 0, 1.0)
        first.components_ = self.levels_[0]
        found = [first._transform(values)]
        for weights in self.tree_:
            found.append(found[-1] @ weights.astype(values.dtype))
        return found

    def _inverse_transform(self, values: Array) -> Array:
        if values.ndim != 2 or values.shape[1] != self.components_.shape[0]:
            raise ActivityError(
                "HierarchicalSemiNMF.inverse_transform: coefficients must be (n_samples, "
                f"{self.components_.shape[0]}); got shape {values.shape}."
            )
        return values @ self.components_

    def _finetune(self, values: Array) -> None:
        torch = require("torch", extra="nets", owner="HierarchicalSemiNMF")
        scale = float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
        data = torch.as_tensor(values / scale)
        dtype = data.dtype
        # Clipped after each step: a square root in place of the factor would stall at 0.
        chain = [self.coef_ / scale, *self.tree_, self.levels_[-1]]
        factors = [torch.tensor(np.array(f), dtype=dtype, requires_grad=True) for f in chain]
        support = torch.as_tensor(self.levels_[-1] != 0)
        optimiser = torch.optim.Adam(factors, lr=1e-3)
        energy = float((data**2).sum())
        curve, best, kept = [], -np.inf, chain
        for _ in range(int(self.finetune) + 1):
            optimiser.zero_grad()
            residual = ((data - _product(factors)) ** 2).sum()
            curve.append(1.0 - float(residual.detach()) / energy)
            if curve[-1] > best:
                best, kept = curve[-1], [f.detach().numpy().copy() for f in factors]
            (residual / data.numel()).backward()
            optimiser.step()
            with torch.no_grad():
                for factor in factors[:-1]:
                    factor.clamp_(min=0)
                factors[-1].mul_(support)
        self.finetune_curve_ = np.array(curve[:-1])
        self._split([kept[0] * scale, *kept[1:]])

    def _split(self, chain: list[Array]) -> None:
        """Work the features between out of the fine-tuned chain, each again of unit length."""
        levels = [chain[-1]]
        for weights in chain[-2:0:-1]:
            levels.insert(0, weights @ levels[0])
        scaled = [_unit_rows(level) for level in levels]
        lengths = [length for _, length in scaled]
        self.levels_ = [features for features, _ in scaled]
        self.coef_ = chain[0] * lengths[0]
        self.tree_ = [
            np.divide(
                weights * above,
                below[:, np.newaxis],
                out=np.zeros_like(weights),
                where=below[:, np.newaxis] > 0,
            )
            for weights, below, above in zip(chain[1:-1], lengths, lengths[1:], strict=False)
        ]


def _product(factors: Sequence[Any]) -> Any:
    # From the right: the features are few rows, the samples are many.
    result = factors[-1]
    for factor in reversed(factors[:-1]):
        result = factor @ result
    return result


def _unit_rows(features: Array) -> tuple[Array, Array]:
    length = np.linalg.norm(features, axis=1)
    unit = np.divide(
        features, length[:, np.newaxis], out=np.zeros_like(features), where=length[:, None] > 0
    )
    return unit, length
