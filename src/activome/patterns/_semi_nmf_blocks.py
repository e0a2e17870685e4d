"""A semi-nonnegative factorisation in blocks: coefficients of each block wait on disk.

A block is known by a digest of its rows, so that whichever process reads it finds what belongs to
it. Every sweep writes a new generation of coefficients and leaves the last one in place: a block
that is worked on twice, because a worker died, gives the same result. Blocks of equal content, such
as padding, have coefficients each; whichever is read first works on all, and each returns its share
of their sums.
"""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from activome._files import atomic_path, remove_tree
from activome.activity.blocks import BlockSource, merge_tree
from activome.patterns._semi_nmf_fit import Course, Rules, advance, first_course
from activome.patterns._semi_nmf_kernels import Sums, add_sums, gather, sweep, unit_energy
from activome.patterns._semi_nmf_start import START_ROWS, learn_start, start_coef

__all__ = ["BlockState", "BlockwiseSemiNMF", "Scan"]

Array = np.ndarray[Any, Any]
# Coefficients of a fit in blocks are brought together when they take no more than this.
_COEF_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Scan:
    """What the first pass learns: energy of each unit, and digest and rows of each block."""

    energy: Array
    blocks: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class BlockState:
    """State between sweeps.

    Attributes
    ----------
    folder : str
        Where coefficients wait.
    n_components, seed : int
        Number of components, and seed of the start.
    init : str
        Kind of start.
    directions : ndarray, shape (n_units, K), or None
        What the start is made from.
    dtype : str
        Type of the data.
    is_active : ndarray of bool, shape (n_units,), or None
        Units that are not silent; None before the first pass.
    offsets : dict of str to tuple of int
        First row of each block that has a digest.
    blocks : tuple of (str, int)
        Digest and number of rows of each block, in order.
    rules, course : Rules, Course, or None
        The fit, after the first pass and after the start.
    """

    folder: str
    n_components: int
    seed: int
    init: str
    directions: Array | None
    dtype: str
    is_active: Array | None = None
    offsets: dict[str, tuple[int, ...]] | None = None
    blocks: tuple[tuple[str, int], ...] = ()
    rules: Rules | None = None
    course: Course | None = None

    def after_scan(self, found: Scan, rules: Rules) -> BlockState:
        """Return the state in which coefficients are started."""
        offsets: dict[str, tuple[int, ...]] = {}
        row = 0
        for digest, n_rows in found.blocks:
            offsets[digest] = (*offsets.get(digest, ()), row)
            row += n_rows
        return replace(
            self, is_active=found.energy > 0, offsets=offsets, blocks=found.blocks, rules=rules
        )


class BlockwiseSemiNMF:
    """The five steps by which ``fit_blocks`` fits a ``SemiNMF`` that does not fit in memory.

    Coefficients of each block wait in a temporary folder (``tempfile.tempdir``; on a cluster it has
    to be one that all workers see), ``3 n_samples n_components`` numbers at most. From the same
    seed the answer is that of ``fit`` up to rounding.
    """

    if TYPE_CHECKING:
        n_components: int
        init: str

        def _check_parameters(self) -> int: ...
        def _rules(self, n_samples: int, energy: Array, dtype: Any) -> tuple[Array, Rules]: ...
        def _finish(
            self, course: Course, rules: Rules, is_active: Array, coef: Array | None, dtype: Any
        ) -> None: ...

    def start(self, source: BlockSource, /) -> BlockState:
        """Return the state before the first pass over the data.

        Parameters
        ----------
        source : BlockSource
            The data, from which the rows of a start are drawn.

        Returns
        -------
        BlockState
            Where coefficients wait, and what they start from.
        """
        seed = self._check_parameters()
        directions = None
        if self.init != "random":
            rows = source.sample(START_ROWS, seed)
            directions = learn_start(rows, min(self.n_components, *rows.shape), self.init, seed)
        folder = tempfile.mkdtemp(prefix="activome-semi-nmf-")
        # Also when the fit is interrupted: the folder goes with the estimator.
        weakref.finalize(self, remove_tree, Path(folder))
        return BlockState(folder, self.n_components, seed, self.init, directions, source.dtype.str)

    def summarise(self, block: Array, state: BlockState, /) -> Scan | Sums:
        """Reduce a block to sums: of squares at first, then under its new coefficients.

        Parameters
        ----------
        block : ndarray, shape (n_rows, n_units)
            Rows.
        state : BlockState
            State of this sweep.

        Returns
        -------
        Scan or Sums
            The statistics of these rows.
        """
        if state.rules is None:
            return Scan(unit_energy(block), ((_digest(block), block.shape[0]),))
        return _update_block(block, state)

    def merge(self, a: Any, b: Any, /) -> Any:
        """Join the statistics of two sets of rows, those of ``a`` first.

        Parameters
        ----------
        a, b : Scan or Sums
            Both of one kind.

        Returns
        -------
        Scan or Sums
            The statistics of all these rows.
        """
        if isinstance(a, Sums):
            return add_sums(a, b)
        return Scan(a.energy + b.energy, a.blocks + b.blocks)

    def solve(self, stats: Any, state: BlockState, /) -> tuple[BlockState, bool]:
        """Return the state of the next sweep, and whether the fit is over.

        Parameters
        ----------
        stats : Scan or Sums
            The statistics of all rows.
        state : BlockState
            State of the sweep that gave them.

        Returns
        -------
        tuple of (BlockState, bool)
            State, and True when converged or at ``max_iter``.
        """
        if state.rules is None:
            n_samples = sum(n_rows for _, n_rows in stats.blocks)
            _, rules = self._rules(n_samples, stats.energy, np.dtype(state.dtype))
            return state.after_scan(stats, rules), False
        if state.course is None:
            course = first_course(stats, state.rules)
        else:
            course = advance(state.course, stats, state.rules)
        return replace(state, course=course), course.is_done

    def finish(self, state: BlockState, /) -> None:
        """Set the learned attributes, and remove the coefficients from the disk.

        Parameters
        ----------
        state : BlockState
            State after the last sweep.
        """
        rules, course = cast(Rules, state.rules), cast(Course, state.course)
        is_active, dtype = cast(Array, state.is_active), np.dtype(state.dtype)
        n_samples = sum(n_rows for _, n_rows in state.blocks)
        fits = n_samples * state.n_components * dtype.itemsize <= _COEF_BYTES
        coef = _read_coef(state, course.best_sweep) if fits else None
        remove_tree(Path(state.folder))
        self._finish(course, rules, is_active, coef, dtype)


def _update_block(block: Array, state: BlockState) -> Sums:
    """Start or update the coefficients of a block on disk, and gather its sums."""
    digest = _digest(block)
    is_active = cast(Array, state.is_active)
    active = block if is_active.all() else block[:, is_active]
    offsets = (state.offsets or {})[digest]
    if len(offsets) == 1:
        return _update(block, active, state, digest, offsets[0])
    generation = 0 if state.course is None else len(state.course.losses) + 1
    kept = Path(state.folder) / f"{digest}-{generation}.npz"
    if kept.exists():
        with np.load(kept, allow_pickle=False) as stored:
            return Sums(**{name: _scalar(stored[name]) for name in stored.files})
    total: Sums = merge_tree(
        (_update(block, active, state, digest, row) for row in offsets), add_sums
    )
    share = 1.0 / len(offsets)
    sums = replace(
        total,
        gram=total.gram * share,
        product=total.product * share,
        cross=total.cross * share,
        residual=total.residual * share,
    )
    with atomic_path(kept) as temporary, temporary.open("wb") as file:
        np.savez(file, **{item.name: getattr(sums, item.name) for item in fields(sums)})
    (Path(state.folder) / f"{digest}-{generation - 2}.npz").unlink(missing_ok=True)
    return sums


def _scalar(value: Array) -> Any:
    return value if value.ndim else float(value)


def _update(block: Array, active: Array, state: BlockState, digest: str, row: int) -> Sums:
    """Do so for the block that starts at a row."""
    name = f"{digest}-{row}"
    if state.course is None:
        coef = start_coef(block, state.n_components, state.directions, state.init, state.seed, row)
        _write(state.folder, name, 0, coef)
        return gather(active, coef)
    generation = len(state.course.losses) + 1
    coef = np.load(_path(state.folder, name, generation - 1), allow_pickle=False)
    new = np.empty_like(coef)
    sums = sweep(active, coef, state.course.plan, new)
    _write(state.folder, name, generation, new)
    wanted = {
        _path(state.folder, name, g) for g in (state.course.best_sweep, generation - 1, generation)
    }
    for path in Path(state.folder).glob(f"{name}-*.npy"):
        if path not in wanted:
            path.unlink(missing_ok=True)
    return sums


def _read_coef(state: BlockState, generation: int) -> Array:
    """Return the coefficients of all rows after a sweep, shape (n_samples, K)."""
    parts, row = [], 0
    for digest, n_rows in state.blocks:
        path = _path(state.folder, f"{digest}-{row}", generation)
        parts.append(np.load(path, allow_pickle=False))
        row += n_rows
    return np.concatenate(parts)


def _digest(block: Array) -> str:
    found = hashlib.blake2b(str((block.shape, block.dtype.str)).encode(), digest_size=16)
    found.update(np.ascontiguousarray(block).view(np.uint8).data)
    return found.hexdigest()


def _path(folder: str, name: str, generation: int) -> Path:
    return Path(folder) / f"{name}-{generation}.npy"


def _write(folder: str, name: str, generation: int, coef: Array) -> None:
    with atomic_path(_path(folder, name, generation)) as temporary:
        np.save(temporary, coef, allow_pickle=False)
