"""Instances by colour: voxels of one colour that touch are one object."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from sklearn.base import BaseEstimator
from sklearn.mixture import GaussianMixture
from sklearn.utils.validation import check_is_fitted

from activome._checks import check_choice, check_finite, check_integer, check_number
from activome._random import RandomState, integer_seed
from activome.errors import ActivityError

__all__ = ["ColourClustering"]

Array = np.ndarray[Any, Any]
_CHANNELS = 3
_FLOOR = 1e-4
_CONNECTIVITY = {"6": 1, "18": 2, "26": 3}


class ColourClustering(BaseEstimator):
    """Segment a multicolour volume: cluster the colours, then take connected pieces of each.

    A baseline for volumes in which every cell has a random colour. Voxels whose brightest channel
    is above the threshold are foreground; the directions of their colours are clustered by a
    Gaussian mixture whose size the Bayesian information criterion chooses; touching voxels of one
    cluster are an object.

    Parameters
    ----------
    threshold : float, default=0.18
        Least brightness of the brightest channel, in the unit of the image.
    max_components : int, default=8
        Most colours that are tried.
    min_size : int, default=200
        Objects of fewer voxels are left out.
    connectivity : {6, 18, 26}, default=26
        Neighbours of a voxel: by faces, also edges, also corners.
    max_samples : int, default=4000
        Voxels that the mixture is fitted to.
    random_state : int, Generator or None, default=None
        Seed of the voxels drawn and of the mixture's start.

    Attributes
    ----------
    mixture_ : sklearn.mixture.GaussianMixture
        The colours.
    n_components_ : int
        How many there are.
    bic_ : ndarray of float64, shape (n_tried,)
        Information criterion of 1, 2, ... colours.

    Raises
    ------
    ActivityError
        If the image is not (3, n_z, n_y, n_x), is not finite, or has too little foreground.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    Instances cannot overlap: where objects cross, a voxel goes to one of them. Mixture, threshold
    and sizes are our choice; the idea is that of clustering colours in [1]_.

    References
    ----------
    .. [1] B. Duan, L. A. Walker, D. H. Roossien, F. Y. Shen, D. Cai and Y. Yan, "Unsupervised
       neural tracing in densely labeled multispectral Brainbow images", 2021.

    Examples
    --------
    >>> from activome.samples import tubes
    >>> image, truth = tubes(3, shape=(16, 48, 48), n_steps=40, random_state=0)
    >>> found = ColourClustering(random_state=0).fit_predict(image)
    >>> len(found) >= 2
    True
    """

    def __init__(
        self,
        threshold: float = 0.18,
        *,
        max_components: int = 8,
        min_size: int = 200,
        connectivity: int = 26,
        max_samples: int = 4000,
        random_state: RandomState = None,
    ) -> None:
        self.threshold = threshold
        self.max_components = max_components
        self.min_size = min_size
        self.connectivity = connectivity
        self.max_samples = max_samples
        self.random_state = random_state

    def fit(self, image: ArrayLike, y: object = None) -> Self:
        """Find the colours of an image.

        Parameters
        ----------
        image : array-like of float, shape (3, n_z, n_y, n_x)
            Brightness of each channel.
        y : object, optional
            Ignored.

        Returns
        -------
        ColourClustering
            The fitted estimator.

        Raises
        ------
        ActivityError
            If the image is not (3, n_z, n_y, n_x), is not finite, or has too little foreground.
        ParameterError
            If a parameter is outside its range.
        """
        owner = "ColourClustering.fit"
        self._check_parameters(owner)
        colours = self._foreground(image, owner)[1]
        seed = integer_seed(self.random_state)
        rows = np.random.default_rng(seed).permutation(len(colours))[: self.max_samples]
        tried = [
            GaussianMixture(k, covariance_type="full", reg_covar=_FLOOR, random_state=seed).fit(
                colours[rows]
            )
            for k in range(1, min(self.max_components, rows.size // 2) + 1)
        ]
        self.bic_ = np.array([model.bic(colours[rows]) for model in tried])
        self.mixture_ = tried[int(self.bic_.argmin())]
        self.n_components_ = int(self.mixture_.n_components)
        return self

    def predict(self, image: ArrayLike) -> list[Array]:
        """Segment an image by the colours that were found.

        Parameters
        ----------
        image : array-like of float, shape (3, n_z, n_y, n_x)
            Brightness of each channel.

        Returns
        -------
        list of ndarray of int64, shape (n_voxels,)
            Flat indices of each object in a volume (n_z, n_y, n_x), colour by colour.

        Raises
        ------
        ActivityError
            If the image is not (3, n_z, n_y, n_x), is not finite, or has too little foreground.
        """
        check_is_fitted(self)
        inside, colours, size = self._foreground(image, "ColourClustering.predict")
        cluster = self.mixture_.predict(colours)
        near = ndimage.generate_binary_structure(3, _CONNECTIVITY[str(self.connectivity)])
        found: list[Array] = []
        for number in range(self.n_components_):
            volume = np.zeros(size, dtype=bool)
            volume.flat[inside[cluster == number]] = True
            pieces, _ = ndimage.label(volume, near)
            flat = np.flatnonzero(volume)
            labels = pieces.flat[flat]
            order = np.argsort(labels, kind="stable")
            parts = np.split(flat[order], np.flatnonzero(np.diff(labels[order])) + 1)
            found += [part for part in parts if part.size >= self.min_size]
        return found

    def fit_predict(self, image: ArrayLike, y: object = None) -> list[Array]:
        """Find the colours of an image and segment it by them.

        Parameters
        ----------
        image : array-like of float, shape (3, n_z, n_y, n_x)
            Brightness of each channel.
        y : object, optional
            Ignored.

        Returns
        -------
        list of ndarray of int64, shape (n_voxels,)
            Flat indices of each object.

        Raises
        ------
        ActivityError
            If the image is not (3, n_z, n_y, n_x), is not finite, or has too little foreground.
        ParameterError
            If a parameter is outside its range.
        """
        return self.fit(image).predict(image)

    def _check_parameters(self, owner: str) -> None:
        check_number(self.threshold, name="threshold", owner=owner, low=0.0, include_low=True)
        for name, low in (("max_components", 1), ("min_size", 1), ("max_samples", 4)):
            check_integer(getattr(self, name), name=name, owner=owner, low=low)
        check_choice(str(self.connectivity), _CONNECTIVITY, name="connectivity", owner=owner)

    def _foreground(self, image: ArrayLike, owner: str) -> tuple[Array, Array, tuple[int, ...]]:
        """Return flat indices of the bright voxels, the directions of their colours, the size."""
        values = np.asarray(image)
        if values.ndim != 4 or values.shape[0] != _CHANNELS or values.dtype.kind not in "uif":
            raise ActivityError(
                f"{owner}: an image must be (3, n_z, n_y, n_x), one volume per colour; got "
                f"{values.dtype} of shape {values.shape}. Move the axis of the colours to the "
                "front."
            )
        check_finite(values, owner=owner, axes=("channel", "z", "y", "x"), what="image")
        inside = np.flatnonzero(values.max(axis=0) > self.threshold)
        if inside.size < 4:
            raise ActivityError(
                f"{owner}: at least 4 voxels must be brighter than the threshold "
                f"{self.threshold:g}; {inside.size} are, and the brightest is "
                f"{float(values.max()) if values.size else 0.0:g}. Lower the threshold."
            )
        colours = values.reshape(_CHANNELS, -1)[:, inside].T.astype(np.float64)
        length = np.linalg.norm(colours, axis=1, keepdims=True)
        return inside, colours / length, values.shape[1:]
