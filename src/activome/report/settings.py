"""Settings of a report: how much enters the analyses, and how strict they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from activome._checks import DEFAULT_MEMORY_LIMIT, check_integer, check_number

__all__ = ["ReportSettings"]


@dataclass(frozen=True)
class ReportSettings:
    """What a report does with a recording.

    Parameters
    ----------
    alpha : float in (0, 1), default=0.01
        Level of every section, after correction over what the section tests.
    n_surrogates : int, default=199
        Surrogates of each test; more where a correction over several tests needs them.
    max_samples : int, default=20000
        Most samples that enter the analyses; longer recordings are averaged in wider bins.
    max_units : int, default=400
        Most units that enter analyses with surrogates; of more, that many are drawn at random.
    max_labels : int, default=8
        Most label columns that are decoded.
    max_components : int, default=8
        Most parts that are tried.
    memory_limit : int, default=2 GiB
        Most memory in bytes.
    labels : tuple of str, optional
        Label columns to use; all of them by default.
    random_state : int, default=0
        Seed of everything random.

    Raises
    ------
    ParameterError
        If a value is outside its range.

    Examples
    --------
    >>> ReportSettings(max_samples=5000).n_surrogates
    199
    """

    alpha: float = 0.01
    n_surrogates: int = 199
    max_samples: int = 20_000
    max_units: int = 400
    max_labels: int = 8
    max_components: int = 8
    memory_limit: int = DEFAULT_MEMORY_LIMIT
    labels: tuple[str, ...] | None = None
    random_state: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        check_number(self.alpha, name="alpha", owner="ReportSettings", low=0.0, high=1.0)
        lowest = {
            "n_surrogates": 19,
            "max_samples": 100,
            "max_units": 2,
            "max_labels": 1,
            "max_components": 1,
            "memory_limit": 1 << 26,
            "random_state": 0,
        }
        for name, low in lowest.items():
            check_integer(getattr(self, name), name=name, owner="ReportSettings", low=low)

    def surrogates_for(self, n_tests: int) -> int:
        """Return how many surrogates each of several tests needs.

        Parameters
        ----------
        n_tests : int
            Tests that are corrected together.

        Returns
        -------
        int
            Enough for the smallest p-value, times the number of tests, to reach ``alpha``.
        """
        return max(self.n_surrogates, round(max(n_tests, 1) / self.alpha) - 1)

    def as_record(self) -> dict[str, Any]:
        """Return the settings as plain values.

        Returns
        -------
        dict
            One entry per setting.
        """
        record = asdict(self)
        record["labels"] = None if self.labels is None else list(self.labels)
        return record
