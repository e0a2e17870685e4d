"""Projections: the synapses from one population to another, with weights and delays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_number
from activome._random import RandomState, make_generator
from activome.errors import ActivityError
from activome.networks.spiking._drawing import Drawn, draw_pairs
from activome.networks.spiking._synapses import (
    check_synapses,
    order_of_rows,
    read_array,
    read_dtype,
    read_indices,
    read_rules,
    read_sizes,
    read_values,
)
from activome.networks.spiking.homeostasis import DriveHomeostasis, SynapticScaling
from activome.networks.spiking.plasticity import PlasticityRule

__all__ = ["Projection"]

Array = np.ndarray[Any, Any]
Receptor = Literal["exc", "inh"]


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses between two populations, by the name of each, stored row by row.

    Make one with ``one_to_one``, ``all_to_all``, ``fixed_probability``, ``from_dense`` or
    ``from_table``. Synapse s of cell j before it is in ``[ptr[j], ptr[j + 1])``; a row is sorted by
    delay, then in the order given. A pair may have several synapses.

    Parameters
    ----------
    pre, post : str
        Names of the populations.
    ptr : ndarray of int64, shape (n_pre + 1,)
        Where rows begin.
    target : ndarray of int32, shape (n_synapses,)
        Cell behind each synapse.
    weight : ndarray of float64 or float32, shape (n_synapses,)
        Weights, in the unit of the cell: nA, mV, or relative conductance.
    delay : ndarray of float64 or float32, shape (n_synapses,) or (1,)
        Delays, ms; one entry stands for all.
    n_post : int
        Size of the population behind.
    receptor : {"exc", "inh"}
        Which of the two inputs of the cell; weights of "inh" are positive and act downwards.
    plasticity : PairSTDP or SymmetricSTDP, optional
        Rule of change.
    homeostasis : tuple of SynapticScaling and DriveHomeostasis
        Rules that keep the sum of weights.
    order : ndarray of int64, shape (n_synapses,) or (0,)
        Place of each stored synapse in what was given; empty where synapses were drawn.
    name : str
        By default ``pre->post``; unique in a network.
    """

    pre: str
    post: str
    ptr: Array
    target: Array
    weight: Array
    delay: Array
    n_post: int
    receptor: Receptor = "exc"
    plasticity: PlasticityRule | None = None
    homeostasis: tuple[SynapticScaling | DriveHomeostasis, ...] = ()
    order: Array = field(default_factory=lambda: np.empty(0, np.int64))
    name: str = ""

    @property
    def n_pre(self) -> int:
        """Number of cells before the synapses."""
        return self.ptr.size - 1

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return self.target.size

    def __repr__(self) -> str:
        """Return one line: who to whom, how many, and what rules."""
        weights = "no synapses"
        if self.n_synapses:
            low, high = self.weight.min(), self.weight.max()
            weights = f"weight {low:g}" + (f" to {high:g}" if high > low else "")
            slow, fast = self.delay.max(), self.delay.min()
            weights += f", delay {fast:g}" + (f" to {slow:g}" if slow > fast else "") + " ms"
        rules = [self.plasticity] if self.plasticity else []
        said = "".join(f", {rule!r}" for rule in (*rules, *self.homeostasis))
        return (
            f"<Projection {self.name}: {self.n_pre} -> {self.n_post}, {self.n_synapses} "
            f"{self.receptor}, {weights}{said}>"
        )

    @classmethod
    def from_table(
        cls,
        pre: str,
        post: str,
        sizes: tuple[int, int],
        source: ArrayLike,
        target: ArrayLike,
        weight: ArrayLike = 1.0,
        delay: ArrayLike = 1.0,
        **options: Any,
    ) -> Projection:
        """Build a projection from a list of synapses.

        Parameters
        ----------
        pre, post : str
            Names of the populations.
        sizes : tuple of int (n_pre, n_post)
            Their sizes.
        source, target : array-like of int, shape (n_synapses,)
            The cell before and behind each synapse.
        weight, delay : float or array-like, shape (n_synapses,), default=1.0
            Weights and delays (ms).
        **options : Any
            ``receptor``, ``plasticity``, ``homeostasis`` (one rule or several), ``name``, and
            ``dtype``, "float64" or, to halve the memory of weights that do not change, "float32".

        Returns
        -------
        Projection
            With ``order``, which maps its synapses to the rows of the list.

        Raises
        ------
        ActivityError
            If an index is outside its population, or a weight or delay is not finite.
        ParameterError
            If sizes, receptor or delays do not hold.
        """
        n_pre, n_post = read_sizes(sizes)
        rows = read_indices(source, n_pre, "source")
        columns = read_indices(target, n_post, "target")
        if rows.size != columns.size:
            raise ActivityError(
                f"Projection: source and target must have one length; got {rows.size} and "
                f"{columns.size}."
            )
        dtype = read_dtype(options)
        weights = read_values(weight, rows.size, "weight").astype(dtype, copy=False)
        delays = read_values(delay, rows.size, "delay", single=True).astype(dtype, copy=False)
        order = np.arange(rows.size)
        if delays.size > 1:
            order = order_of_rows(rows, delays)
        elif (np.diff(rows) < 0).any():
            order = np.argsort(rows, kind="stable")
        ptr = np.zeros(n_pre + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=n_pre), out=ptr[1:])
        if delays.size > 1:
            delays = delays[order]
        return cls._checked(
            pre, post, ptr, columns[order], weights[order], delays, n_post, order, options
        )

    @classmethod
    def _checked(
        cls,
        pre: str,
        post: str,
        ptr: Array,
        target: Array,
        weight: Array,
        delay: Array,
        n_post: int,
        order: Array,
        options: dict[str, Any],
    ) -> Projection:
        receptor, rules = read_rules(options)
        check_synapses(weight, delay)
        return cls(
            pre,
            post,
            ptr,
            target,
            weight,
            delay,
            n_post,
            receptor,
            options.get("plasticity"),
            rules,
            order,
            options.get("name") or f"{pre}->{post}",
        )

    @classmethod
    def one_to_one(
        cls,
        pre: str,
        post: str,
        n: int,
        weight: ArrayLike = 1.0,
        delay: ArrayLike = 1.0,
        **options: Any,
    ) -> Projection:
        """Join cell k with cell k.

        Parameters
        ----------
        pre, post : str
            Names of the populations.
        n : int
            Size of both.
        weight, delay : float or array-like, shape (n,), default=1.0
            Weights and delays (ms).
        **options : Any
            As in ``from_table``.

        Returns
        -------
        Projection
            With n synapses.
        """
        index = np.arange(read_sizes((n, n))[0])
        return cls.from_table(pre, post, (n, n), index, index, weight, delay, **options)

    @classmethod
    def all_to_all(
        cls,
        pre: str,
        post: str,
        sizes: tuple[int, int],
        weight: ArrayLike = 1.0,
        delay: ArrayLike = 1.0,
        *,
        self_connections: bool = True,
        **options: Any,
    ) -> Projection:
        """Join every cell with every cell.

        Parameters
        ----------
        pre, post : str
            Names of the populations.
        sizes : tuple of int (n_pre, n_post)
            Their sizes.
        weight, delay : float or array-like, shape (n_pre, n_post), default=1.0
            Weights and delays (ms).
        self_connections : bool, default=True
            False leaves out cell k to cell k.
        **options : Any
            As in ``from_table``.

        Returns
        -------
        Projection
            Rows in the order of cells.
        """
        is_there = np.ones(read_sizes(sizes), dtype=bool)
        if not self_connections:
            np.fill_diagonal(is_there, False)
        return cls._from_mask(pre, post, is_there, weight, delay, options)

    @classmethod
    def fixed_probability(
        cls,
        pre: str,
        post: str,
        sizes: tuple[int, int],
        probability: float,
        weight: Drawn = 1.0,
        delay: Drawn = 1.0,
        *,
        self_connections: bool = True,
        random_state: RandomState = None,
        **options: Any,
    ) -> Projection:
        """Join each pair of cells with one probability, independently.

        Parameters
        ----------
        pre, post : str
            Names of the populations.
        sizes : tuple of int (n_pre, n_post)
            Their sizes.
        probability : float in [0, 1]
            Chance of a synapse.
        weight, delay : float, array-like of shape (n_pre, n_post), or callable, default=1.0
            Weights and delays (ms); a matrix is read where there is a synapse, and a function
            takes a numpy Generator and a number of synapses, and gives a value for each.
        self_connections : bool, default=True
            False leaves out cell k to cell k.
        random_state : int, Generator or None, default=None
            Seed.
        **options : Any
            As in ``from_table``.

        Returns
        -------
        Projection
            Its rows are sorted by delay, then by target; ``order`` is empty.

        Notes
        -----
        Drawn in blocks of rows by the gaps between synapses: time and memory are those of the
        synapses, 12 bytes for each with ``dtype="float32"`` and delays of their own.

        References
        ----------
        .. [1] V. Batagelj and U. Brandes, "Efficient generation of large random networks", 2005.
        """
        n_pre, n_post = read_sizes(sizes)
        share = check_number(
            probability,
            name="probability",
            owner="Projection",
            low=0.0,
            high=1.0,
            include_low=True,
            include_high=True,
        )
        kept: Any = {"self_connections": self_connections, "dtype": read_dtype(options)}
        generator = make_generator(random_state)
        drawn = draw_pairs(generator, (n_pre, n_post), share, weight, delay, **kept)
        return cls._checked(pre, post, *drawn, n_post, np.empty(0, np.int64), options)

    @classmethod
    def from_dense(
        cls, pre: str, post: str, weights: ArrayLike, delay: ArrayLike = 1.0, **options: Any
    ) -> Projection:
        """Build a projection from a matrix; zeros are no synapses.

        Parameters
        ----------
        pre, post : str
            Names of the populations.
        weights : array-like of float, shape (n_pre, n_post)
            Weights.
        delay : float or array-like, shape (n_pre, n_post), default=1.0
            Delays (ms).
        **options : Any
            As in ``from_table``.

        Returns
        -------
        Projection
            Rows in the order of cells.

        Raises
        ------
        ActivityError
            If the weights are no matrix of finite numbers.
        """
        matrix = read_array(weights, "weights")
        if matrix.ndim != 2:
            raise ActivityError(f"Projection: weights must be a matrix; got {matrix.shape}.")
        return cls._from_mask(pre, post, matrix != 0, matrix, delay, options)

    @classmethod
    def _from_mask(
        cls,
        pre: str,
        post: str,
        is_there: Array,
        weight: ArrayLike,
        delay: ArrayLike,
        options: dict[str, Any],
    ) -> Projection:
        chosen: list[Any] = []
        for name, values in (("weight", weight), ("delay", delay)):
            array = read_array(values, name, is_there.shape)
            chosen.append(array[is_there] if array.ndim else array)
        rows, columns = np.nonzero(is_there)
        return cls.from_table(pre, post, is_there.shape, rows, columns, *chosen, **options)

    def to_dense(self, weight: ArrayLike | None = None) -> Array:
        """Return the weights as a matrix; synapses of one pair are added.

        Parameters
        ----------
        weight : array-like of float, shape (n_synapses,), optional
            Other weights of the same synapses, such as learned ones.

        Returns
        -------
        ndarray of float64, shape (n_pre, n_post)
            Zero where there is no synapse.
        """
        values = self.weight if weight is None else read_values(weight, self.n_synapses, "weight")
        dense = np.zeros((self.n_pre, self.n_post))
        rows = np.repeat(np.arange(self.n_pre), np.diff(self.ptr))
        np.add.at(dense, (rows, self.target), values)
        return dense
