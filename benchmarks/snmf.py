"""Semi-nonnegative factorisation: 64 parts, 20 iterations, float32, against scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from activome.patterns.semi_nmf import SemiNMF
from harness import Case, Peer, main

_UNITS = 768
_PARTS = 64
_SWEEPS = 20


def make_activity(n_samples: float) -> Any:
    """Non-negative noise, so that both factorise the very same numbers."""
    rng = np.random.default_rng(0)
    return np.abs(rng.standard_normal((int(n_samples), _UNITS), dtype=np.float32))


def fit_ours(activity: Any) -> float:
    """Fit all entries of 64 features; give the share left unexplained."""
    model = SemiNMF(_PARTS, keep=1.0, max_iter=_SWEEPS, tol=0.0).fit(activity)
    return float(model.loss_curve_.min())


def fit_sparse(activity: Any) -> float:
    """Fit 64 features of 8 units each."""
    model = SemiNMF(_PARTS, keep=0.01, max_iter=_SWEEPS, tol=0.0).fit(activity)
    return float(model.loss_curve_.min())


def fit_sklearn(activity: Any) -> float:
    """Fit with multiplicative updates for both factors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = NMF(_PARTS, solver="mu", init="random", max_iter=_SWEEPS, tol=0.0, random_state=0)
        return float(model.fit(activity).reconstruction_err_ ** 2)


def differs(ours: float, theirs: float) -> float:
    """Tell the relative difference of the losses."""
    return abs(ours - theirs) / theirs


def flops(n_samples: float) -> float:
    """Count two products with the data and the small ones of each iteration."""
    return _SWEEPS * (4 * n_samples * _UNITS * _PARTS + 6 * n_samples * _PARTS**2)


def cases() -> Sequence[Case]:
    """Full features against the peer at three sizes, and sparse ones against it at one."""
    # Twenty iterations from different starts of one model: the losses agree to a few per cent.
    peer = Peer("sklearn NMF, mu", fit_sklearn, differs, tolerance=0.05, requires="sklearn")
    return [
        Case(
            name="SemiNMF(64, keep=1), 20 iterations, n x 768 float32",
            sizes=(1_000, 10_000, 100_000),
            smoke=(1_000,),
            make=make_activity,
            ours=fit_ours,
            peers=[peer],
            flops=flops,
            dtype="float32",
            aim="ratio at least 1.18 (our time at most 0.85 of the peer's)",
        ),
        Case(
            name="SemiNMF(64, keep=0.01), 20 iterations, n x 768 float32",
            sizes=(1_000, 10_000),
            smoke=(1_000,),
            make=make_activity,
            ours=fit_sparse,
            flops=flops,
            dtype="float32",
            aim="as full features",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
