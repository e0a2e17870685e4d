"""Dynamic functional connectome: which pairs work together, when, in which animals, in groups."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import xarray as xr
from scipy import linalg, optimize
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer, check_memory, check_number
from activome._random import RandomState, make_generator
from activome.activity.estimators import TrialTransformer
from activome.activity.stacking import SampleIndex
from activome.errors import ActivityError, ParameterError
from activome.graphs.affinity import signed_roots
from activome.patterns._affinity_motifs import find_motifs, keep_beyond_chance
from activome.patterns._affinity_rank import affinity_rank, affinity_tensor
from activome.patterns._tensor_kernels import khatri_rao
from activome.patterns.tensor import NonnegativeCP
from activome.patterns.tensor_rank import agreement_of_starts

__all__ = ["DynamicConnectome"]

Array = np.ndarray[Any, Any]
# The tensor, its copy while it is factorised, and the products.
_COPIES = 3


class DynamicConnectome(TrialTransformer):
    """Split the pairwise affinities of a population into motifs: pairs, times and animals.

    For every pair of units and every instant an affinity is computed from the change of the two
    traces (see ``derivative_affinity``). The tensor (pair, time, trial) is written as a sum of
    non-negative components: which pairs, when, and in which trials. The pairs of each component are
    a weighted graph, whose communities a block model finds, their number by description length
    [1]_. They stand only where affinities depart more from the strengths of the single units than
    in units shifted in time by lags of their own: units that are merely livelier than others, and
    those of a component without groups, are of one community.

    A trial here is an animal, or a repeat of the same stimulus: the time course of a component is
    shared by all, so their clocks must mean the same. Recordings of spontaneous activity are given
    one by one, or laid end to end in time.

    Parameters
    ----------
    rank : int or "auto", default="auto"
        Number of components; "auto" takes the largest up to ``max_rank`` on which starts agree,
        which predicts held-out entries better than the rank below (see ``choose_rank``), and each
        step to which lowers the error by more than in units shifted in time by lags of their own.
    max_rank : int, default=6
        Most components that "auto" tries.
    smooth : float in [0, inf), default=2.0
        Standard deviation in samples of the Gaussian that smooths each trace.
    cut : {"otsu", "none"}, default="otsu"
        Whether the pairs below Otsu's cut of a component's loadings are no edges of its graph.
    assortative : bool, default=False
        As in ``WeightedBlockModel``.
    n_surrogates : int, default=39
        Shifted recordings per step of "auto", none of which may come near the data, and of the test
        of the communities: false ones are found in one of ``n_surrogates + 1`` recordings at most.
    n_init : int, default=4
        Random starts of each factorisation.
    max_iter : int, default=500
        Most sweeps of each.
    tol : float in (0, inf), default=1e-6
        Change of the relative error over ten sweeps at which it is done.
    random_state : int, numpy.random.Generator or None, default=None
        Seed.

    Attributes
    ----------
    rank_ : int
        Number of components.
    weights_ : ndarray of float64, shape (rank,)
        Size of each component, descending.
    pair_loadings_ : xarray.DataArray of float64, dims (component, pair)
        Non-negative, of length 1; labels ``first`` and ``second`` name the units.
    time_loadings_ : xarray.DataArray of float64, dims (component, time)
        Non-negative, of length 1.
    trial_loadings_ : xarray.DataArray of float64, dims (component, trial)
        Non-negative, of length 1.
    motifs_ : list of ndarray of int64, each (n_units,)
        Communities of each component, 0 the largest.
    strongest_ : ndarray of bool, shape (rank, n_units)
        Units of the community with the largest mean affinity within, of at least three units; none
        where there is no such community.
    description_gain_ : ndarray of float64, shape (rank,)
        What the communities save against one block, in nats; 0 where they do not stand.
    motif_p_value_ : float
        Of the communities, against shifted units; 1 where no component splits.
    error_ : float
        Relative squared error of the factorisation.
    p_values_ : list of float
        Of each step from rank 2 on that "auto" tested; empty where there was none.
    match_ : float
        Median factor match score between the starts; 1 for one start.

    Raises
    ------
    ParameterError
        If a parameter is outside its range, or a name is not of a unit.
    ActivityError
        If there are fewer than three units or samples, trials have unequal lengths, values are
        missing within a trace, a trace is constant, or a pair is seen in no trial.
    ResourceError
        If the tensor passes the memory limit.

    Notes
    -----
    A unit that was not recorded in a trial is NaN there throughout: its pairs are masked, not zero.
    The affinity, the cut and the choice of the rank are ours. ``transform`` gives the loadings of
    new trials, with pairs and times held. Cost ``n_pairs * n_times * n_trials * rank`` per sweep.

    References
    ----------
    .. [1] L. Dyballa, S. Lang, A. Haslund-Gourley, E. Yemini and S. W. Zucker, "Learning dynamic
       representations of the functional connectome in neurobiological networks", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> traces = rng.normal(size=(3, 8, 60))
    >>> traces[:, :4, :30] += 4 * rng.normal(size=(3, 1, 30))
    >>> model = DynamicConnectome(1, random_state=0).fit(traces)
    >>> model.strongest_[0].nonzero()[0].tolist()
    [0, 1, 2, 3]
    """

    _allow_missing: ClassVar[bool] = True
    _min_units: ClassVar[int] = 3

    def __init__(
        self,
        rank: int | str = "auto",
        max_rank: int = 6,
        *,
        smooth: float = 2.0,
        cut: str = "otsu",
        assortative: bool = False,
        n_surrogates: int = 39,
        n_init: int = 4,
        max_iter: int = 500,
        tol: float = 1e-6,
        random_state: RandomState = None,
    ) -> None:
        self.rank = rank
        self.max_rank = max_rank
        self.smooth = smooth
        self.cut = cut
        self.assortative = assortative
        self.n_surrogates = n_surrogates
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def _read(self, X: Any, *, reset: bool) -> tuple[Any, SampleIndex | None]:
        values, index = super()._read(X, reset=reset)
        owner = self._owner(reset)
        if index is not None and index.mask is not None and not index.mask.all():
            raise ActivityError(
                f"{owner}: trials must have equal lengths; {int((~index.mask).sum())} samples "
                "are not valid. Cut the trials to a common window."
            )
        if values.shape[1] < self._min_units:
            raise ActivityError(f"{owner}: needs at least three units; got {values.shape[1]}.")
        if reset:
            frame = None if index is None else index.frame
            self._axes = {dim: _labels(frame, dim) for dim in ("trial", "time")}
        elif values.shape[2] != self.time_loadings_.sizes["time"]:
            raise ActivityError(
                f"{owner}: trials must have the {self.time_loadings_.sizes['time']} samples of "
                f"fit; got {values.shape[2]}."
            )
        return values, index

    def _fit(self, values: Array) -> None:
        self._check_parameters()
        first, second = np.triu_indices(values.shape[1], 1)
        roots, tensor, known = self._tensor(values, "DynamicConnectome.fit")
        if not known.any(axis=(1, 2)).all():
            k = int(np.argmin(known.any(axis=(1, 2))))
            names = self._names()
            raise ActivityError(
                f"DynamicConnectome.fit: every pair of units must be recorded together in a trial; "
                f"{names[first[k]]} and {names[second[k]]} never are. Drop one of them."
            )
        generator = make_generator(self.random_state)
        mask = None if known.all() else known
        model = self._factorise(roots, tensor, mask, generator)
        self._name_loadings(model, first, second)
        self._find_motifs(model, roots, mask, generator)

    def _check_parameters(self) -> None:
        owner = "DynamicConnectome"
        if isinstance(self.rank, str):
            check_choice(self.rank, ("auto",), name="rank", owner=owner)
        else:
            check_integer(self.rank, name="rank", owner=owner, low=1)
        check_integer(self.max_rank, name="max_rank", owner=owner, low=1)
        check_integer(self.n_surrogates, name="n_surrogates", owner=owner, low=19)
        check_integer(self.n_init, name="n_init", owner=owner, low=1)
        check_number(self.smooth, name="smooth", owner=owner, low=0.0, include_low=True)
        check_choice(self.cut, ("otsu", "none"), name="cut", owner=owner)

    def _tensor(self, values: Array, owner: str) -> tuple[Array, Array, Array]:
        """Return roots, affinities (pair, time, trial), and which pairs are known in which."""
        n_trials, n_units, n_times = values.shape
        n_pairs = n_units * (n_units - 1) // 2
        check_memory(
            4.0 * _COPIES * n_pairs * n_times * n_trials,
            owner=owner,
            what=f"the affinities of {n_pairs} pairs",
            cure="Select units, or average neighbouring samples.",
        )
        series = np.moveaxis(values, 1, 2)
        roots = signed_roots(series, float(self.smooth), True, self._names(), owner=owner)
        tensor = affinity_tensor(roots)
        return roots, tensor, ~np.isnan(tensor[:, :1, :])

    def _names(self) -> Array:
        names = getattr(self, "unit_names_", None)
        return np.arange(self.n_features_in_) if names is None else np.asarray(names)

    def _factorise(
        self, roots: Array, tensor: Array, mask: Array | None, generator: np.random.Generator
    ) -> NonnegativeCP:
        options: dict[str, Any] = {
            "n_init": int(self.n_init),
            "max_iter": self.max_iter,
            "tol": self.tol,
        }
        self.p_values_: list[float] = []
        if isinstance(self.rank, str):
            options["n_init"] = max(2, options["n_init"])
            self.rank_, self.p_values_ = affinity_rank(
                roots, tensor, mask, int(self.max_rank), int(self.n_surrogates), generator, options
            )
        else:
            self.rank_ = int(self.rank)
        model = NonnegativeCP(self.rank_, random_state=generator, **options).fit(tensor, mask)
        self.weights_, self.error_ = model.weights_, model.error_
        self.match_ = agreement_of_starts(model)
        return model

    def _name_loadings(self, model: NonnegativeCP, first: Array, second: Array) -> None:
        names = self._names()
        pairs, times, trials = (factor.T for factor in model.factors_)
        self.pair_loadings_ = xr.DataArray(
            pairs,
            dims=("component", "pair"),
            coords={"first": ("pair", names[first]), "second": ("pair", names[second])},
        )
        self.time_loadings_, self.trial_loadings_ = (
            xr.DataArray(values, dims=("component", dim), coords={dim: self._axes[dim]})
            if self._axes[dim] is not None
            else xr.DataArray(values, dims=("component", dim))
            for dim, values in (("time", times), ("trial", trials))
        )
        del self._axes

    def _find_motifs(
        self,
        model: NonnegativeCP,
        roots: Array,
        mask: Array | None,
        generator: np.random.Generator,
    ) -> None:
        options: dict[str, Any] = {"cut": self.cut, "assortative": self.assortative}
        found = find_motifs(model, self.n_features_in_, generator=generator, **options)
        self.motif_p_value_ = 1.0
        if any(motif.is_split for motif in found):
            sweeps = {"max_iter": self.max_iter, "tol": self.tol}
            found, self.motif_p_value_ = keep_beyond_chance(
                found, roots, mask, int(self.n_surrogates), generator, options=sweeps, **options
            )
        self.motifs_ = [motif.labels for motif in found]
        self.strongest_ = np.stack([motif.strongest for motif in found])
        self.description_gain_ = np.array([motif.gain for motif in found])

    @property
    def components_(self) -> xr.Dataset:
        """Loadings of all modes, dims component, pair, time and trial."""
        return xr.Dataset(
            {
                "pair_loading": self.pair_loadings_,
                "time_loading": self.time_loadings_,
                "trial_loading": self.trial_loadings_,
                "weight": ("component", self.weights_),
            }
        )

    def affinity(self, component: int) -> xr.DataArray:
        """Return the pairs of a component as a matrix.

        Parameters
        ----------
        component : int
            Which component.

        Returns
        -------
        xarray.DataArray of float64, dims (unit, other)
            Symmetric, 0 on the diagonal.
        """
        check_is_fitted(self)
        owner = "DynamicConnectome.affinity"
        check_integer(component, name="component", owner=owner, low=0, high=self.rank_ - 1)
        names = self._names()
        matrix = np.zeros((names.size, names.size))
        matrix[np.triu_indices(names.size, 1)] = self.pair_loadings_.values[component]
        matrix += matrix.T
        return xr.DataArray(
            matrix, dims=("unit", "other"), coords={"unit": names, "other": names}
        )  # fmt: skip

    def affected_by(self, unit: Any, component: int) -> xr.DataArray:
        """Rank the units that a change of one unit should touch while a component is active.

        Parameters
        ----------
        unit : str or int
            Name of the unit, or its place where units have no names.
        component : int
            Which component.

        Returns
        -------
        xarray.DataArray of float64, dims (unit,)
            Affinity of every other unit with this one, the most affected first: those of its
            community, then the others, each by affinity; label ``together`` tells which is which.

        Raises
        ------
        ParameterError
            If no unit has the name, or there is no such component.
        """
        matrix = self.affinity(component)
        names = matrix["unit"].values
        place = np.flatnonzero(names == unit)
        if place.size != 1:
            raise ParameterError(
                f"DynamicConnectome.affected_by: unit must be one of the {names.size} of fit, such "
                f"as {names[0]!r}; got {unit!r}."
            )
        motif = self.motifs_[component]
        together = motif == motif[place[0]]
        values = matrix.values[place[0]]
        order = np.lexsort((-values, ~together))
        order = order[order != place[0]]
        return xr.DataArray(
            values[order],
            dims="unit",
            coords={"unit": names[order], "together": ("unit", together[order])},
        )

    def _transform(self, values: Array) -> Array:
        _, tensor, known = self._tensor(values, "DynamicConnectome.transform")
        pairs, times = self.pair_loadings_.values.T, self.time_loadings_.values.T
        time_basis, time_triangle = linalg.qr(times, mode="economic")
        out = np.zeros((values.shape[0], self.rank_))
        for w in range(len(out)):
            seen = known[:, 0, w]
            basis, triangle = linalg.qr(pairs[seen], mode="economic")
            # Orthogonal bases of both modes leave the least squares as it is, at few rows.
            folded = basis.T @ tensor[seen, :, w].astype(np.float64) @ time_basis
            out[w] = optimize.nnls(khatri_rao([triangle, time_triangle]), folded.ravel())[0]
        return out

    def _count_outputs(self) -> int:
        return self.rank_


def _labels(frame: Any, dim: str) -> Array | None:
    if frame is None or dim not in frame.dims or dim not in frame.coords:
        return None
    return np.asarray(frame[dim].values)
