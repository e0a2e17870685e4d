"""Covariance and principal components: by hand, against sklearn, and in blocks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.decomposition import PCA

from activome.activity.blocks import fit_blocks
from activome.activity.schema import make
from activome.errors import ActivityError, ParameterError, ResourceError
from activome.geometry.principal import (
    Covariance,
    PrincipalComponents,
    merge_moments,
    moments,
)


def _rows(n_samples: int = 200, n_units: int = 6, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_samples, n_units)) @ rng.standard_normal((n_units, n_units)) + 3.0


def test_covariance_by_hand() -> None:
    fitted = Covariance().fit(np.array([[0.0, 1.0], [2.0, 5.0], [4.0, 3.0]]))
    assert fitted.mean_.tolist() == [2.0, 3.0]
    assert fitted.covariance_.tolist() == [[4.0, 2.0], [2.0, 4.0]]
    assert fitted.n_samples_ == 3
    assert Covariance(ddof=0).fit([[1.0, 2.0]]).covariance_.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_principal_components_by_hand() -> None:
    # Variance 8/2 along (1, 1)/sqrt 2 and none across.
    fitted = PrincipalComponents().fit(np.array([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_allclose(fitted.components_[0], [0.5**0.5, 0.5**0.5])
    np.testing.assert_allclose(fitted.explained_variance_, [2.0, 0.0], atol=1e-15)
    np.testing.assert_allclose(fitted.explained_variance_ratio_, [1.0, 0.0], atol=1e-15)


@given(
    n_samples=st.integers(2, 60),
    cuts=st.lists(st.integers(1, 59), max_size=5, unique=True),
    offset=st.sampled_from([0.0, 1.0, -1e4, 1e6]),
)
@settings(max_examples=40, deadline=None)
def test_moments_merge_to_those_of_all_rows(n_samples: int, cuts: list[int], offset: float) -> None:
    rows = np.random.default_rng(n_samples).standard_normal((n_samples, 3)) + offset
    edges = [0, *sorted(c for c in cuts if c < n_samples), n_samples]
    parts = [moments(rows[a:b]) for a, b in itertools.pairwise(edges)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merge_moments(merged, part)
    assert merged.n_samples == n_samples
    np.testing.assert_allclose(merged.mean, rows.mean(axis=0), rtol=1e-14, atol=1e-15)
    # np.cov centres on the rounded mean, which costs eps * offset per row.
    slack = 1e-10 * n_samples + n_samples * (4e-16 * offset) ** 2 + 1e-9 * (abs(offset) > 1e3)
    np.testing.assert_allclose(merged.scatter, np.cov(rows.T, ddof=0) * n_samples, atol=slack)


def test_a_large_offset_does_not_swamp_the_variance() -> None:
    steps = np.tile(np.array([[0.0], [1.0], [2.0]]), (1000, 1))
    fitted = fit_blocks(Covariance(ddof=0), steps + 2.0**20, block=7)
    # Sums of squares would be off by 2**40 * 1e-16; a mean is rounded to 2**20 * 1e-16.
    assert fitted.covariance_[0, 0] == pytest.approx(2 / 3, rel=1e-9)


@pytest.mark.parametrize("shape", [(200, 6), (6, 6), (5, 9), (2, 3), (50, 1)])
@pytest.mark.parametrize("whiten", [False, True])
def test_parity_with_sklearn(shape: tuple[int, int], whiten: bool) -> None:
    rows = _rows(*shape)
    n = min(shape[0] - 1, shape[1])
    ours, peer = PrincipalComponents(n, whiten=whiten).fit(rows), PCA(n, whiten=whiten).fit(rows)
    sign = np.sign((ours.components_ * peer.components_).sum(axis=1))
    np.testing.assert_allclose(ours.components_, sign[:, None] * peer.components_, atol=1e-10)
    np.testing.assert_allclose(ours.explained_variance_, peer.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(
        ours.explained_variance_ratio_, peer.explained_variance_ratio_, rtol=1e-10
    )
    np.testing.assert_allclose(ours.transform(rows), sign * peer.transform(rows), atol=1e-9)
    np.testing.assert_allclose(
        ours.inverse_transform(ours.transform(rows)),
        peer.inverse_transform(peer.transform(rows)),
        atol=1e-9,
    )


@pytest.mark.parametrize("share", [0.3, 0.8, 0.999])
def test_a_share_of_variance_chooses_as_sklearn_does(share: float) -> None:
    rows = _rows()
    assert PrincipalComponents(share).fit(rows).n_components_ == PCA(share).fit(rows).n_components_


def test_the_sign_does_not_hang_on_how_the_rows_come() -> None:
    rows = _rows()
    wanted = PrincipalComponents().fit(rows).components_
    largest = np.abs(wanted).argmax(axis=1)
    assert (wanted[np.arange(6), largest] > 0).all()
    for other in (rows[::-1], 2 * rows.mean(axis=0) - rows, rows * 10 + 5):
        np.testing.assert_allclose(PrincipalComponents().fit(other).components_, wanted, atol=1e-10)


def test_labels_are_kept_and_lazy_equals_eager() -> None:
    activity = make(
        _rows(120).reshape(4, 30, 6), trial=list("abcd"), unit=list("uvwxyz"), sampling_rate=10.0
    )
    eager = PrincipalComponents(2)
    found = eager.fit_transform(activity)
    assert found.dims == ("trial", "time", "unit")
    assert found["trial"].values.tolist() == list("abcd")
    lazy = PrincipalComponents(2)
    again = lazy.fit_transform(activity.chunk({"trial": 1, "time": 7}))
    np.testing.assert_allclose(lazy.components_, eager.components_, atol=1e-10)
    np.testing.assert_allclose(again.values, found.values, atol=1e-9)
    np.testing.assert_array_equal(np.asarray(lazy.unit_names_), list("uvwxyz"))
    back = eager.inverse_transform(found)
    assert back["unit"].values.tolist() == list("uvwxyz")


def test_single_precision_is_summed_in_double() -> None:
    rows = _rows(5000).astype(np.float32)
    np.testing.assert_allclose(
        Covariance().fit(rows).covariance_, np.cov(rows.astype(np.float64).T), rtol=1e-12
    )


def test_round_trips() -> None:
    fitted = PrincipalComponents(3, whiten=True).fit(_rows())
    assert clone(fitted).get_params() == {"n_components": 3, "whiten": True}
    fitted.save("pca.npz")
    loaded = PrincipalComponents.load("pca.npz")
    np.testing.assert_array_equal(loaded.transform(_rows()), fitted.transform(_rows()))


@pytest.mark.parametrize(
    ("method", "rows", "error", "message"),
    [
        (PrincipalComponents(), [[1.0, 2.0]], ActivityError, "needs|minimum of 2"),
        (PrincipalComponents(), np.ones((5, 3)), ActivityError, "activity must vary"),
        (PrincipalComponents(), np.full((5, 3), 0.1), ActivityError, "activity must vary"),
        (PrincipalComponents(7), _rows(), ParameterError, "n_components must be .* at most 6"),
        (PrincipalComponents(0), _rows(), ParameterError, "n_components must be"),
        (PrincipalComponents(1.5), _rows(), ParameterError, r"n_components must be in \(0, 1\)"),
        (PrincipalComponents(whiten=True), _rows(4), ActivityError, "component 3 has none"),
        (PrincipalComponents(whiten="yes"), _rows(), ParameterError, "whiten must be"),  # type: ignore[arg-type]
        (Covariance(), [[1.0, 2.0]], ActivityError, "more than ddof = 1 samples; got 1"),
        (Covariance(ddof=-1), _rows(), ParameterError, "ddof must be"),
        (Covariance(), np.array([[1.0], [np.nan]]), ActivityError, "sample 1, unit 0"),
    ],
)
def test_refusals(method: Any, rows: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        method.fit(rows)


def test_a_matrix_that_is_too_large_is_refused_before_it_is_made() -> None:
    with pytest.raises(ResourceError, match=r"covariance of 20000 units.*Select fewer units"):
        Covariance().fit(np.zeros((2, 20_000)))
