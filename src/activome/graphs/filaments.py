"""Centre lines of long thin structures, and the graphs they form."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from activome._checks import check_integer, check_memory, check_number
from activome._extras import require
from activome.errors import ActivityError
from activome.graphs._instances import read_instances

__all__ = ["FilamentGraph", "centre_line", "filament_graph"]

Array = np.ndarray[Any, Any]


def centre_line(voxels: ArrayLike, shape: Sequence[int]) -> Array:
    """Thin an object to lines of one voxel's width.

    Thinning keeps the object connected and its ends where they are. It is done inside the object's
    bounding box, so that its cost does not depend on the volume around it.

    Parameters
    ----------
    voxels : array-like of int, shape (n_voxels,)
        Flat indices of the object in a volume of ``shape``, in C order.
    shape : sequence of int
        Size of the volume, two or three numbers.

    Returns
    -------
    ndarray of int64, shape (n_line,)
        Flat indices of the centre line, increasing; at least one voxel.

    Raises
    ------
    ActivityError
        If the object is empty, or indices repeat or leave the volume.
    MissingExtraError
        If scikit-image is not installed.
    ParameterError
        If ``shape`` has not two or three axes.
    ResourceError
        If the bounding box would not fit in memory.

    Notes
    -----
    Three-dimensional thinning after Lee, Kashyap and Chu [1]_, two-dimensional after Zhang and
    Suen, both of scikit-image. A blob that thins to nothing is its voxel nearest to the centre (our
    choice).

    References
    ----------
    .. [1] T.-C. Lee, R. L. Kashyap and C.-N. Chu, "Building skeleton models via 3-D medial
       surface/axis thinning algorithms", 1994.

    Examples
    --------
    >>> import numpy as np
    >>> bar = np.zeros((9, 30, 9), dtype=bool)
    >>> bar[3:6, 5:25, 3:6] = True
    >>> line = centre_line(np.flatnonzero(bar), bar.shape)
    >>> line.size, np.unique(np.unravel_index(line, bar.shape)[0]).tolist()
    (18, [4])
    """
    owner = "centre_line"
    ndim = check_integer(len(shape), name="number of axes", owner=owner, low=2, high=3)
    flat = np.asarray(voxels)
    given = read_instances([flat], shape=shape, ndim=ndim, owner=owner, what="voxels")
    inside = given.voxels[0]
    if inside.size == 0:
        raise ActivityError(f"{owner}: the object must hold a voxel; it is empty.")
    places = np.stack(np.unravel_index(inside, given.shape))
    # Background on every side: no voxel of the object may lie on the border of the box.
    corner = places.min(axis=1, keepdims=True) - 1
    box = tuple(int(n) + 2 for n in (places.max(axis=1) - places.min(axis=1) + 1))
    check_memory(
        4.0 * float(np.prod(box)),
        owner=owner,
        what=f"the bounding box {box} of the object",
        cure="Cut the volume into blocks.",
    )
    skeletonize = require("skimage.morphology", extra="volumes", owner=owner).skeletonize
    mask = np.zeros(box, dtype=bool)
    mask[tuple(places - corner)] = True
    line = np.stack(np.nonzero(skeletonize(mask))) + corner
    if line.shape[1] == 0:
        middle = places.mean(axis=1, keepdims=True)
        line = places[:, [int(((places - middle) ** 2).sum(axis=0).argmin())]]
    return np.sort(np.ravel_multi_index(tuple(line), given.shape)).astype(np.int64)


@dataclass(frozen=True)
class FilamentGraph:
    """The graph of a centre line: voxels joined to their neighbours.

    Attributes
    ----------
    voxels : ndarray of int64, shape (n_voxels,)
        Flat indices of the centre line.
    places : ndarray of float64, shape (n_voxels, n_axes)
        Their positions, in the unit of the spacing.
    edges : ndarray of int64, shape (n_edges, 2)
        Positions in ``voxels`` of neighbours that the shortest tree joins.
    lengths : ndarray of float64, shape (n_edges,)
        Their distances.
    n_pieces : int
        Connected pieces.
    """

    voxels: Array
    places: Array
    edges: Array
    lengths: Array
    n_pieces: int

    @property
    def length(self) -> float:
        """Length of all edges, in the unit of the spacing."""
        return float(self.lengths.sum())

    @property
    def degree(self) -> Array:
        """Edges at each voxel, shape (n_voxels,)."""
        return np.bincount(self.edges.reshape(-1), minlength=self.voxels.size)

    @property
    def ends(self) -> Array:
        """Flat indices of the voxels at which a line ends."""
        return np.asarray(self.voxels[self.degree == 1])

    @property
    def branch_points(self) -> Array:
        """Flat indices of the voxels at which three lines or more meet."""
        return np.asarray(self.voxels[self.degree >= 3])


def filament_graph(
    voxels: ArrayLike, shape: Sequence[int], *, spacing: float | Sequence[float] = 1.0
) -> FilamentGraph:
    """Turn an object into the tree of its centre line: length, ends and branch points.

    Parameters
    ----------
    voxels : array-like of int, shape (n_voxels,)
        Flat indices of the object in a volume of ``shape``.
    shape : sequence of int
        Size of the volume, two or three numbers.
    spacing : float or sequence of float, default=1.0
        Distance of neighbouring voxels, one number or one per axis, such as 0.44 in micrometres.

    Returns
    -------
    FilamentGraph
        Voxels of the centre line and the edges between them.

    Raises
    ------
    ActivityError
        If the object is empty, or indices repeat or leave the volume.
    MissingExtraError
        If scikit-image is not installed.
    ParameterError
        If the spacing is not positive, or ``shape`` has not two or three axes.
    ResourceError
        If the bounding box would not fit in memory.

    Notes
    -----
    Voxels that touch by a face, an edge or a corner are neighbours. Of the small loops where lines
    meet, and of true loops, the longest edge is left out: what remains is the minimum spanning
    tree of each piece (our choice).

    Examples
    --------
    >>> import numpy as np
    >>> cross = np.zeros((21, 21), dtype=bool)
    >>> cross[10, 2:19] = cross[2:19, 10] = True
    >>> graph = filament_graph(np.flatnonzero(cross), cross.shape, spacing=0.5)
    >>> graph.length, graph.ends.size, graph.branch_points.size
    (16.0, 4, 1)
    """
    steps = [spacing] * len(shape) if isinstance(spacing, (int, float)) else list(spacing)
    check_integer(len(steps), name="number of spacings", owner="filament_graph", low=len(shape),
                  high=len(shape))  # fmt: skip
    sizes = np.array(
        [check_number(s, name="spacing", owner="filament_graph", low=0.0) for s in steps]
    )
    line = centre_line(voxels, shape)
    cells = np.stack(np.unravel_index(line, tuple(shape)), axis=1)
    rows, columns = _neighbours(cells, np.array(shape))
    distance = np.sqrt((((cells[rows] - cells[columns]) * sizes) ** 2).sum(axis=1))
    near = sparse.csr_array((distance, (rows, columns)), shape=(line.size, line.size))
    n_pieces, _ = connected_components(near, directed=False)
    tree = sparse.coo_array(minimum_spanning_tree(near))
    edges = np.stack([tree.row, tree.col], axis=1).astype(np.int64)
    return FilamentGraph(line, cells * sizes, edges, np.asarray(tree.data), int(n_pieces))


def _neighbours(cells: Array, shape: Array) -> tuple[Array, Array]:
    """Return the pairs of cells that touch, each once; cells are in C order."""
    padded = shape + 2
    strides = np.concatenate([np.cumprod(padded[::-1])[::-1][1:], [1]])
    keys = (cells + 1) @ strides
    rows, columns = [], []
    for offset in itertools.product((-1, 0, 1), repeat=shape.size):
        step = int(np.dot(offset, strides))
        if step <= 0:
            continue
        place = np.searchsorted(keys, keys + step)
        found = np.flatnonzero(keys[np.minimum(place, keys.size - 1)] == keys + step)
        rows.append(found)
        columns.append(place[found])
    return np.concatenate(rows), np.concatenate(columns)
