"""RDMs of 92 object images in the brains of people and a monkey, and of models, as shipped."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import xarray as xr

from activome.errors import ReadError

__all__ = ["load_rdm92"]

_PATH = Path(__file__).parent / "data" / "rdm92.npz"
_SHA256 = "d454efc3ce20a2eccaf755da4ab58399da2fdc5b4bb919a290885d1b0bbe08b3"


def load_rdm92() -> xr.Dataset:
    """Load RDMs over 92 object images: human and monkey inferior temporal cortex, and models.

    Returns
    -------
    xarray.Dataset
        Condensed dissimilarities as float32: "human" (rdm 8, pair 4186), correlation distances of
        fMRI patterns with labels "person" (4) and "session" (2); "monkey" (pair), correlation
        distances over 674 neurons; "models" (model 7, pair), two category models and five of image
        features. Coordinates "condition_a" and "condition_b" are image numbers from 0. "is_member"
        (image, category) says what each image shows.

    Raises
    ------
    ReadError
        If the shipped file is missing or damaged.

    References
    ----------
    .. [1] N. Kriegeskorte et al., "Matching categorical object representations in inferior
       temporal cortex of man and monkey", 2008.

    Examples
    --------
    >>> data = load_rdm92()
    >>> dict(data.sizes)
    {'rdm': 8, 'pair': 4186, 'model': 7, 'image': 92, 'category': 12}
    >>> data.person.values.tolist()
    ['BE', 'BE', 'KO', 'KO', 'SN', 'SN', 'TI', 'TI']
    """
    try:
        content = _PATH.read_bytes()
    except FileNotFoundError as error:
        raise ReadError(
            f"load_rdm92: {_PATH} must ship with the package; it is missing. Reinstall activome."
        ) from error
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise ReadError(
            f"load_rdm92: {_PATH} must have the checksum it was shipped with; it is damaged or was "
            "edited. Reinstall activome."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        data = {key: archive[key] for key in archive.files}
    first, second = np.triu_indices(len(data["is_member"]), 1)
    return xr.Dataset(
        {
            "human": (("rdm", "pair"), data["human"]),
            "monkey": ("pair", data["monkey"]),
            "models": (("model", "pair"), data["model"]),
            "is_member": (("image", "category"), data["is_member"]),
        },
        coords={
            "person": ("rdm", data["person"]),
            "session": ("rdm", data["session"]),
            "model": data["model_name"],
            "category": data["category"],
            "condition_a": ("pair", first),
            "condition_b": ("pair", second),
        },
        attrs={"source": f"activome sample rdm92, sha256 {_SHA256[:16]}", "metric": "correlation"},
    )
