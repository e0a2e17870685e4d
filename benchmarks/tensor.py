"""Non-negative factorisation of a tensor of 200 x 100 x n, rank 8, 50 sweeps, against tensorly."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from activome.errors import ConvergenceWarning
from activome.patterns.tensor import NonnegativeCP
from harness import Case, Peer, main

_RANK = 8
_SWEEPS = 50


def make_tensor(n: float) -> Any:
    """Eight planted components in noise."""
    rng = np.random.default_rng(0)
    factors = [rng.random((size, _RANK)) ** 3 for size in (200, 100, int(n))]
    tensor = np.einsum("ir,jr,kr->ijk", *factors, optimize=True)
    return tensor + 0.2 * rng.random(tensor.shape)


def fit_ours(tensor: Any) -> float:
    """Fit from one start; give the relative squared error."""
    model = NonnegativeCP(_RANK, n_init=1, max_iter=_SWEEPS, tol=1e-300, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(tensor).error_


def fit_tensorly(tensor: Any) -> float:
    """Fit as many sweeps of hierarchical least squares."""
    from tensorly.decomposition import non_negative_parafac_hals

    weights, factors = non_negative_parafac_hals(
        tensor, _RANK, n_iter_max=_SWEEPS, tol=0, init="random", random_state=0
    )
    rest = (factors[1][:, np.newaxis, :] * factors[2]).reshape(-1, _RANK)
    left = tensor.reshape(len(tensor), -1) - (factors[0] * weights) @ rest.T
    return float(np.vdot(left, left) / np.vdot(tensor, tensor))


def differs(ours: float, theirs: float) -> float:
    """Tell by how much our error is larger, relative; 0 where it is not."""
    return max(0.0, (ours - theirs) / theirs)


def flops(n: float) -> float:
    """Count the two products with the data of each sweep."""
    return _SWEEPS * 4 * 200 * 100 * n * _RANK


def cases() -> Sequence[Case]:
    """Three lengths of the last mode, against the peer at the stated one."""
    peer = Peer("tensorly HALS", fit_tensorly, differs, tolerance=1e-3, requires="tensorly")
    return [
        Case(
            name="NonnegativeCP(8), 50 sweeps, 200 x 100 x n float64",
            sizes=(15, 50, 150),
            smoke=(15,),
            make=make_tensor,
            ours=fit_ours,
            peers=[peer],
            flops=flops,
            aim="at most 400 ms, ratio at least 2 at equal error",
        )
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
