"""Readers of wiring diagrams of *C. elegans* and of the atlas of its signal propagation."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from activome._checks import check_choice, nearest_names
from activome._extras import require
from activome.activity.readers._source import check_file, reading
from activome.activity.worm import NEURONS, normalise_label
from activome.errors import MissingExtraError, ParameterError, ReadError
from activome.graphs._wiring import Connectome

__all__ = ["FunctionalAtlas", "read_connectome", "read_functional_atlas"]

Array = np.ndarray[Any, Any]

_CHEMICAL, _GAP = "Generic_CS", "Generic_GJ"
# These tables descend from the reconstruction of one animal (and its companions) by White et al.
_WHITE = "White 1986"
_LINEAGES = {
    "White_whole": _WHITE,
    "VarshneyDataReader": _WHITE,
    "OpenWormUnifiedReader": _WHITE,
    "SpreadsheetDataReader": _WHITE,
    "UpdatedSpreadsheetDataReader": _WHITE,
    "UpdatedSpreadsheetDataReader2": _WHITE,
    "DurbinN2UDataReader": _WHITE,
}


@dataclass(frozen=True, eq=False)
class FunctionalAtlas:
    """Which neurons respond when one is stimulated.

    Attributes
    ----------
    names : tuple of str, length n_neurons
        Canonical names.
    response : ndarray of float64, shape (n_neurons, n_neurons)
        Mean relative change of fluorescence, from the stimulated neuron (row) to the responding one
        (column); NaN where it was not measured.
    q : ndarray of float64, shape (n_neurons, n_neurons)
        False discovery rate of the response, NaN where it was not measured.
    """

    names: tuple[str, ...]
    response: Array
    q: Array


# Its own requirements, which reading the tables does not need, hold numpy back.
_INSTALL_CECT = "pip install 'activome[worm]' && pip install --no-deps cect==0.3.5"


def read_connectome(source: str | os.PathLike[str], *, lineage: str | None = None) -> Connectome:
    """Read a reconstruction that comes with the package ``cect``.

    Parameters
    ----------
    source : str or path-like
        Name of a cached data set, such as "White_whole", "Cook2019HermReader" or
        "WitvlietDataReader7"; or the path of a JSON file in that form.
    lineage : str, optional
        The animal it comes from. By default "White 1986" for the tables that descend from that
        reconstruction, and else the name.

    Returns
    -------
    Connectome
        All its cells, chemical synapses and gap junctions.

    Raises
    ------
    MissingExtraError
        If ``cect`` is not installed.
    ParameterError
        If no data set has that name.
    ReadError
        If the file is damaged, or holds no chemical synapses or gap junctions.

    Notes
    -----
    "Cook2019HermReader" is a new reading of micrographs that White et al. used too. It counts as a
    vote of its own, since the readings were made independently; the animals are not independent.

    References
    ----------
    .. [1] J. G. White, E. Southgate, J. N. Thomson and S. Brenner, "The structure of the nervous
       system of the nematode Caenorhabditis elegans", 1986.
    .. [2] S. J. Cook et al., "Whole-animal connectomes of both Caenorhabditis elegans sexes", 2019.
    .. [3] D. Witvliet et al., "Connectomes across development reveal principles of brain
       maturation", 2021.
    """
    owner = "read_connectome"
    library = require("cect.ConnectomeDataset", extra="worm", owner=owner, command=_INSTALL_CECT)
    path = Path(source)
    if path.suffix != ".json":
        folder = Path(str(library.__file__)).parent / "cache"
        known = sorted(file.stem for file in folder.glob("*.json"))
        if str(source) not in known:
            hint = nearest_names(str(source), known)
            raise ParameterError(f"{owner}: unknown data set {str(source)!r}; {hint}")
        path = folder / f"{source}.json"
    path = check_file(path, owner=owner)
    with reading(path, "cect", owner=owner):
        data = library.load_connectome_dataset_file(str(path))
        missing = [key for key in (_CHEMICAL, _GAP) if key not in data.connections]
        if missing:
            raise ReadError(
                f"{owner}: {str(path)!r} must hold {_CHEMICAL} and {_GAP}; it lacks "
                f"{', '.join(missing)}. Choose a data set of synapses."
            )
        return Connectome(
            data.connections[_CHEMICAL],
            data.connections[_GAP],
            data.nodes,
            name=path.stem,
            lineage=lineage if lineage is not None else _LINEAGES.get(path.stem, ""),
        )


def read_functional_atlas(
    path: str | os.PathLike[str] | None = None, *, strain: str = "wt"
) -> FunctionalAtlas:
    """Read the atlas of signal propagation, without the package that carries it.

    Parameters
    ----------
    path : path-like, optional
        File ``funatlas.h5``; by default that of an installed ``wormneuroatlas``, which is looked
        for but never imported.
    strain : {"wt", "unc31"}, default="wt"
        Wild type, or animals without release of dense core vesicles.

    Returns
    -------
    FunctionalAtlas
        Responses among the 300 neurons, in canonical order.

    Raises
    ------
    MissingExtraError
        If there is no path and the package is not installed, or h5py is not.
    ParameterError
        If ``strain`` is unknown.
    ReadError
        If the file is damaged, or is no atlas of the 300 neurons.

    Notes
    -----
    The file has the responding neuron in rows; here the stimulated one is, as in a connectome. Its
    AWCOF (cut from AWCOFF) and AWCON are put at AWCL and AWCR, by convention: which side is which
    differs between animals.

    References
    ----------
    .. [1] F. Randi, A. K. Sharma, S. Dvali and A. M. Leifer, "Neural signal propagation atlas of
       Caenorhabditis elegans", 2023.
    """
    owner = "read_functional_atlas"
    check_choice(strain, ("wt", "unc31"), name="strain", owner=owner)
    file = check_file(path if path is not None else _atlas_path(owner), owner=owner)
    h5py = require("h5py", extra="worm", owner=owner)
    with reading(file, "HDF5 atlas", owner=owner), h5py.File(file, "r") as store:
        names = [normalise_label(name) for name in store["neuron_ids"][()]]
        if sorted(names) != list(NEURONS):
            raise ReadError(
                f"{owner}: {str(file)!r} must hold the {len(NEURONS)} neurons; {len(names)} names "
                f"are there, {len(set(names) & set(NEURONS))} of them known."
            )
        order = np.ix_(*[[names.index(name) for name in NEURONS]] * 2)
        response, q = (store[f"{strain}/{key}"][()].astype(float) for key in ("dFF", "q"))
        return FunctionalAtlas(NEURONS, response[order].T, q[order].T)


def _atlas_path(owner: str) -> Path:
    found = importlib.util.find_spec("wormneuroatlas")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(
            f"{owner}: needs the file funatlas.h5 of the package 'wormneuroatlas', which is not "
            "installed (its licence is GPL-3, and it is no part of any extra). Install it with: "
            "pip install --no-deps wormneuroatlas, or give the path of the file.",
            name="wormneuroatlas",
        )
    return Path(next(iter(found.submodule_search_locations))) / "data" / "funatlas.h5"
