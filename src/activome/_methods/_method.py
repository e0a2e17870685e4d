"""One row of the table of public methods."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Method"]


@dataclass(frozen=True)
class Method:
    """One public method.

    Attributes
    ----------
    name : str
        Public name.
    module : str
        Module that defines it.
    kind : {"sample", "trial", "sequence", "function", "other"}
        Which base the estimator has; "function" for plain functions and "other" for classes
        with an interface of their own, which have tests of their own.
    arguments : dict
        Constructor arguments that suit the small data of the contract tests.
    exempt : dict
        Contract checks that do not apply, each with the reason.
    data : dict
        Arguments of ``activome.testing.check_activity`` for the data of the contract tests.
    """

    name: str
    module: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    exempt: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
