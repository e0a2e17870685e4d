"""Sparse autoencoder: 30 steps of 256 rows of 576 units, k = 32, against loops by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from activome.patterns._sparse_autoencoder_net import Autoencoder, Objective, ramp
from activome.patterns._sparse_autoencoder_start import geometric_median, start_directions
from activome.patterns.sparse_autoencoder import SparseAutoencoder
from harness import Case, Peer, main

_UNITS, _ROWS, _K, _BATCH, _STEPS = 576, 4096, 32, 256, 30


def make_problem(n_components: float) -> Any:
    """Plant sums of 32 of twice as many directions as units."""
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((2 * _UNITS, _UNITS), dtype=np.float32) / _UNITS**0.5
    chosen = rng.random((_ROWS, len(truth))) < _K / len(truth)
    codes = rng.exponential(size=chosen.shape).astype(np.float32) * chosen
    return codes @ truth, int(n_components)


def fit_ours(problem: Any) -> float:
    """Fit the estimator; give the variance explained."""
    rows, n_components = problem
    model = SparseAutoencoder(
        n_components,
        k=_K,
        batch_size=_BATCH,
        n_steps=_STEPS,
        aux_weight=0.0,
        learning_rate=1e-3,
        random_state=0,
    )
    return model.fit(rows).explained_variance_


def _prepared(problem: Any) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Centre, scale and start as the estimator does."""
    values, n_components = problem
    wide = values.astype(np.float64)
    centred = wide - geometric_median(wide)
    centred /= np.linalg.norm(centred, axis=1).mean()
    start = start_directions(centred, n_components, np.random.default_rng(0))
    rows, decoder = (torch.from_numpy(part.astype(np.float32)) for part in (centred, start))
    return rows, decoder, float(centred.var(axis=0).sum())


def _explained(rows: torch.Tensor, net: Any) -> float:
    with torch.no_grad():
        left = torch.cat([part - net(part) for part in rows.split(2048)]).square().sum(1).mean()
    return 1.0 - float(left / (rows - rows.mean(0)).square().sum(1).mean())


def fit_dense(problem: Any) -> float:
    """Train with codes written out, as the equations read, and torch's default Adam."""
    rows, start, variance = _prepared(problem)
    decoder, encoder = (start.clone().requires_grad_() for _ in range(2))
    bias = torch.zeros(_UNITS, requires_grad=True)
    optimizer = torch.optim.Adam([decoder, encoder, bias], lr=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, ramp(_STEPS))
    generator = torch.Generator().manual_seed(0)

    def net(part: torch.Tensor) -> torch.Tensor:
        drive = functional.linear(part - bias, encoder)
        largest, places = drive.topk(_K, dim=1)
        codes = torch.zeros_like(drive).scatter(1, places, largest.relu())
        return codes @ decoder + bias

    for step in range(_STEPS):
        if step % (_ROWS // _BATCH) == 0:
            batches = torch.randperm(_ROWS, generator=generator).split(_BATCH)
        part = rows[batches[step % len(batches)]]
        loss = (part - net(part)).square().sum(1).mean() / variance
        optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            gradient = decoder.grad
            gradient -= (gradient * decoder).sum(1, keepdim=True) * decoder
            optimizer.step()
            decoder /= decoder.norm(dim=1, keepdim=True)
        schedule.step()
    return _explained(rows, net)


def fit_bare(problem: Any) -> float:
    """Train our network and loss in a loop without logs, checks or streams."""
    rows, start, variance = _prepared(problem)
    net = Autoencoder(start, torch.zeros(_UNITS), _K)
    idle = torch.zeros(len(start), dtype=torch.int64)
    objective = Objective(variance, 0.0, 0.0, 1, 10**9, idle)
    optimizer = net.follow(torch.optim.Adam(net.parameters(), lr=1e-3, fused=True))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, ramp(_STEPS))
    generator = torch.Generator().manual_seed(0)
    for step in range(_STEPS):
        if step % (_ROWS // _BATCH) == 0:
            batches = torch.randperm(_ROWS, generator=generator).split(_BATCH)
        loss, _ = objective(net, (rows[batches[step % len(batches)]],), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return _explained(rows, net)


def differs(ours: float, theirs: float) -> float:
    """Tell the difference of the variances explained."""
    return abs(ours - theirs)


def flops(n_components: float) -> float:
    """Count the products of the batches with the encoder, and those of the last encoding."""
    return 2 * _UNITS * n_components * (_STEPS * _BATCH + _ROWS)


def cases() -> Sequence[Case]:
    """Three sizes of the dictionary."""
    # Starts and batches differ in their random numbers, so what is explained differs a little.
    peers = [
        Peer("torch loop, codes written out", fit_dense, differs, tolerance=0.05),
        Peer("torch loop around our loss", fit_bare, differs, tolerance=0.05),
    ]
    return [
        Case(
            name=f"SparseAutoencoder, {_STEPS} steps of {_BATCH} x {_UNITS} float32, n components",
            sizes=(512, 1536, 4608),
            smoke=(512,),
            make=make_problem,
            ours=fit_ours,
            peers=peers,
            flops=flops,
            dtype="float32",
            aim="ratio at least 2 to codes written out at 4608; at least 0.95 to the bare loop",
        )
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
