"""The contract of estimators on (trial, time, unit), as named checks that anyone can run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from activome._checks import check_choice, nearest_names
from activome.activity.estimators.sample import SampleEstimator
from activome.activity.estimators.sequence import SequenceEstimator
from activome.activity.estimators.trial import TrialEstimator
from activome.errors import ParameterError
from activome.testing._case import Case, NotApplicableError
from activome.testing._label_checks import LABEL_CHECKS
from activome.testing._state_checks import STATE_CHECKS
from activome.testing._value_checks import VALUE_CHECKS

__all__ = ["CHECK_NAMES", "ActivityCheck", "activity_checks", "check_activity_estimator"]

_FUNCTIONS = {check.__name__: check for check in (*LABEL_CHECKS, *VALUE_CHECKS, *STATE_CHECKS)}
_BASES = {"sample": SampleEstimator, "trial": TrialEstimator, "sequence": SequenceEstimator}
CHECK_NAMES = tuple(_FUNCTIONS)


@dataclass
class ActivityCheck:
    """One check of one estimator.

    Attributes
    ----------
    name : str
        Name of the check.
    promise : str
        What it requires, in one sentence.
    exempt : str or None
        Why the estimator is exempt from it.
    status : {"waiting", "passed", "failed", "exempt", "not applicable"}
        How it went; "waiting" before ``run``.
    message : str
        What failed, or why the check does not apply.
    """

    name: str
    promise: str
    _case: Case
    exempt: str | None = None
    status: Literal["waiting", "passed", "failed", "exempt", "not applicable"] = "waiting"
    message: str = ""

    def run(self) -> ActivityCheck:
        """Run the check, unless the estimator is exempt from it.

        Returns
        -------
        ActivityCheck
            The check itself, with ``status`` and ``message`` set.
        """
        if self.exempt is not None:
            self.status, self.message = "exempt", self.exempt
            return self
        try:
            _FUNCTIONS[self.name](self._case)
        except NotApplicableError as reason:
            self.status, self.message = "not applicable", str(reason)
        except AssertionError as failure:
            self.status, self.message = "failed", str(failure)
        except Exception as error:
            self.status, self.message = "failed", f"{type(error).__name__}: {error}"
        else:
            self.status = "passed"
        return self


def activity_checks(
    estimator: Any,
    *,
    base: Literal["sample", "trial", "sequence"] | None = None,
    data: Mapping[str, Any] | None = None,
    exempt: Mapping[str, str] | None = None,
) -> Iterator[ActivityCheck]:
    """Yield the checks of an estimator, one by one and not yet run.

    Parameters
    ----------
    estimator : estimator
        An unfitted instance, small enough to be fitted about a hundred times.
    base : {"sample", "trial", "sequence"}, optional
        Orientation of plain numbers; found from the base class or from scikit-learn's tags.
    data : mapping, optional
        Arguments of ``check_activity``, such as ``{"values": "count"}`` for a model of counts.
    exempt : mapping of str to str, optional
        Names of checks that do not apply, each with the reason.

    Yields
    ------
    ActivityCheck
        Call its ``run``.

    Raises
    ------
    ParameterError
        If the estimator is a class, ``base`` is unknown or cannot be found, or ``exempt`` names no
        check or gives no reason.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> checks = {check.name: check for check in activity_checks(StandardScaler())}
    >>> checks["init_only_stores"].run().status, checks["labels_kept"].run().status
    ('passed', 'failed')
    """
    owner = "activity_checks"
    if isinstance(estimator, type):
        raise ParameterError(
            f"{owner}: estimator must be an instance; got the class {estimator.__name__}. "
            "Call it with its smallest sensible arguments."
        )
    base_name = _base_of(estimator, owner) if base is None else base
    check_choice(base_name, tuple(_BASES), name="base", owner=owner)
    reasons = dict(exempt or {})
    for name, reason in reasons.items():
        if name not in _FUNCTIONS or not str(reason).strip():
            raise ParameterError(
                f"{owner}: exempt must map names of checks to reasons; got {name!r}: {reason!r}; "
                f"{nearest_names(name, CHECK_NAMES)}"
            )
    case = Case(estimator, base_name, dict(data or {}))
    return (
        ActivityCheck(name, (function.__doc__ or "").splitlines()[0], case, reasons.get(name))
        for name, function in _FUNCTIONS.items()
    )


def _base_of(estimator: Any, owner: str) -> str:
    for name, base in _BASES.items():
        if isinstance(estimator, base):
            return name
    tags = estimator.__sklearn_tags__().input_tags
    if tags.three_d_array and not tags.two_d_array:
        return "trial"
    if tags.two_d_array:
        return "sample"
    raise ParameterError(
        f"{owner}: base must be given for {type(estimator).__name__}, whose tags do not tell how "
        "its input is laid out. Give 'sample', 'trial' or 'sequence'."
    )


def check_activity_estimator(
    estimator: Any,
    *,
    base: Literal["sample", "trial", "sequence"] | None = None,
    data: Mapping[str, Any] | None = None,
    exempt: Mapping[str, str] | None = None,
    on_fail: Literal["raise", "return"] = "raise",
) -> list[ActivityCheck]:
    """Check that an estimator keeps the contract of activome.

    Every check runs, also after one has failed, so that one call tells all that is to be mended.

    Parameters
    ----------
    estimator : estimator
        An unfitted instance, small enough to be fitted about a hundred times.
    base : {"sample", "trial", "sequence"}, optional
        Orientation of plain numbers; found from the base class or from scikit-learn's tags.
    data : mapping, optional
        Arguments of ``check_activity``, such as ``{"values": "count"}`` for a model of counts.
    exempt : mapping of str to str, optional
        Names of checks that do not apply, each with the reason.
    on_fail : {"raise", "return"}, default="raise"
        Raise an error that lists all failures, or only return them.

    Returns
    -------
    list of ActivityCheck
        All checks, with how they went.

    Raises
    ------
    AssertionError
        If a check fails and ``on_fail`` is "raise".
    ParameterError
        If an argument is not valid.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> checks = check_activity_estimator(StandardScaler(), on_fail="return")
    >>> len(checks) >= 40, sum(check.status == "failed" for check in checks) > 5
    (True, True)
    """
    check_choice(on_fail, ("raise", "return"), name="on_fail", owner="check_activity_estimator")
    checks = [
        check.run() for check in activity_checks(estimator, base=base, data=data, exempt=exempt)
    ]
    failed = [check for check in checks if check.status == "failed"]
    if failed and on_fail == "raise":
        lines = [f"  {check.name}: {check.message}" for check in failed]
        name = type(estimator).__name__
        raise AssertionError(
            f"{name} fails {len(failed)} of {len(checks)} checks:\n" + "\n".join(lines)
        )
    return checks
