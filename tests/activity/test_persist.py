"""Saved estimators: everything comes back, nothing else is run, damage is named."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.utils.estimator_checks import check_get_params_invariance

import activome.geometry.principal
from activome.activity._json_values import decode, encode
from activome.activity.persist import load_estimator, save_estimator
from activome.activity.schema import make
from activome.errors import ActivityError, StoreError
from activome.geometry.principal import Covariance, PrincipalComponents

_ROWS = np.random.default_rng(0).standard_normal((30, 4))


class _Holder(BaseEstimator):
    """Takes anything, so that every kind of value can be saved."""

    def __init__(self, first: Any = None, second: Any = 2) -> None:
        self.first = first
        self.second = second


@pytest.fixture
def holder(monkeypatch: pytest.MonkeyPatch) -> type[BaseEstimator]:
    """Return a class that stands among those of the package for the length of a test."""
    name = "activome.geometry.principal"
    monkeypatch.setattr(_Holder, "__module__", name)
    monkeypatch.setattr(activome.geometry.principal, "_Holder", _Holder, raising=False)
    return _Holder


def _same(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        np.testing.assert_array_equal(found, wanted)
    elif isinstance(wanted, (list, tuple)):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            _same(one, other)
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            _same(found[key], wanted[key])
    else:
        assert found == wanted or (found != found and wanted != wanted)


def test_a_fitted_estimator_comes_back() -> None:
    activity = make(_ROWS, unit=list("abcd"), sampling_rate=1.0)
    for fitted in (
        PrincipalComponents(2, whiten=True).fit(activity),
        Covariance(ddof=0).fit(_ROWS),
    ):
        save_estimator(fitted, "e.npz")
        found = load_estimator("e.npz")
        assert found.get_params() == fitted.get_params()
        assert vars(found).keys() == vars(fitted).keys()
        for name, value in vars(fitted).items():
            _same(getattr(found, name), value)
    assert [p.name for p in Path().iterdir()] == ["e.npz"]


def test_an_unfitted_estimator_comes_back_and_keeps_its_contract() -> None:
    save_estimator(PrincipalComponents(0.5), "e.npz")
    found = load_estimator("e.npz")
    assert vars(found) == {"n_components": 0.5, "whiten": False}
    check_get_params_invariance("PrincipalComponents", found)


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | hnp.arrays(
        st.sampled_from(["f4", "f8", "i2", "u8", "?", "c16", "U3", "M8[ms]"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    )
    | hnp.arrays("f8", 3).map(lambda a: a[0])
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.text(max_size=8) | st.integers() | st.just("__type__"), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(_VALUES)
@settings(max_examples=150, deadline=None)
def test_any_value_survives_json(value: Any) -> None:
    _same(decode(json.loads(json.dumps(encode(value), allow_nan=False))), value)


def test_every_kind_of_state_comes_back(holder: type[BaseEstimator]) -> None:
    labelled = make(_ROWS, unit=list("abcd"), sampling_rate=2.0, name="x")
    names = np.array(["a", None, 3], dtype=object)
    original = holder(
        first=PrincipalComponents(2).fit(_ROWS), second=[Covariance(), {"k": (1, None)}]
    )
    original.parts_ = {"weights": [_ROWS, _ROWS[:2]], 3: np.float32(0.5), "n": float("inf")}
    original.names_ = names
    original.labelled_ = labelled
    original.graph_ = sparse.csr_array(np.eye(3))
    original.old_graph_ = sparse.coo_matrix(np.eye(3, dtype=np.float32))
    original.inner_ = [PrincipalComponents(1).fit(_ROWS)]
    original._scratch = object()
    save_estimator(original, "h.npz")
    found: Any = load_estimator("h.npz")
    assert type(found) is holder
    _same(found.first.components_, original.first.components_)
    assert isinstance(found.second[0], Covariance)
    assert found.second[1] == {"k": (1, None)}
    _same(found.parts_, original.parts_)
    _same(found.names_, names)
    xr.testing.assert_identical(found.labelled_, labelled)
    assert type(found.graph_) is sparse.csr_array
    assert type(found.old_graph_) is sparse.coo_matrix
    _same(found.old_graph_.toarray(), np.eye(3, dtype=np.float32))
    _same(found.inner_[0].mean_, original.inner_[0].mean_)
    assert not hasattr(found, "_scratch")


def test_what_cannot_be_saved_is_named(holder: type[BaseEstimator]) -> None:
    cases = [
        (PCA(), r"only estimators of activome.*sklearn\.decomposition"),
        (holder(first=PCA()), "only estimators of activome"),
        (
            holder(first=print),
            r"parameter 'first' of _Holder .* it holds a builtins\.builtin_function",
        ),
        (holder(first={1, 2}), r"parameter 'first' of _Holder .* it holds a builtins\.set"),
        (holder(second=[np.random.default_rng(0)]), "parameter 'second' .*Generator"),
    ]
    for estimator, message in cases:
        with pytest.raises(StoreError, match=message):
            save_estimator(estimator, "h.npz")
    assert list(Path().iterdir()) == []


def _rewrite(change: Any) -> None:
    """Save an estimator, change its description, and write the file again."""
    save_estimator(PrincipalComponents(2).fit(_ROWS), "e.npz")
    with np.load("e.npz") as archive:
        arrays = dict(archive)
    description = json.loads(bytes(arrays["estimator.json"]))
    change(description)
    arrays["estimator.json"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
    with Path("e.npz").open("wb") as file:
        np.savez(file, **arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=2), "format 2; this version reads format 1"),
        (lambda d: d.pop("format"), "no saved estimator"),
        (lambda d: d["estimator"].update({"class": "os:system"}), "class 'os:system', which is no"),
        (
            lambda d: d["estimator"].update({"class": "activome.errors:StoreError"}),
            "is no estimator",
        ),
        (
            lambda d: d["estimator"].update({"class": "activome.geometry.principal:np"}),
            "is no estim",
        ),
        (
            lambda d: d["estimator"].update({"class": "activome.geometry.principal:PCA2"}),
            "is no est",
        ),
        (
            lambda d: d["estimator"].update(
                {"class": "activome.geometry.principal:SampleEstimator"}
            ),
            "is no estimator",
        ),
        (
            lambda d: d["estimator"]["params"].update(n_component=3),
            "'n_component', which PrincipalComponents does not have; .*mean 'n_components'",
        ),
        (lambda d: d["estimator"]["state"].update(transform=3), "sets 'transform', which is no"),
        (lambda d: d["estimator"]["state"].update(__class__=3), "sets '__class__', which is no"),
        (lambda d: d["estimator"].pop("params"), "does not fit this version"),
        (
            lambda d: d["estimator"]["state"].update(mean_={"__type__": "array", "ref": "array99"}),
            "does not fit this version",
        ),
        (
            lambda d: d["estimator"]["state"].update(mean_={"__type__": "python", "code": "1"}),
            "unknown tag 'python'",
        ),
    ],
)
def test_files_that_were_changed_are_refused(change: Any, message: str) -> None:
    _rewrite(change)
    with pytest.raises(StoreError, match=message):
        load_estimator("e.npz")


def test_damaged_files_are_refused() -> None:
    save_estimator(PrincipalComponents().fit(_ROWS), "e.npz")
    whole = Path("e.npz").read_bytes()
    for n in [0, 1, 4, 30, *range(100, len(whole) - 1, len(whole) // 12)]:
        Path("cut.npz").write_bytes(whole[:n])
        with pytest.raises(StoreError, match=r"cut\.npz is missing, damaged or no saved"):
            load_estimator("cut.npz")
    fitted = vars(load_estimator("e.npz"))
    n_refused = 0
    for place in np.random.default_rng(0).integers(0, 8 * len(whole), 60).tolist():
        data = bytearray(whole)
        data[place // 8] ^= 1 << (place % 8)
        Path("flip.npz").write_bytes(data)
        try:
            found = vars(load_estimator("flip.npz"))
        except StoreError:
            n_refused += 1
        else:
            # A flip in a date or an attribute of the archive changes no value.
            for name, value in fitted.items():
                _same(found[name], value)
    assert n_refused > 40
    with pytest.raises(StoreError, match=r"nowhere\.npz is missing"):
        load_estimator("nowhere.npz")


def test_a_pickle_is_never_opened() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([object], dtype=object), allow_pickle=True)
    with zipfile.ZipFile("e.npz", "w") as archive:
        archive.writestr("estimator.json.npy", buffer.getvalue())
    with pytest.raises(StoreError, match="allow_pickle=False"):
        load_estimator("e.npz")


def test_load_of_another_class_is_refused() -> None:
    Covariance().fit(_ROWS).save("e.npz")
    with pytest.raises(ActivityError, match="holds a Covariance"):
        PrincipalComponents.load("e.npz")
