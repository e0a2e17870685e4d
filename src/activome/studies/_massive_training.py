"""Massive activations during training: two tasks, small transformers, curves and their rivals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from activome.geometry.emergence import EmergenceCurve
from activome.interventions.training_trace import training_trace
from activome.networks.training import TrainConfig
from activome.networks.transformer import TinyGPT

__all__ = ["backcopy_sequences", "fit_curves", "manual_windows", "step_aic", "trace_of"]

Array = np.ndarray[Any, Any]
_LENGTH = 64
_N_PROBES = 10
N_SYMBOLS = 48
_TRIGGERS = 6


def manual_windows(seed: int, n: int) -> Array:
    """Return windows of Python's own manual as bytes, each after a start token."""
    from pydoc_data import topics

    text = np.frombuffer("\n".join(topics.topics.values()).encode(), dtype=np.uint8)
    starts = np.random.default_rng(seed).integers(len(text) - _LENGTH, size=n)
    windows = text[starts[:, None] + np.arange(_LENGTH)].astype(np.int64)
    return np.concatenate([np.full((n, 1), 256), windows], axis=1)


def backcopy_sequences(seed: int, n: int) -> Array:
    """Return sequences of a random bigram table in which triggers copy the symbol before them."""
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.full(N_SYMBOLS, 0.1), size=N_SYMBOLS).cumsum(axis=1)
    found = np.full((n, _LENGTH + 1), N_SYMBOLS)
    found[:, 1] = rng.integers(N_SYMBOLS, size=n)
    for t in range(2, _LENGTH + 1):
        before, last = found[:, t - 2], found[:, t - 1]
        drawn = (table[last] < rng.random((n, 1))).sum(axis=1)
        copies = (last < _TRIGGERS) & (before != N_SYMBOLS)
        # Rounding may leave the last sum of a row just below 1.
        found[:, t] = np.where(copies, before, np.minimum(drawn, N_SYMBOLS - 1))
    return found


def trace_of(
    task: str, n_steps: int, every: int, seed: int, architecture: dict[str, int]
) -> dict[str, Any]:
    """Train one network on one task; return its trace as plain arrays."""
    make, vocab, batch_size, falls = _TASKS[task]
    ids = torch.from_numpy(make(seed, n_steps * batch_size + _N_PROBES))
    config = TrainConfig(
        n_steps,
        batch_size=batch_size,
        lr=3e-3,
        optimizer="adamw",
        betas=(0.9, 0.98),
        weight_decay=0.0,
        schedule=_schedule(n_steps, falls),
        seed=seed,
        eval_at=every,
    )

    def build() -> TinyGPT:
        return TinyGPT(
            vocab,
            _LENGTH,
            mlp_ratio=3,
            norm="rms",
            mlp="swiglu",
            bias=False,
            tied=True,
            attention="explicit" if task == "backcopy" else "fused",
            d_model=architecture["d_model"],
            n_heads=architecture["n_heads"],
            n_layers=architecture["n_layers"],
        )

    trace = training_trace(build, (ids[_N_PROBES:],), config, ids[:_N_PROBES, :-1])
    found: dict[str, Any] = {str(name): trace[name].values for name in trace.data_vars}
    return {"step": trace.step.values, **found}


def _schedule(n_steps: int, falls: bool) -> Callable[[int], float]:
    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / 50)
        return warm * (1.0 - 0.9 * step / n_steps) if falls else warm

    return factor


_TASKS: dict[str, tuple[Callable[[int, int], Array], int, int, bool]] = {
    "manual": (manual_windows, 257, 16, True),
    "backcopy": (backcopy_sequences, N_SYMBOLS + 1, 32, False),
}


def fit_curves(trace: dict[str, Any]) -> dict[str, Any]:
    """Fit the curve and its rival to every layer of a trace."""
    steps, ratio = trace["step"].astype(np.float64), trace["ratio"]
    curves = [EmergenceCurve().fit(steps, values) for values in ratio.T]
    rivals = [step_aic(steps, values) for values in ratio.T]
    return {
        "r2": np.array([curve.r2_ for curve in curves]),
        "aic": np.array([curve.aic_ for curve in curves]),
        "peak": np.array([curve.peak_ for curve in curves]),
        "fitted": np.stack([curve.predict(steps) for curve in curves], axis=1),
        "step_r2": np.array([r2 for _, r2 in rivals]),
        "step_aic": np.array([aic for aic, _ in rivals]),
        **{
            name: np.array([getattr(curve, name + "_") for curve in curves])
            for name in ("A", "lam", "gamma", "t0", "K", "rate", "offset")
        },
    }


def step_aic(t: Array, y: Array) -> tuple[float, float]:
    """Return AIC and R2 of a first-order step, ``c0 + c1 (1 - exp(-t / tau))``."""
    scale = t[-1]

    def error(log_tau: float) -> float:
        basis = np.stack([np.ones_like(t), -np.expm1(-t / scale / np.exp(log_tau))], axis=1)
        coef = np.linalg.lstsq(basis, y, rcond=None)[0]
        return float(((basis @ coef - y) ** 2).sum())

    grid = np.linspace(np.log(1e-3), np.log(1e2), 60)
    best = int(np.argmin([error(point) for point in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    sse = float(minimize_scalar(error, bounds=bounds, method="bounded").fun)
    total = float(((y - y.mean()) ** 2).sum())
    return len(y) * float(np.log(sse / len(y))) + 6.0, 1.0 - sse / total
