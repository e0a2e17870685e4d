"""Claims and studies: what a paper says, what was measured here, and whether it holds."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from activome import __version__
from activome._files import atomic_path
from activome._progress import Progress, silent
from activome.errors import ParameterError
from activome.studies._cache import read_value, write_value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Claim", "Size", "Study"]

Size = Literal["smoke", "full"]
T = TypeVar("T")


@dataclass(frozen=True)
class Claim:
    """One claim of a paper and what was measured for it.

    Attributes
    ----------
    name : str
        What is claimed.
    paper : str
        The paper's figure, or "-" where it gives none.
    measured : float, str or None
        The figure measured here; None when the claim was not run.
    threshold : str
        What the figure must fulfil, such as ">= 0.85".
    holds : bool or None
        Whether it does; None when the claim was not run.
    note : str
        What a reader should know, such as what is missing to run the claim.
    """

    name: str
    paper: str
    measured: float | str | None
    threshold: str
    holds: bool | None
    note: str = ""


@dataclass
class Study:
    """The bench on which a study runs: steps that resume, claims, notes and one figure.

    A study's file has a function ``run(study)`` that measures in steps and states claims. What a
    step returns (numbers, strings, arrays, and dicts or lists of these) is kept on disk, so that
    an interrupted study goes on where it was; a change of the study's source, of the version or of
    the seed starts afresh.

    Parameters
    ----------
    name : str
        Slug of the system.
    size : {"smoke", "full"}
        Smoke checks the machinery in seconds; full carries the claims.
    folder : Path
        Where steps and the figure are kept.
    random_state : int, default=0
        Seed of everything random in the study.
    client : distributed.Client, optional
        Dask cluster over which ``map`` fans out.
    data : Path, optional
        Folder with real data that the package cannot ship.
    progress : Progress
        Told about every step.
    """

    name: str
    size: Size
    folder: Path
    random_state: int = 0
    client: Any = None
    data: Path | None = None
    progress: Progress = silent
    claims: list[Claim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fingerprint: str = ""

    @property
    def is_full(self) -> bool:
        """Whether this is the size that carries the claims."""
        return self.size == "full"

    @property
    def figure_path(self) -> Path:
        """Where the figure of the study goes."""
        return self.folder / f"{self.name}.png"

    def step(self, name: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run one step, or return what it gave in an interrupted run.

        Parameters
        ----------
        name : str
            Name of the step, unique within the study.
        function : callable
            What to run.
        *args, **kwargs : Any
            Its arguments; they are part of the step's identity.

        Returns
        -------
        Any
            What the function returned: numbers, strings, None, arrays, dicts and lists of these.
        """
        return self.map(name, function, [args], **kwargs)[0]

    def map(
        self, name: str, function: Callable[..., T], items: Sequence[Any], **kwargs: Any
    ) -> list[T]:
        """Run a function for each item: over the cluster where there is one, else in turn.

        Parameters
        ----------
        name : str
            Name of the step, unique within the study.
        function : callable
            What to run; its result is kept as described for ``step``.
        items : sequence
            One call each; a tuple is passed as several arguments.
        **kwargs : Any
            Further arguments of every call.

        Returns
        -------
        list
            One result per item, in order.
        """
        calls = [item if isinstance(item, tuple) else (item,) for item in items]
        paths = [self._step_path(name, function, call, kwargs) for call in calls]
        todo = [i for i, path in enumerate(paths) if not path.exists()]
        self.progress(name, len(calls) - len(todo), len(calls))
        if self.client is not None and todo:
            futures = [self.client.submit(function, *calls[i], **kwargs, pure=False) for i in todo]
            results = (future.result() for future in futures)
        else:
            results = (function(*calls[i], **kwargs) for i in todo)
        done = len(calls) - len(todo)
        for i, result in zip(todo, results, strict=True):
            write_value(paths[i], result)
            done += 1
            self.progress(name, done, len(calls))
        # Read back even what was just measured: a resumed run then sees the same values.
        return [read_value(path) for path in paths]

    def claim(
        self,
        name: str,
        measured: float | bool,
        *,
        paper: str = "-",
        at_least: float | None = None,
        at_most: float | None = None,
        equals: float | bool | None = None,
        note: str = "",
    ) -> Claim:
        """State a claim: a measured figure against its threshold.

        Parameters
        ----------
        name : str
            What is claimed.
        measured : float or bool
            The figure measured here; NaN never holds.
        paper : str, default="-"
            The paper's figure.
        at_least, at_most, equals : float, optional
            The threshold; ``at_least`` and ``at_most`` together state a range.
        note : str, default=""
            What a reader should know.

        Returns
        -------
        Claim
            The claim, which is also kept in ``claims``.

        Raises
        ------
        ParameterError
            If no threshold is given.
        """
        value = float(measured)
        parts: list[str] = []
        holds = not math.isnan(value)
        if at_least is not None:
            parts.append(f">= {at_least:g}")
            holds &= value >= at_least
        if at_most is not None:
            parts.append(f"<= {at_most:g}")
            holds &= value <= at_most
        if equals is not None:
            parts.append("yes" if equals is True else f"= {float(equals):g}")
            holds &= value == float(equals)
        if not parts:
            raise ParameterError(
                f"Study.claim: {name!r} needs a threshold; give at_least, at_most or equals."
            )
        shown: float | str | None = value
        if isinstance(measured, (bool, np.bool_)):
            shown = "yes" if measured else "no"
        elif not math.isfinite(value):
            shown = str(value)
        self.claims.append(Claim(name, paper, shown, " and ".join(parts), holds, note))
        return self.claims[-1]

    def not_run(self, name: str, *, paper: str = "-", threshold: str, reason: str) -> Claim:
        """State a claim that could not be measured, and what is missing.

        Parameters
        ----------
        name : str
            What is claimed.
        paper : str, default="-"
            The paper's figure.
        threshold : str
            What a figure would have to fulfil.
        reason : str
            What is missing and how to get it.

        Returns
        -------
        Claim
            The claim, which is also kept in ``claims``.
        """
        self.claims.append(Claim(name, paper, None, threshold, None, reason))
        return self.claims[-1]

    def note(self, text: str) -> None:
        """Keep a sentence for the reader of the results.

        Parameters
        ----------
        text : str
            Such as that a data set is a stand-in, and where the real one is.
        """
        self.notes.append(text)

    def save_figure(self, figure: Figure) -> None:
        """Write the figure of the study as PNG and close it.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            The figure.
        """
        from matplotlib import pyplot as plt

        with atomic_path(self.figure_path) as temporary:
            figure.savefig(temporary, dpi=130, format="png", metadata={"Software": None})
        plt.close(figure)

    def table(self) -> list[dict[str, Any]]:
        """Return the claims as plain records.

        Returns
        -------
        list of dict
            Keys name, paper, measured, threshold, holds, note.
        """
        return [asdict(claim) for claim in self.claims]

    def _step_path(
        self, name: str, function: Callable[..., Any], call: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Path:
        try:
            source = inspect.getsource(function)
        except (OSError, TypeError):
            source = repr(function)
        identity = [__version__, self.fingerprint, self.size, self.random_state, name, source]
        text = json.dumps([identity, repr(call), repr(sorted(kwargs.items()))])
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        safe = "".join(c if c.isalnum() else "-" for c in name)
        return self.folder / "steps" / f"{self.name}-{self.size}" / f"{safe}-{digest}.npz"
