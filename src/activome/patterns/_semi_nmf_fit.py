"""Course of a semi-nonnegative factorisation: what follows from each sweep, and when to stop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from activome.patterns._semi_nmf_kernels import Plan, Sums, keep_largest, solve_features

__all__ = ["Course", "Rules", "advance", "first_course", "order_of_parts"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Rules:
    """What stays fixed during a fit.

    Attributes
    ----------
    n_keep : int
        Entries per feature.
    reg, tol : float
        Ridge of the solve, and relative improvement that counts.
    max_iter, patience : int
        Most sweeps, and most sweeps without such an improvement.
    energy : float
        Sum of squares of the data.
    eps : float
        Guard of the division: a small share of the mean square of the data.
    resolution : float
        Rounding unit of the data's dtype.
    """

    n_keep: int
    reg: float
    tol: float
    max_iter: int
    patience: int
    energy: float
    eps: float
    resolution: float


@dataclass(frozen=True)
class Course:
    """Where a fit is: the plan of the next sweep, and the best solution so far.

    Attributes
    ----------
    plan : Plan
        What the next sweep is done with.
    losses : tuple of float
        Loss of every sweep done.
    best_sweep : int
        Sweep of the smallest loss, counted from 1; 0 before the first.
    best_features : ndarray, shape (d, K)
        Features of that sweep.
    best_length : ndarray of float64, shape (K,)
        Length of its coefficients.
    mark : float
        Loss from which improvement is counted.
    n_stalled : int
        Sweeps since the mark was last passed.
    is_done, is_converged : bool
        Whether the fit is over, and whether by convergence.
    """

    plan: Plan
    losses: tuple[float, ...] = ()
    best_sweep: int = 0
    best_features: Array | None = None
    best_length: Array | None = None
    mark: float = np.inf
    n_stalled: int = 0
    is_done: bool = False
    is_converged: bool = False


def first_course(sums: Sums, rules: Rules) -> Course:
    """Return the course after the starting coefficients were gathered."""
    is_last = rules.max_iter == 1
    return Course(_plan(sums, rules, n_asked=0, is_exact=False, is_last=is_last))


def advance(course: Course, sums: Sums, rules: Rules) -> Course:
    """Take note of a sweep: its loss, the best so far, whether to stop, and the next plan."""
    loss = _loss(course.plan, sums, rules)
    losses = (*course.losses, loss)
    if not course.losses or loss < course.losses[course.best_sweep - 1]:
        course = replace(
            course,
            best_sweep=len(losses),
            best_features=course.plan.features,
            best_length=np.sqrt(np.diag(sums.gram)),
        )
    is_better = loss < course.mark * (1 - rules.tol)
    n_stalled = 0 if is_better else course.n_stalled + 1
    # Below the rounding of the data nothing is left to explain.
    is_converged = n_stalled >= rules.patience or loss <= rules.resolution * rules.energy
    # The Gram identity is a difference of large numbers: a small loss is measured on residuals.
    is_exact = course.plan.is_exact or loss < np.sqrt(rules.resolution) * rules.energy
    is_done = is_converged or len(losses) >= rules.max_iter
    if not is_done:
        is_last = len(losses) + 1 >= rules.max_iter
        plan = _plan(sums, rules, n_asked=course.plan.n_worst, is_exact=is_exact, is_last=is_last)
        course = replace(course, plan=plan)
    return replace(
        course,
        losses=losses,
        mark=loss if is_better else course.mark,
        n_stalled=n_stalled,
        is_done=is_done,
        is_converged=is_converged,
    )


def _loss(plan: Plan, sums: Sums, rules: Rules) -> float:
    if plan.is_exact:
        return sums.residual
    square = plan.features.T @ plan.features
    return max(rules.energy - 2 * sums.cross + float(np.vdot(square, sums.gram)), 0.0)


def _plan(sums: Sums, rules: Rules, *, n_asked: int, is_exact: bool, is_last: bool) -> Plan:
    features, length = solve_features(sums, rules.reg, rules.n_keep)
    is_dead = (length == 0) | ~features.any(axis=0)
    is_fresh = np.zeros(is_dead.size, dtype=bool)
    # A residual that is rounding has no direction to offer.
    worth = sums.worst_error > rules.resolution * rules.energy / max(1, sums.product.shape[0])
    free = np.flatnonzero(is_dead)[: np.count_nonzero(worth)]
    if free.size:
        rows = sums.worst_rows[: free.size].astype(np.float64)
        features[:, free] = keep_largest(rows.T.copy(), rules.n_keep)
        is_fresh[free] = True
    inverse = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    found_nothing = n_asked > 0 and not worth.any()
    n_worst = 0 if found_nothing else int(np.count_nonzero(is_dead & ~is_fresh))
    return Plan(features, inverse, is_fresh, n_worst, is_exact, is_last, rules.eps)


def order_of_parts(course: Course) -> Array:
    """Return the components of the best sweep in the order of the energy they carry."""
    if course.best_features is None or course.best_length is None:
        return np.zeros(0, dtype=np.int64)
    energy = (course.best_features**2).sum(axis=0) * course.best_length**2
    return np.argsort(-energy, kind="stable")
