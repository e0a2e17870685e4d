"""A spiking content-addressable memory after the hippocampal region CA3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from activome._checks import check_choice, check_integer
from activome.activity.events import Events
from activome.errors import ActivityError, ParameterError
from activome.networks._cam_circuit import POPULATIONS, build
from activome.networks._cam_inputs import read_binary, read_bits, read_pairs
from activome.networks.cam_operation import CAMOperation
from activome.networks.spiking.plasticity import PairSTDP
from activome.networks.spiking.simulate import SimulationResult, simulate

__all__ = ["HippocampalCAM"]

Array = np.ndarray[Any, Any]
_DT = 1.0
# Steps from a recall to its answer at the output.
_ANSWER = 6


class HippocampalCAM:
    """Store and recall binary words with spikes, by their cue or by any part of their content.

    A memory is one cue and a word of bits. Showing both for 3 ms stores it and overwrites what the
    cue held; showing the cue alone returns the word; showing some bits returns every cue whose word
    shares one of them (an OR over bits, not an exact match). Everything is stored in two plastic
    projections that change by spike timing. State persists: each call advances the clock.

    Parameters
    ----------
    n_cues : int, default=5
        Number of cues.
    n_content : int, default=10
        Bits of a word.
    stdp : PairSTDP, optional
        Rule of both plastic projections; by default that of the paper (3 ms, amplitudes and largest
        weight 6 nA), evaluated when the cell before the synapse fires.
    plastic_recall : bool, default=True
        False puts the weights back after each recall (our choice): recall by content otherwise
        ties bits to cues that do not have them.
    rest : int, default=23
        Quiet steps (ms) after each call of ``learn`` and ``recall`` (our choice). With 0 they
        follow each other as fast as the circuit can, and recall by content misses some cues.
    record : {"spikes", "all"}, default="spikes"
        "all" records voltages and currents too, in ``run``.

    Raises
    ------
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    One call of the simulator per operation; O(steps (cells + synapses touched)).

    References
    ----------
    .. [1] D. Casanueva-Morato, A. Ayuso-Martinez, J. P. Dominguez-Morales, A. Jimenez-Fernandez and
       G. Jimenez-Moreno, "Bio-inspired computational memory model of the hippocampus: an approach
       to a neuromorphic spike-based content-addressable memory", 2024.

    Examples
    --------
    >>> memory = HippocampalCAM(n_cues=3, n_content=4)
    >>> memory.learn(0, [0, 2])
    >>> memory.learn(1, [2, 3])
    >>> memory.recall(cue=0).tolist(), memory.recall(content=[3]).tolist()
    ([True, False, True, False], [False, True, False])
    """

    def __init__(
        self,
        n_cues: int = 5,
        n_content: int = 10,
        *,
        stdp: PairSTDP | None = None,
        plastic_recall: bool = True,
        rest: int = 23,
        record: Literal["spikes", "all"] = "spikes",
    ) -> None:
        owner = "HippocampalCAM"
        self.n_cues = check_integer(n_cues, name="n_cues", owner=owner, low=1)
        self.n_content = check_integer(n_content, name="n_content", owner=owner, low=1)
        self.rest = check_integer(rest, name="rest", owner=owner, low=0)
        check_choice(record, ("spikes", "all"), name="record", owner=owner)
        if not isinstance(plastic_recall, bool | np.bool_):
            raise ParameterError(
                f"{owner}: plastic_recall must be True or False; got {plastic_recall!r}."
            )
        if stdp is not None and not isinstance(stdp, PairSTDP):
            raise ParameterError(f"{owner}: stdp must be a PairSTDP or None; got {stdp!r}.")
        self.stdp = stdp
        self.plastic_recall = plastic_recall
        self.record = record
        self.network = build(n_cues, n_content, stdp)
        self._state: Any = None

    @property
    def step(self) -> int:
        """Steps (ms) that have passed."""
        return 0 if self._state is None else int(self._state.step)

    @property
    def weights_(self) -> dict[str, Array]:
        """Both plastic matrices (nA) as the next spike finds them, by "cue->content" and back."""
        found = {}
        first = 0
        for q in self.network.projections:
            if q.plasticity is not None:
                last = first + q.n_synapses
                now = None if self._state is None else self._state.pending[first:last]
                found[q.name] = q.to_dense(now)
            first += q.n_synapses
        return found

    @property
    def contents_(self) -> Array:
        """What every cue holds, (n_cues, n_content) of bool, asked of a copy of the memory."""
        kept = self._state
        found = np.zeros((self.n_cues, self.n_content), bool)
        for cue in range(self.n_cues):
            self._state = kept
            found[cue] = self.recall(cue=cue)
        self._state = kept
        return found

    def run(
        self, cue_spikes: Sequence[Any], content_spikes: Sequence[Any], duration: int
    ) -> SimulationResult:
        """Give spikes to the inputs, and go on for some steps.

        Parameters
        ----------
        cue_spikes, content_spikes : sequence of (time, index) pairs
            Integer ms from now, and the cue or bit.
        duration : int
            Steps (ms) to run.

        Returns
        -------
        SimulationResult
            Spikes of every population, by name; times go on from call to call.

        Raises
        ------
        ActivityError
            If a spike is no pair of integers, or outside the time or the population.
        """
        check_integer(duration, name="duration", owner="HippocampalCAM.run", low=1)
        events = {}
        for name, given, n in (
            ("IN_cue", cue_spikes, self.n_cues),
            ("IN_content", content_spikes, self.n_content),
        ):
            pairs = read_pairs(given, name)
            bad = (pairs < 0).any(axis=1) | (pairs[:, 0] >= duration) | (pairs[:, 1] >= n)
            if bad.any():
                raise ActivityError(
                    f"HippocampalCAM.run: spikes of {name} must have times in [0, {duration}) and "
                    f"indices in [0, {n}); got {tuple(pairs[bad][0].tolist())}."
                )
            events[name] = Events(pairs[:, 0] * 1000, pairs[:, 1], n_units=n)
        what = ["spikes", "v", "exc", "inh"] if self.record == "all" else ["spikes"]
        record = {name: what if k > 1 else ["spikes"] for k, name in enumerate(POPULATIONS)}
        result = simulate(
            self.network, events, float(duration), _DT, record=record, state=self._state
        )
        self._state = result.state
        return result

    def execute(self, operations: Sequence[CAMOperation], duration: int) -> SimulationResult:
        """Run a sequence of operations at their times.

        Parameters
        ----------
        operations : sequence of CAMOperation
            In the order of their starts, which count from now.
        duration : int
            Steps (ms) to run.

        Returns
        -------
        SimulationResult
            Spikes of every population.

        Raises
        ------
        ParameterError
            If an operation starts before the one ahead of it is done.
        ActivityError
            If an index is out of range, or an operation does not fit into the duration.
        """
        cues: list[tuple[int, int]] = []
        bits: list[tuple[int, int]] = []
        for k, now in enumerate(operations):
            if k and now.start < operations[k - 1].start + operations[k - 1].spacing:
                raise ParameterError(
                    f"HippocampalCAM.execute: operation {k} starts at {now.start}, but the one "
                    f"ahead of it needs until "
                    f"{operations[k - 1].start + operations[k - 1].spacing}. Start it later."
                )
            for t in range(now.start, now.start + now.held):
                cues += [(t, now.cue)] if now.cue is not None else []
                bits += [(t, bit) for bit in now.content]
        return self.run(cues, bits, duration)

    def learn(self, cue: int, content: ArrayLike) -> None:
        """Store a word under a cue, in place of what was there.

        Parameters
        ----------
        cue : int
            Index of the cue.
        content : array-like of bool, shape (n_content,), or sequence of int
            The word, as bits or as indices of those that are set.

        Raises
        ------
        ParameterError
            If the cue or an index is out of range.
        ActivityError
            If the word is of another length, or indices repeat.
        """
        operation = CAMOperation("learn", self._cue(cue), read_bits(content, self.n_content))
        self.execute([operation], operation.spacing + self.rest)

    def forget(self, cue: int) -> None:
        """Erase what a cue holds: it learns the empty word.

        Parameters
        ----------
        cue : int
            Index of the cue.

        Raises
        ------
        ParameterError
            If the cue is out of range.
        """
        self.learn(cue, [])

    def recall(
        self,
        *,
        cue: int | None = None,
        content: ArrayLike | None = None,
        match: Literal["any", "best"] = "any",
    ) -> Array:
        """Ask by a cue for its word, or by some bits for the cues that hold one of them.

        Parameters
        ----------
        cue : int, optional
            Index of the cue.
        content : array-like of bool, shape (n_content,), or sequence of int, optional
            Bits; one of the two must be given.
        match : {"any", "best"}, default="any"
            For bits: every cue that answers, or of these the ones with the largest sum of weights
            from the bits that were shown.

        Returns
        -------
        ndarray of bool, shape (n_content,) or (n_cues,)
            The word, or the cues.

        Raises
        ------
        ParameterError
            If both or neither are given, no bit is set, or an index is out of range.
        ActivityError
            If the content is of another length, or indices repeat.
        """
        check_choice(match, ("any", "best"), name="match", owner="HippocampalCAM.recall")
        if (cue is None) == (content is None):
            raise ParameterError("HippocampalCAM.recall: give either a cue or content.")
        bits = () if content is None else read_bits(content, self.n_content)
        if content is not None and not bits:
            raise ParameterError("HippocampalCAM.recall: the content must have a bit that is set.")
        weights = None if self._state is None else self._state.weight.copy()
        pending = None if self._state is None else self._state.pending.copy()
        drive = self.weights_["content->cue"][list(bits)].sum(axis=0)
        name = "recall_cue" if cue is not None else "recall_content"
        chosen = None if cue is None else self._cue(cue)
        asked = CAMOperation(name, chosen, bits)  # type: ignore[arg-type]  # one of the two names
        begin = self.step
        result = self.execute([asked], _ANSWER + 1 + self.rest)
        spikes = result.spikes["OUT_content" if cue is not None else "OUT_cue"]
        found = np.zeros(spikes.n_units, bool)
        found[spikes.unit[spikes.t == (begin + _ANSWER) * 1000]] = True
        if not self.plastic_recall and weights is not None:
            self._state.weight[:], self._state.pending[:] = weights, pending
        if match == "best" and found.any() and cue is None:
            found &= drive >= drive[found].max() - 1e-9
        return found

    def fit(self, X_cue: ArrayLike, X_content: ArrayLike) -> HippocampalCAM:
        """Store rows in their order, in an empty memory.

        Parameters
        ----------
        X_cue : array-like of bool, shape (n_memories, n_cues)
            One cue per row.
        X_content : array-like of bool, shape (n_memories, n_content)
            Words.

        Returns
        -------
        HippocampalCAM
            Itself.

        Raises
        ------
        ActivityError
            If shapes do not fit, values are not 0 or 1, or a row has not exactly one cue.
        """
        cues, words = (
            read_binary(x, name) for x, name in ((X_cue, "X_cue"), (X_content, "X_content"))
        )
        if cues.shape != (len(words), self.n_cues) or words.shape[1] != self.n_content:
            raise ActivityError(
                f"HippocampalCAM.fit: X_cue must be (n_memories, {self.n_cues}) and X_content "
                f"(n_memories, {self.n_content}); got {cues.shape} and {words.shape}."
            )
        if (cues.sum(axis=1) != 1).any():
            row = int(np.argmax(cues.sum(axis=1) != 1))
            raise ActivityError(f"HippocampalCAM.fit: row {row} must have exactly one cue.")
        self._state = None
        for cue, word in zip(cues.argmax(axis=1), words, strict=True):
            self.learn(int(cue), word)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Recall by rows of cues, or by rows of content, told apart by their width.

        Parameters
        ----------
        X : array-like of bool, shape (n, n_cues) or (n, n_content)
            Questions; cues where both widths are equal.

        Returns
        -------
        ndarray of bool, shape (n, n_content) or (n, n_cues)
            Answers.

        Raises
        ------
        ActivityError
            If the width is neither, values are not 0 or 1, or a row has not exactly one cue.
        ParameterError
            If a row of content is empty.
        """
        rows = read_binary(X, "X")
        if rows.shape[1] == self.n_cues:
            if (rows.sum(axis=1) != 1).any():
                row = int(np.argmax(rows.sum(axis=1) != 1))
                raise ActivityError(f"HippocampalCAM.predict: row {row} must have exactly one cue.")
            return np.array([self.recall(cue=int(row.argmax())) for row in rows])
        if rows.shape[1] == self.n_content:
            return np.array([self.recall(content=row) for row in rows])
        raise ActivityError(
            f"HippocampalCAM.predict: rows must have {self.n_cues} cues or {self.n_content} bits; "
            f"got {rows.shape[1]}."
        )

    def _cue(self, cue: int) -> int:
        return check_integer(cue, name="cue", owner="HippocampalCAM", low=0, high=self.n_cues - 1)
