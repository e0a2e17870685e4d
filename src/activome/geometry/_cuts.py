"""The cuts of the geo-topological family, and what they are called."""

from __future__ import annotations

from typing import Any, NamedTuple

from activome._checks import check_choice, check_number
from activome.errors import ParameterError

__all__ = ["FAMILY", "Cuts", "checked_cuts", "family", "kind_of"]


class Cuts(NamedTuple):
    """A lower and an upper cut, as shares of the dissimilarities.

    Attributes
    ----------
    low : float
        Below this quantile a dissimilarity becomes 0.
    high : float
        Above this quantile it becomes 1.
    """

    low: float
    high: float


FAMILY = {
    "topology": Cuts(0.4, 0.6),
    "geometry": Cuts(0.1, 0.9),
    "local": Cuts(0.0, 0.2),
    "global": Cuts(0.8, 1.0),
    "intermediate": Cuts(0.25, 0.75),
    "threshold": Cuts(0.5, 0.5),
    "rdm": Cuts(0.0, 1.0),
}


def family(kind: str) -> Cuts:
    """Return the cuts of a named member of the geo-topological family.

    Parameters
    ----------
    kind : {"topology", "geometry", "local", "global", "intermediate", "threshold", "rdm"}
        What the map should keep; "rdm" keeps everything.

    Returns
    -------
    Cuts
        Named tuple (low, high), to be handed on: ``GeoTopological(*family("topology"))``.

    Raises
    ------
    ParameterError
        If the kind is unknown.

    Examples
    --------
    >>> family("topology")
    Cuts(low=0.4, high=0.6)
    """
    return FAMILY[check_choice(kind, FAMILY, name="kind", owner="family")]


def kind_of(low: float, high: float) -> str:
    """Name the part of the family that a pair of cuts belongs to.

    Parameters
    ----------
    low, high : float in [0, 1]
        The cuts, ``low <= high``.

    Returns
    -------
    str
        "local" if the mean of the cuts is at most 0.2, "global" if it is at least 0.8, "geometry"
        if they are at least 0.8 apart, "topology" if both are in [0.4, 0.6], else "intermediate".

    Raises
    ------
    ParameterError
        If a cut is outside [0, 1], or ``low`` is above ``high``.

    Examples
    --------
    >>> [kind_of(*cuts) for cuts in [(0.0, 0.3), (0.5, 0.5), (0.0, 1.0), (0.3, 0.8)]]
    ['local', 'topology', 'geometry', 'intermediate']
    """
    low, high = checked_cuts(low, high, "kind_of")
    # Steps of a grid are sums of rounded numbers: 0.1 + 0.7 must not miss 0.8 by a rounding.
    low, high = round(low, 9), round(high, 9)
    tests = {
        "local": round(low + high, 9) <= 0.4,
        "global": round(low + high, 9) >= 1.6,
        "geometry": round(high - low, 9) >= 0.8,
        "topology": low >= 0.4 and high <= 0.6,
    }
    return next((name for name, fits in tests.items() if fits), "intermediate")


def checked_cuts(low: Any, high: Any, owner: str) -> tuple[float, float]:
    """Return two cuts in [0, 1], the lower first.

    Raises
    ------
    ParameterError
        If one is outside [0, 1], or ``low`` is above ``high``.
    """
    ends: dict[str, Any] = {
        "owner": owner,
        "low": 0.0,
        "high": 1.0,
        "include_low": True,
        "include_high": True,
    }
    low, high = check_number(low, name="low", **ends), check_number(high, name="high", **ends)
    if low > high:
        raise ParameterError(
            f"{owner}: low must be at most high; got {low:g} and {high:g}. Exchange them."
        )
    return low, high
