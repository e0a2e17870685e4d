"""Sparse autoencoders: an overcomplete dictionary of directions, few of them active at a time."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
import torch
import xarray as xr
from scipy import sparse
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_integer, check_memory, check_number
from activome._random import RandomState, make_generator
from activome.activity.blocks import BlockSource
from activome.activity.estimators import SampleTransformer
from activome.activity.stacking import SampleIndex
from activome.errors import ActivityError, ParameterError
from activome.networks.training import TrainConfig, Trainer
from activome.patterns._row_pool import RowPool
from activome.patterns._sparse_autoencoder_net import Autoencoder, Objective, ramp
from activome.patterns._sparse_autoencoder_start import STARTS, geometric_median

__all__ = ["SparseAutoencoder"]

Array = np.ndarray[Any, Any]
_CHUNK = 2048  # rows encoded at once
_SAMPLE = 10_000  # rows that centre, scale, start and final figures are taken from


class SparseAutoencoder(SampleTransformer):
    """Decompose activity into many directions, of which few are active in each sample.

    Each sample is written as ``x ~ z C + b`` with codes ``z >= 0``, of which at most ``k`` are not
    zero, and components of length 1; there may be many more components than units. The codes come
    from one linear map, ``z = TopK(E (x - b))``, so that encoding new activity is one product. It
    takes apart units of brains or networks that respond to several unrelated things.

    Parameters
    ----------
    n_components : int, default=512
        Number of directions.
    k : int, default=32
        Active components per sample with "topk".
    activation : {"topk", "relu"}, default="topk"
        "topk" keeps the ``k`` largest codes; "relu" has a threshold per component and a penalty on
        the sum of codes.
    l1_weight : float, default=0.05
        Penalty of "relu": its weight against the share of variance that is left, for rows scaled
        to a mean norm of 1.
    learning_rate : float, optional
        Peak rate of Adam; by default ``0.1 / sqrt(n_components)``.
    batch_size : int, default=256
        Samples per step; all where there are fewer.
    n_steps : int, default=1000
        Steps of the training.
    aux_weight : float, default=0.03125
        Weight of the loss that revives dead components: together they reconstruct what the others
        leave; 0 for none.
    n_aux : int, optional
        Dead components per sample that take part; by default half the units.
    dead_after : int, optional
        Samples without use after which a component counts as dead; by default
        ``30 n_components / k``, in which one of average use is active 30 times.
    start : {"samples", "random"}, default="samples"
        Where components start; random directions are better where samples are few for them.
    memory : int, default=268435456
        Bytes to work in while fitting data out of memory.
    random_state : int, numpy.random.Generator or None, default=None
        Seed of the start and of the order of the samples.

    Attributes
    ----------
    components_ : ndarray of float32, shape (n_components, n_units)
        Directions, of length 1.
    encoder_ : ndarray of float32, shape (n_components, n_units)
        What each code reads.
    encoder_bias_ : ndarray of float32, shape (n_components,)
        Thresholds with their sign changed; 0 with "topk".
    bias_ : ndarray of float32, shape (n_units,)
        Offset, taken off before encoding and added after decoding.
    firing_rate_ : ndarray of float64, shape (n_components,)
        Share of samples in which each component is active, of up to 10 000 samples of the fit.
    is_dead_ : ndarray of bool, shape (n_components,)
        Components that are active in none of these.
    explained_variance_ : float
        Share of the variance of these samples that the reconstruction explains.
    loss_curve_ : ndarray of float64, shape (n_logged,)
        Share of variance left in the batch at each logged step, every 2 % of the training.

    Raises
    ------
    ParameterError
        If a parameter is out of range, ``k`` is larger than ``n_components``, or an option is
        unknown.
    ActivityError
        If the activity is not (n_samples, n_units), is not finite, has another number of units
        than in ``fit``, or codes have another number of components.
    ResourceError
        If dense codes would pass the memory limit.

    Notes
    -----
    The start of ``b`` is the geometric median. A step costs one product of a batch with the
    encoder; decoding and gradients touch the active components alone. A lazy activity or a store is
    read in whole blocks, in random order, and rows are shuffled among those held, which are half of
    ``memory``; data that fit are shuffled whole, and give the same result as in memory.

    Our choice: samples as start, less the median; inputs scaled to a mean norm of 1; a rate that
    rises over the first 5 % of the steps and falls to zero over the last 30 %.

    References
    ----------
    .. [1] L. Gao, T. Dupre la Tour, H. Tillman, G. Goh, R. Troll, A. Radford, I. Sutskever,
       J. Leike and J. Wu, "Scaling and evaluating sparse autoencoders", 2024.
    .. [2] A. Makhzani and B. Frey, "k-sparse autoencoders", 2013.
    .. [3] T. Bricken et al., "Towards monosemanticity: decomposing language models with dictionary
       learning", 2023.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> planted = np.eye(8)[rng.integers(8, size=2000)] * rng.uniform(1, 2, (2000, 1))
    >>> model = SparseAutoencoder(8, k=1, n_steps=200, random_state=0).fit(planted)
    >>> model.explained_variance_ > 0.95, model.transform(planted).shape
    (True, (2000, 8))
    """

    _min_samples = 2

    def __init__(
        self,
        n_components: int = 512,
        k: int = 32,
        *,
        activation: str = "topk",
        l1_weight: float = 0.05,
        learning_rate: float | None = None,
        batch_size: int = 256,
        n_steps: int = 1000,
        aux_weight: float = 1 / 32,
        n_aux: int | None = None,
        dead_after: int | None = None,
        start: str = "samples",
        memory: int = 256 * 1024**2,
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.k = k
        self.activation = activation
        self.l1_weight = l1_weight
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.aux_weight = aux_weight
        self.n_aux = n_aux
        self.dead_after = dead_after
        self.start = start
        self.memory = memory
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that float32 stays float32."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the dictionary.

        Parameters
        ----------
        X : xarray.DataArray, array-like or path-like, shape (n_samples, n_units)
            An Activity, in memory or lazy; plain numbers; or the path of a store. What is not in
            memory is read in blocks.
        y : None
            Ignored.

        Returns
        -------
        Self
            The fitted estimator.

        Raises
        ------
        ActivityError
            If the activity is not finite, is empty, or has the wrong shape.
        ParameterError
            If a parameter is out of range.
        """
        is_lazy = isinstance(X, xr.DataArray) and X.chunks is not None
        if not (is_lazy or isinstance(X, (str, os.PathLike))):
            return super().fit(X, y)
        self._check_parameters()
        source = BlockSource(X, owner=self._owner(True), memory=max(1, self.memory // 2))
        if source.n_samples < self._min_samples:
            owner = self._owner(True)
            raise ActivityError(f"{owner}: needs at least two samples; got {source.n_samples}.")
        labels = {} if source.unit_names is None else {"unit": source.unit_names}
        index = SampleIndex(xr.DataArray(np.empty(0), dims="time"), None, labels, {})
        self._check_units(source.n_units, index, reset=True)
        self._train(source)
        return self

    def _fit(self, values: Array) -> None:
        self._check_parameters()
        self._train(BlockSource(values, owner=self._owner(True), block=len(values)))

    def _check_parameters(self) -> None:
        owner = type(self).__name__
        wanted = ("n_components", "k", "batch_size", "n_steps", "memory")
        optional = (name for name in ("n_aux", "dead_after") if getattr(self, name) is not None)
        for name in (*wanted, *optional):
            check_integer(getattr(self, name), name=name, owner=owner, low=1)
        for name in ("l1_weight", "aux_weight"):
            check_number(getattr(self, name), name=name, owner=owner, low=0.0, include_low=True)
        if self.learning_rate is not None:
            check_number(self.learning_rate, name="learning_rate", owner=owner, low=0.0)
        check_choice(self.activation, ("topk", "relu"), name="activation", owner=owner)
        check_choice(self.start, STARTS, name="start", owner=owner)
        if self.k > self.n_components:
            raise ParameterError(
                f"{owner}: k must be at most n_components; got {self.k} of {self.n_components}."
            )

    def _train(self, source: BlockSource) -> None:
        rng = make_generator(self.random_state)
        sample = source.sample(_SAMPLE, rng).astype(np.float64)
        centre = geometric_median(sample)
        rows = sample - centre
        scale = float(np.linalg.norm(rows, axis=1).mean()) or 1.0
        rows /= scale
        variance = float(rows.var(axis=0).sum()) or 1.0
        start = STARTS[self.start](rows, self.n_components, rng).astype(np.float32)
        k = self.k if self.activation == "topk" else None
        net = Autoencoder(torch.from_numpy(start), torch.zeros(source.n_units), k)
        objective = Objective(
            variance,
            self.l1_weight,
            self.aux_weight,
            min(self.n_components, self.n_aux or max(1, source.n_units // 2)),
            self.dead_after or 30 * self.n_components / self.k,
            torch.zeros(self.n_components, dtype=torch.int64),
        )
        rate = self.learning_rate or 0.1 / self.n_components**0.5
        config = TrainConfig(
            steps=self.n_steps,
            lr=rate,
            optimizer=lambda p: net.follow(torch.optim.Adam(p, lr=rate, fused=True)),
            schedule=ramp(self.n_steps),
            seed=int(rng.integers(2**31)),
            eval_at=max(1, self.n_steps // 50),
            threads=torch.get_num_threads(),
        )
        n_held = source.n_samples
        if source.n_blocks > 1:
            n_held = self.memory // 2 // (source.n_units * source.dtype.itemsize)
        batch_size = min(self.batch_size, source.n_samples)
        pool = RowPool(source, batch_size, n_held, centre, scale)
        log = Trainer(net, objective, config).fit(pool)
        self.components_: Array = net.decoder.detach().numpy()
        self.encoder_: Array = net.encoder.detach().numpy()
        self.encoder_bias_: Array = (
            np.zeros(self.n_components, dtype=np.float32)
            if net.encoder_bias is None
            else (scale * net.encoder_bias.detach().numpy()).astype(np.float32)
        )
        # With offset and thresholds in the units of the activity, its scale drops out of the rest.
        offset = centre + scale * net.bias.detach().numpy()
        self.bias_: Array = offset.astype(np.float32)
        self.loss_curve_: Array = log.dataset.unexplained.values
        self._summarise(sample)

    def _summarise(self, sample: Array) -> None:
        codes = self._codes(sample.astype(np.float32), None)
        self.firing_rate_: Array = np.bincount(codes.indices, minlength=self.n_components) / len(
            sample
        )
        self.is_dead_: Array = self.firing_rate_ == 0
        self.explained_variance_: float = self._explained(sample, codes)

    def _explained(self, values: Array, codes: Any) -> float:
        residual = 0.0
        for i in range(0, len(values), _CHUNK):
            back = codes[i : i + _CHUNK] @ self.components_ + self.bias_
            residual += float(np.square(values[i : i + _CHUNK] - back).sum(dtype=np.float64))
        total = float(np.square(values - values.mean(axis=0)).sum(dtype=np.float64))
        return 1.0 - residual / total if total else 0.0

    def score(self, X: Any, y: Any = None) -> float:
        """Return the share of variance that the reconstruction explains.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            An Activity, or plain numbers.
        y : None
            Ignored.

        Returns
        -------
        float
            ``1 - |X - X'|^2 / |X - mean|^2``; 0 for constant activity.
        """
        check_is_fitted(self)
        values, _ = self._read(X, reset=False)
        return self._explained(values, self._codes(values, None))

    def sparse_code(self, X: Any, *, k: int | None = None) -> Any:
        """Encode without writing the zeros.

        Parameters
        ----------
        X : xarray.DataArray or array-like, shape (n_samples, n_units)
            An Activity, stacked over trials and times (samples that are not valid are left out), or
            plain numbers.
        k : int, optional
            Active components per sample, if other than in the training; only with "topk".

        Returns
        -------
        scipy.sparse.csr_array, shape (n_samples, n_components)
            Codes, in the units of the activity.

        Raises
        ------
        ParameterError
            If ``k`` is not within 1 and ``n_components``, or is given with "relu".
        """
        check_is_fitted(self)
        if k is not None:
            check_integer(k, name="k", owner="sparse_code", low=1, high=self.n_components)
            if self.activation == "relu":
                raise ParameterError(
                    'sparse_code: k goes with activation="topk"; this model has thresholds.'
                )
        values, _ = self._read(X, reset=False)
        return self._codes(values, k)

    def to_torch(self) -> torch.nn.Module:
        """Return the autoencoder as a module, such as for ``Splice`` into a network.

        Returns
        -------
        torch.nn.Module
            From activity (..., n_units) to its reconstruction, in float32, with weights of its own.
        """
        check_is_fitted(self)
        return self._module(torch.float32)

    def _module(self, dtype: torch.dtype) -> Autoencoder:
        k = self.k if self.activation == "topk" else None
        decoder, bias = torch.tensor(self.components_), torch.tensor(self.bias_)
        net = Autoencoder(decoder, bias, k)
        with torch.no_grad():
            net.encoder.copy_(torch.tensor(self.encoder_))
            if net.encoder_bias is not None:
                net.encoder_bias.copy_(torch.tensor(self.encoder_bias_))
        net.to(dtype)
        return net

    def _codes(self, values: Array, k: int | None) -> Any:
        net = self._module(torch.float64 if values.dtype == np.float64 else torch.float32)
        parts = []
        with torch.no_grad():
            for i in range(0, len(values), _CHUNK):
                centred = torch.tensor(values[i : i + _CHUNK]) - net.bias
                if net.k is None:
                    parts.append(sparse.csr_array(net.drive(centred).relu().numpy()))
                    continue
                codes, places = (part.numpy() for part in net.chosen(centred, k or net.k))
                starts = np.arange(0, codes.size + 1, codes.shape[1])
                shape = (len(codes), self.n_components)
                parts.append(sparse.csr_array((codes.ravel(), places.ravel(), starts), shape=shape))
        found = sparse.csr_array(sparse.vstack(parts, format="csr"))
        found.eliminate_zeros()
        found.sort_indices()
        return found

    def _transform(self, values: Array) -> Array:
        check_memory(
            len(values) * self.n_components * values.dtype.itemsize,
            owner=f"{type(self).__name__}.transform",
            what="dense codes",
            cure="Use sparse_code, or encode fewer samples at a time.",
        )
        dense: Array = self._codes(values, None).toarray()
        return dense

    def _inverse_transform(self, codes: Array) -> Array:
        if codes.ndim != 2 or codes.shape[1] != self.n_components:
            raise ActivityError(
                f"{type(self).__name__}.inverse_transform: codes must be (n_samples, "
                f"{self.n_components}); got shape {codes.shape}."
            )
        back: Array = codes @ self.components_.astype(codes.dtype) + self.bias_.astype(codes.dtype)
        return back
