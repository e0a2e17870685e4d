"""What a section of a report says: statements with their tests, figures, arrays and code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

__all__ = ["Figure", "Section", "Statement", "Table", "Test", "Verdict", "holm"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Test:
    """The test behind a statement.

    Attributes
    ----------
    null : str
        What the data were compared with, in words.
    n_surrogates : int
        Surrogates drawn; 0 where the null is known in closed form.
    p_value : float
        Corrected over what the section tests.
    p_uncorrected : float
        Before that correction.
    """

    null: str
    n_surrogates: int
    p_value: float
    p_uncorrected: float

    # pytest would otherwise collect the class where a test module imports it.
    __test__ = False


@dataclass(frozen=True)
class Statement:
    """One sentence of a report.

    Attributes
    ----------
    text : str
        The sentence.
    kind : {"fact", "finding", "absence"}
        A fact describes the data; a finding says that there is structure, an absence that there is
        none above chance. The latter two always carry their test.
    test : Test or None
        The test.
    """

    text: str
    kind: Literal["fact", "finding", "absence"] = "fact"
    test: Test | None = None

    @classmethod
    def judged(cls, found: str, absent: str, test: Test, alpha: float) -> Statement:
        """Return a finding where the test is passed, and an absence where it is not.

        Parameters
        ----------
        found, absent : str
            The sentence for either case.
        test : Test
            The test.
        alpha : float
            Level.

        Returns
        -------
        Statement
            With the test.
        """
        if test.p_value <= alpha:
            return cls(found, "finding", test)
        return cls(absent, "absence", test)


@dataclass(frozen=True)
class Verdict:
    """One chip per section.

    Attributes
    ----------
    kind : {"found", "nothing", "not applicable", "described", "problems"}
        How it is drawn.
    text : str
        What it says.
    """

    kind: Literal["found", "nothing", "not applicable", "described", "problems"]
    text: str


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes
    ----------
    name : str
        File name without its suffix.
    png : bytes
        The picture.
    alt : str
        What it shows, for those who do not see it.
    caption : str
        What to look at.
    """

    name: str
    png: bytes
    alt: str
    caption: str


@dataclass(frozen=True)
class Table:
    """A table that is folded away when long.

    Attributes
    ----------
    title : str
        Heading.
    columns : tuple of str
        Names of the columns.
    rows : sequence of tuple of str
        Cells, as text.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes
    ----------
    verdict : Verdict
        The chip.
    headline : tuple of (str, str)
        A number and what it counts, for the first screen.
    statements : list of Statement
        Sentences.
    figures : list of Figure
        Pictures.
    tables : list of Table
        Tables.
    numbers : dict
        Every number, as plain values.
    arrays : dict of str to ndarray
        Every array drawn; numbers and booleans.
    code : str
        Three lines of Python that redo the analysis.
    """

    verdict: Verdict
    headline: tuple[str, str]
    statements: list[Statement]
    code: str
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return everything but arrays and pictures as plain values.

        Returns
        -------
        dict
            Ready for JSON; numbers that are not finite become None.
        """
        plain = {
            "verdict": asdict(self.verdict),
            "headline": list(self.headline),
            "statements": [asdict(statement) for statement in self.statements],
            "code": self.code,
            "figures": [{"name": f.name, "alt": f.alt, "caption": f.caption} for f in self.figures],
            "tables": [asdict(table) for table in self.tables],
            "numbers": self.numbers,
            "arrays": sorted(self.arrays),
        }
        return dict(plain_values(plain))


def plain_values(value: Any) -> Any:
    """Return nested values as JSON knows them; what is not finite becomes None."""
    if isinstance(value, dict):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain_values(value.tolist())
    if isinstance(value, np.generic):
        return plain_values(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number of tests by Holm's step-down rule.

    Parameters
    ----------
    p_values : sequence of float
        One per test.

    Returns
    -------
    list of float
        Corrected, in the same order: with level alpha the chance of any false finding is at most
        alpha, however the tests depend on each other.

    References
    ----------
    .. [1] S. Holm, "A simple sequentially rejective multiple test procedure", 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    n, running = len(p_values), 0.0
    corrected = [1.0] * n
    for rank, place in enumerate(order):
        running = max(running, min(1.0, (n - rank) * float(p_values[place])))
        corrected[int(place)] = running
    return corrected
