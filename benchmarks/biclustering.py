"""Bi-clustering: one MCMC sweep against the number of cells; exact Polya-Gamma draws.

No package on PyPI fits this model, so that the sweep has no peer; the draws have ``polyagamma``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from activome.patterns._bicluster_model import Model, Point, draw_counts, draw_prior
from activome.patterns._bicluster_moves import Tally, sweep
from activome.patterns._polya_gamma import pg_weights
from activome.patterns._switching_laws import LawPrior
from harness import Case, Peer, main

_CLUSTERS, _EACH = 3, 10
_STATES = 5


def make_point(n_times: float) -> tuple[Model, Point]:
    """Draw 30 units in 3 clusters and their counts, with laws that stay bounded."""
    rng = np.random.default_rng(0)
    n_units, n = _CLUSTERS * _EACH, int(n_times)
    model = Model(
        counts=np.zeros((n_units, n)),
        is_seen=np.ones((n_units, n), dtype=bool),
        is_first=np.arange(n) == 0,
        prior=LawPrior(3, 0.01),
        n_states=_STATES,
        alpha=5.0,
        gamma=5.0,
        kappa=10.0,
        mfm_gamma=1.0,
        mfm_rate=0.2,
        dispersion=None,
        block_moves=200,
    )
    point = draw_prior(model, rng)
    point.labels = np.repeat(np.arange(_CLUSTERS), _EACH)
    point.loadings = 0.5 * point.loadings
    point.dispersion = np.full(n_units, 10.0)
    point.paths = 0.3 * rng.standard_normal((_CLUSTERS, n, 3))
    point.A = np.broadcast_to(0.9 * np.eye(3), (_CLUSTERS, _STATES, 3, 3)).copy()
    point.b = np.zeros((_CLUSTERS, _STATES, 3))
    point.Q = np.broadcast_to(0.02 * np.eye(3), point.A.shape).copy()
    return replace(model, counts=draw_counts(point, rng)), point


def run_sweep(inputs: tuple[Model, Point]) -> float:
    """Move everything once."""
    model, point = inputs
    sweep(model, point, np.random.default_rng(1), Tally())
    return float(point.n_clusters)


def make_weights(n: float) -> tuple[Any, Any]:
    """Whole shapes, for which the peer has an exact method."""
    rng = np.random.default_rng(0)
    return rng.integers(1, 8, int(n)).astype(float), rng.normal(size=int(n))


def draw_ours(inputs: tuple[Any, Any]) -> Any:
    """Draw by the series with an exact rest."""
    return pg_weights(*inputs, random_state=0)


def draw_peer(inputs: tuple[Any, Any]) -> Any:
    """Draw by Devroye's method."""
    from polyagamma import random_polyagamma

    return random_polyagamma(*inputs, method="devroye", random_state=np.random.default_rng(0))


def differs(ours: Any, theirs: Any) -> float:
    """Tell by how many standard errors the means differ, over four."""
    error = np.sqrt((ours.var() + theirs.var()) / ours.size)
    return float(abs(ours.mean() - theirs.mean()) / error / 4)


def cases() -> Sequence[Case]:
    """A sweep at three lengths, and weights."""
    return [
        Case(
            name="one sweep, 30 units x n bins, 3 clusters, 2 factors, 200 block moves",
            sizes=(1_000, 10_000, 100_000),
            smoke=(500,),
            make=make_point,
            ours=run_sweep,
            aim="linear in cells: exponent at most 1.1; no peer on PyPI",
        ),
        Case(
            name="Polya-Gamma draws of whole shapes 1 to 7",
            sizes=(10_000, 100_000),
            smoke=(10_000,),
            make=make_weights,
            ours=draw_ours,
            peers=[Peer("polyagamma, devroye", draw_peer, differs, 1.0, requires="polyagamma")],
            aim="exact for any shape; the peer's other methods are not for broken shapes",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
