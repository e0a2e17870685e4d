"""Checks of state: parameters, repeated fits, seeds, files, and life inside scikit-learn."""

from __future__ import annotations

import inspect
import re
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_limits

from activome.activity.estimators.base import ActivityEstimator
from activome.testing._case import (
    OUTPUT_METHODS,
    Case,
    NotApplicableError,
    assert_close,
    global_random_states,
    numbers,
    tolerated,
)

__all__ = ["STATE_CHECKS"]


def init_only_stores(case: Case) -> None:
    """The constructor stores its arguments under their names, and does nothing else."""
    fresh = clone(case.estimator)
    parameters = case.estimator.get_params(deep=False)
    assert set(vars(fresh)) == set(parameters), (
        f"attributes are {sorted(vars(fresh))}, parameters are {sorted(parameters)}"
    )
    built = type(case.estimator)(**parameters)
    for name, value in parameters.items():
        assert getattr(built, name) is value, f"{name} is not stored as it was given"


def no_required_varargs(case: Case) -> None:
    """The constructor names every parameter: no ``*args``, no ``**kwargs``."""
    signature = inspect.signature(type(case.estimator))
    for name, parameter in signature.parameters.items():
        kinds = (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        assert parameter.kind not in kinds, f"the constructor takes {parameter}: {name}"


def parameters_round_trip(case: Case) -> None:
    """``get_params`` and ``set_params`` give and take every parameter; unknown ones are refused."""
    fresh = clone(case.estimator)
    parameters = fresh.get_params(deep=False)
    assert fresh.set_params(**parameters) is fresh, "set_params does not return the estimator"
    after = fresh.get_params(deep=False)
    changed = [name for name in parameters if after[name] is not parameters[name]]
    assert after.keys() == parameters.keys(), "parameters come and go"
    assert not changed, f"{changed} have changed"
    try:
        fresh.set_params(no_such_parameter=1)
    except ValueError:
        return
    raise AssertionError("set_params takes a parameter that does not exist")


def fit_keeps_parameters(case: Case) -> None:
    """Fitting does not change a parameter."""
    fresh = case.new()
    before = {name: deepcopy(value) for name, value in fresh.get_params(deep=False).items()}
    after = case.fit(case.activity, fresh).get_params(deep=False)
    changed = [name for name in before if repr(before[name]) != repr(after[name])]
    assert not changed, f"fit changed {changed}"


def fit_returns_self(case: Case) -> None:
    """``fit`` returns the estimator itself."""
    fresh = case.new()
    assert case.fit(case.activity, fresh) is fresh, "fit returned something else"


def no_state_before_fit(case: Case) -> None:
    """Learned attributes do not exist before ``fit``, and do after it."""
    early = [name for name in vars(case.new()) if name.endswith("_")]
    assert not early, f"{early} exist before fit"
    late = [n for n in vars(case.fitted) if n.endswith("_") and not n.startswith("_")]
    assert set(late) - {"unit_names_", "n_features_in_"}, "fit learned nothing that ends in '_'"


def counts_units(case: Case) -> None:
    """``n_features_in_`` is the number of units of the fit."""
    n_units = case.activity.sizes["unit"]
    assert case.fitted.n_features_in_ == n_units, f"it says {case.fitted.n_features_in_}"


def unfitted_raises(case: Case) -> None:
    """Output methods of an unfitted estimator raise NotFittedError."""
    case.need_outputs()
    for method in OUTPUT_METHODS:
        if not hasattr(case.fitted, method):
            continue
        try:
            getattr(case.new(), method)(case.activity)
        except NotFittedError:
            continue
        except Exception as error:
            raise AssertionError(f"{method}: {type(error).__name__}: {error}") from error
        raise AssertionError(f"{method} of an unfitted estimator gave a result")


def fit_idempotent(case: Case) -> None:
    """Fitting twice gives what fitting once gives."""
    twice = case.fit(case.activity, case.fit(case.activity))
    assert_close(case.reference, case.results(twice, case.activity), "a second fit")


def refit_forgets(case: Case) -> None:
    """A fit to other data leaves nothing of the fit before."""
    other = case.activity.isel(unit=slice(0, -1), trial=slice(2, None))
    fresh = case.results(case.fit(other), other)
    used = case.results(case.fit(other, case.fit(case.activity)), other)
    assert_close(fresh, used, "a fit after another one")


def outputs_deterministic(case: Case) -> None:
    """Output methods give the same twice, and leave the estimator as it was."""
    case.need_outputs()
    estimator = case.fit(case.activity)
    before = {name: deepcopy(value) for name, value in vars(estimator).items()}
    one = case.results(estimator, case.activity)
    assert_close(one, case.results(estimator, case.activity), "the second call", tolerance=0.0)
    assert set(vars(estimator)) == set(before), "an output method adds or removes attributes"
    for name, value in before.items():
        if isinstance(value, np.ndarray):
            is_float = value.dtype.kind in "fc"
            kept = np.array_equal(value, vars(estimator)[name], equal_nan=is_float)
            assert kept, f"an output method changes {name}"


def fit_transform_agrees(case: Case) -> None:
    """``fit_transform`` gives what ``fit`` and then ``transform`` give."""
    case.need_transform()
    y = case.target(case.activity)
    with tolerated():
        fresh = case.new()
        result = fresh.fit_transform(case.activity, y) if case.takes_target else None
        result = fresh.fit_transform(case.activity) if result is None else result
    both = {"transform": numbers(result)}
    assert_close({"transform": case.reference["transform"]}, both, "fit_transform")


def seed_reproduces(case: Case) -> None:
    """The same seed gives the same results, to the last bit."""
    again = case.fit(case.activity)
    results = case.results(again, case.activity)
    assert_close(case.reference, results, "the same seed", tolerance=0.0)


def generator_accepted(case: Case) -> None:
    """``random_state`` takes a numpy Generator, and equal generators give equal results."""
    if "random_state" not in case.estimator.get_params():
        raise NotApplicableError("it has no random_state")
    results = []
    for _ in range(2):
        fresh = case.new(random_state=np.random.default_rng(5))
        results.append(case.results(case.fit(case.activity, fresh), case.activity))
    assert_close(results[0], results[1], "equal generators", tolerance=0.0)


def no_global_randomness(case: Case) -> None:
    """The generators of the process are neither read nor seeded."""
    before = global_random_states()
    case.results(case.fit(case.activity), case.activity)
    after = global_random_states()
    # A method may load torch while it runs: its generator is then compared from the next run on.
    assert before == after[: len(before)], "a generator of the process was used"


def thread_counts_agree(case: Case) -> None:
    """One thread and two give the same results."""
    results = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads), _numba_threads(n_threads):
            results.append(case.results(case.fit(case.activity), case.activity))
    assert_close(results[0], results[1], "another number of threads", tolerance=1e-9)


@contextmanager
def _numba_threads(n_threads: int) -> Iterator[None]:
    numba = sys.modules.get("numba")
    if numba is None:
        yield
        return
    before = numba.get_num_threads()
    numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)


def save_and_load(case: Case) -> None:
    """A saved estimator comes back with its parameters, labels and results, without pickle."""
    if not hasattr(case.fitted, "save"):
        raise NotApplicableError("it has no save")
    kind = type(case.fitted)
    if kind.save is ActivityEstimator.save and kind.__module__.partition(".")[0] != "activome":
        raise NotApplicableError("saved files name classes of activome only")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fitted.activome"
        case.fitted.save(path)
        _no_pickle(path)
        loaded = type(case.fitted).load(path)
    assert repr(loaded) == repr(case.fitted), f"parameters came back as {loaded!r}"
    results = case.results(loaded, case.activity)
    assert_close(case.reference, results, "a loaded estimator", tolerance=0.0)


def _no_pickle(path: Path) -> None:
    contents = [path.read_bytes()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            contents = [archive.read(name) for name in archive.namelist()]
    for content in contents:
        is_pickle = content[:1] == b"\x80" and content.endswith(b".")
        has_objects = re.match(rb"\x93NUMPY.{4,6}\{'descr': '\|O'", content, re.DOTALL)
        assert not is_pickle, "the saved file is a pickle"
        assert not has_objects, "the saved file holds pickled objects"


def copies_are_independent(case: Case) -> None:
    """A deep copy gives the same results, also after the original is fitted to other data."""
    estimator = case.fit(case.activity)
    copy = deepcopy(estimator)
    case.fit(case.activity.isel(trial=slice(4, None)), estimator)
    results = case.results(copy, case.activity)
    assert_close(case.reference, results, "a deep copy", tolerance=0.0)


def no_warnings(case: Case) -> None:
    """Fitting and using the method on clean data warns of nothing but convergence."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fresh = case.new()
        y = case.target(case.activity)
        fresh = fresh.fit(case.activity, y) if case.takes_target else fresh.fit(case.activity)
        for method in OUTPUT_METHODS:
            if hasattr(fresh, method):
                getattr(fresh, method)(case.activity)
    told = [w for w in caught if w.category.__name__ != "ConvergenceWarning"]
    assert not told, f"{told[0].category.__name__}: {told[0].message}" if told else ""


def in_pipeline(case: Case) -> None:
    """The method gives the same results as the last step of a Pipeline."""
    case.need_outputs()
    line = Pipeline([("as_it_is", FunctionTransformer()), ("method", case.new())])
    fitted = case.fit(case.activity, line)
    assert_close(case.reference, case.results(fitted, case.activity), "a Pipeline")


def in_grid_search(case: Case) -> None:
    """GridSearchCV fits the method on folds of plain numbers."""
    X = case.plain(case.activity)
    y = case.target(case.activity)
    name, value = next(iter(case.new().get_params(deep=False).items()), ("", None))
    grid = {name: [value]} if name else {}
    scored = hasattr(case.estimator, "score")
    search = GridSearchCV(
        case.new(),
        grid,
        cv=KFold(2),
        error_score="raise",
        scoring=None if scored else _no_score,
    )
    with tolerated():
        search.fit(X, y)
    assert np.isfinite(search.best_score_), "the score is not finite"


def _no_score(estimator: Any, X: Any, y: Any = None) -> float:
    return 0.0


def documents_parameters(case: Case) -> None:
    """The docstring lists the parameters of the constructor, all of them and in their order."""
    text = inspect.getdoc(type(case.estimator)) or ""
    section = re.search(r"Parameters\n-+\n(.*?)(?:\n\n\w+\n-+\n|\Z)", text, re.DOTALL)
    lines = section.group(1).splitlines() if section else []
    names: list[str] = []
    for line in lines:
        found = re.match(r"(\w+(?:, \w+)*) :", line)
        if found:
            names += found.group(1).split(", ")
    expected = list(case.estimator.get_params(deep=False))
    signature = [n for n in inspect.signature(type(case.estimator)).parameters if n in expected]
    assert names == signature, f"the docstring lists {names}, the constructor has {signature}"


def documents_attributes(case: Case) -> None:
    """The docstring names every learned attribute that a reader can see."""
    text = inspect.getdoc(type(case.estimator)) or ""
    known = {"n_features_in_", "feature_names_in_", "unit_names_"}
    shown = [n for n in vars(case.fitted) if n.endswith("_") and not n.startswith("_")]
    missing = [name for name in shown if name not in known and name not in text]
    assert not missing, f"the docstring does not name {missing}"


STATE_CHECKS = (
    init_only_stores,
    no_required_varargs,
    parameters_round_trip,
    fit_keeps_parameters,
    fit_returns_self,
    no_state_before_fit,
    counts_units,
    unfitted_raises,
    fit_idempotent,
    refit_forgets,
    outputs_deterministic,
    fit_transform_agrees,
    seed_reproduces,
    generator_accepted,
    no_global_randomness,
    thread_counts_agree,
    save_and_load,
    copies_are_independent,
    no_warnings,
    in_pipeline,
    in_grid_search,
    documents_parameters,
    documents_attributes,
)
