"""Bayesian bi-clustering: planted clusters and states, nothing where nothing is, real spikes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from activome._extras import is_installed
from activome.activity.splits import SpeckledHoldOut
from activome.patterns._count_laplace import count_log_likelihood
from activome.patterns.biclustering import BayesianBiclustering
from activome.samples import motor_cortex, neuropixels_movie, visual_gratings
from activome.studies._biclustering_data import planted_counts, unrelated_counts
from activome.studies._biclustering_mixing import with_true_parameters
from activome.studies.claims import Study

__all__ = ["run"]

Array = np.ndarray[Any, Any]
# A state counts as found where it holds more than this share of the bins.
_LEAST_SHARE = 0.1
_MOVIE_REASON = (
    "The recording states no licence and does not ship. Put Y.csv of github.com/weigcdsb/"
    "bi_clustering into the folder that ACTIVOME_DATA or the argument data names."
)
_HMM_REASON = "Needs hmmlearn: pip install hmmlearn."


def run(study: Study) -> None:
    """Measure the claims of Bayesian bi-clustering and draw them.

    Parameters
    ----------
    study : Study
        The bench to run on. Full size: 3 planted recordings of 30 units and 500 bins, 110
        recordings without common trajectories, two real recordings; smoke: one small planted one
        and 3 without.
    """
    planted = _planted(study)
    _controls(study)
    _mixing(study)
    _nulls(study)
    real = _real(study)
    _movie(study)
    from activome.studies._biclustering_figure import draw

    study.save_figure(draw(planted[0], real))


def _sizes(study: Study) -> dict[str, int]:
    if study.is_full:
        return {"n_clusters": 3, "n_each": 10, "n_times": 500}
    return {"n_clusters": 3, "n_each": 8, "n_times": 300}


def _seeds(study: Study) -> list[int]:
    return [study.random_state + i for i in range(3 if study.is_full else 1)]


def _n_iter(study: Study) -> int:
    return 300 if study.is_full else 40


def _planted(study: Study) -> list[dict[str, Any]]:
    items = [(seed, _sizes(study), _n_iter(study)) for seed in _seeds(study)]
    found = study.map("planted", fit_planted, items)
    units, states = ([entry[key] for entry in found] for key in ("unit_ari", "state_ari"))
    n_units = _sizes(study)["n_clusters"] * _sizes(study)["n_each"]
    planted = f"planted ({n_units} units, {_sizes(study)['n_times']} bins)"
    study.note(
        f"Planted: {_n_iter(study)} sweeps, the first half not kept, clusters from "
        f"init_clusters='auto' with the search; seconds of CPU per fit: "
        + ", ".join(f"{entry['seconds']:.0f}" for entry in found)
        + f". ARI of units {_listed(units)}; of states {_listed(states)}."
    )
    if not study.is_full:
        study.claim(f"{planted}: ARI of the units' clusters", units[0], at_least=0.6)
        return found
    study.claim(
        f"{planted}: ARI of the units' clusters, mean of 3 seeds",
        float(np.mean(units)),
        paper="blocks recovered",
        at_least=0.85,
    )
    study.claim(f"{planted}: the same, median", float(np.median(units)), equals=1.0)
    study.claim(
        f"{planted}: ARI of the states, mean of 3 seeds",
        float(np.mean(states)),
        paper="27 of 500 bins wrong",
        at_least=0.5,
    )
    _against_hmm(study, states)
    held = study.map("plain rates, planted", score_plain, [(*item[:2], 0.05) for item in items])
    gain = [entry["held_out"] - plain for entry, plain in zip(found, held, strict=True)]
    study.claim(
        f"{planted}: held-out log likelihood per cell less that of constant rates, lowest seed",
        min(gain),
        at_least=0.0,
        note=f"nats; seeds {_listed(gain)}",
    )
    return found


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def fit_planted(seed: int, sizes: dict[str, int], n_iter: int, **options: Any) -> dict[str, Any]:
    """Fit a planted recording."""
    data = planted_counts(seed, **sizes)
    begin = time.process_time()
    settings: dict[str, Any] = {"burn_in": 0.5, "holdout": 0.05, "random_state": seed}
    model = BayesianBiclustering(n_iter=n_iter, **(settings | options)).fit(data.counts)
    return {
        "seconds": time.process_time() - begin,
        "unit_ari": float(adjusted_rand_score(data.clusters, model.unit_labels_)),
        "state_ari": float(adjusted_rand_score(data.states, model.state_labels_)),
        "held_out": float(model.heldout_log_likelihood_ or 0.0),
        "counts": data.counts,
        "clusters": data.clusters,
        "states": data.states,
        "unit_labels": model.unit_labels_,
        "state_labels": model.state_labels_,
        "unit_similarity": model.unit_similarity_,
        "state_similarity": model.state_similarity_,
        "trajectory": model.trajectories_[0],
        "trajectory_sd": model.trajectory_sd_[0],
        "log_likelihood": model.log_likelihood_[0],
        "n_clusters": model.n_clusters_samples_[0],
        "n_states": model.n_states_samples_[0],
    }


def score_plain(seed: int, sizes: dict[str, int], fraction: float) -> float:
    """Score constant rates of each unit on hidden cells of a planted recording."""
    return constant_rates(planted_counts(seed, **sizes).counts, fraction, seed)


def constant_rates(counts: Array, fraction: float, seed: int) -> float:
    """Return the mean log probability of hidden cells under the negative binomial of the rest.

    The dispersion of each unit follows from mean and variance of its other cells.
    """
    mask = next(SpeckledHoldOut(fraction, n_splits=1, random_state=seed).split(counts))
    seen = np.where(mask, np.nan, counts)
    mean, variance = np.nanmean(seen, axis=0), np.nanvar(seen, axis=0)
    excess = np.maximum(variance - mean, 1e-3 * mean**2)
    r = mean**2 / np.maximum(excess, 1e-9)
    cells = count_log_likelihood(counts, np.log(np.maximum(mean, 1e-6)), r)
    return float(cells[mask].mean())


def _against_hmm(study: Study, states: list[float]) -> None:
    name = "planted: ARI of the states less that of a Gaussian HMM on 5 principal components"
    if not is_installed("hmmlearn"):
        study.not_run(name, threshold=">= 0.3", reason=_HMM_REASON)
        return
    items = [(seed, _sizes(study)) for seed in _seeds(study)]
    other = study.map("gaussian hmm", states_by_hmm, items)
    study.claim(
        name,
        float(np.mean(states) - np.mean(other)),
        at_least=0.3,
        note=f"HMM with 2 states: {_listed(other)}",
    )


def states_by_hmm(seed: int, sizes: dict[str, int]) -> float:
    """Find two states by a Gaussian HMM on smoothed log counts."""
    from hmmlearn.hmm import GaussianHMM

    data = planted_counts(seed, **sizes)
    smooth = gaussian_filter1d(np.log(data.counts + 0.5), 4.0, axis=0)
    scores = PCA(5, random_state=seed).fit_transform(smooth)
    model = GaussianHMM(2, n_iter=100, random_state=seed).fit(scores)
    return float(adjusted_rand_score(data.states, model.predict(scores)))


def _controls(study: Study) -> None:
    if not study.is_full:
        return
    seeds = _seeds(study)[:3]
    sizes, n_iter = _sizes(study), _n_iter(study)
    items = [(seed, sizes, n_iter) for seed in seeds]
    full = study.map("planted", fit_planted, [(s, sizes, n_iter) for s in _seeds(study)])[:3]
    frozen = study.map("without block moves", fit_planted, items, block_moves=0)
    gap = [a["state_ari"] - b["state_ari"] for a, b in zip(full, frozen, strict=True)]
    study.claim(
        "planted: ARI of the states less that without block moves, mean of 3 seeds",
        float(np.mean(gap)),
        at_least=0.1,
        note=f"without: {_listed([entry['state_ari'] for entry in frozen])}",
    )
    single = {"init_clusters": 1, "split_merge": False}
    for name, options in (("one cluster", single), ("one state", {"max_states": 2, "kappa": 1e6})):
        less = study.map(name, fit_planted, items, **options)
        gain = [a["held_out"] - b["held_out"] for a, b in zip(full, less, strict=True)]
        study.claim(
            f"planted: held-out log likelihood per cell less that of {name}, mean of 3 seeds",
            float(np.mean(gain)),
            paper="both structures together are best",
            at_least=0.0,
            note=f"nats; seeds {_listed(gain)}",
        )


def _mixing(study: Study) -> None:
    n_sweeps = 600 if study.is_full else 15
    items = [(seed, _sizes(study), n_sweeps) for seed in _seeds(study)[:3]]
    found = study.map("true parameters", with_true_parameters, items)
    gibbs, moves = ([entry[key] for entry in found] for key in ("alternating", "block"))
    if not study.is_full:
        return
    study.claim(
        "true parameters: ARI of the states by alternating Gibbs, highest of 3 seeds",
        max(gibbs),
        at_most=0.2,
        note=_listed(gibbs),
    )
    study.claim(
        "true parameters: ARI of the states with block moves, lowest of 3 seeds",
        min(moves),
        at_least=0.8,
        note=_listed(moves),
    )


def _nulls(study: Study) -> None:
    n_iter = 40
    number = {"poisson": 50, "overdispersed": 50, "drifting": 10}
    items = [
        (kind, study.random_state + i, n_iter)
        for kind, n in number.items()
        for i in range(n if study.is_full else 1)
    ]
    found = study.map("without structure", find_nothing, items)
    rates = {
        kind: {
            what: float(np.mean([f[what] > 1 for f, item in zip(found, items, strict=True)
                                 if item[0] == kind]))
            for what in ("n_clusters", "n_states")
        }
        for kind in number
    }  # fmt: skip
    study.note(
        f"Recordings without common trajectories, {len(items)} (12 units, 200 bins): "
        + "; ".join(
            f"{kind}: more than one cluster in {rate['n_clusters']:.2f}, more than one state in "
            f"{rate['n_states']:.2f}"
            for kind, rate in rates.items()
        )
        + f"; a state counts where it holds more than {_LEAST_SHARE:g} of the bins. "
        "Drifting units share slow waves by chance: theirs is no error rate."
    )
    plain = [f for f, item in zip(found, items, strict=True) if item[0] != "drifting"]
    for what, text in (("n_clusters", "clusters"), ("n_states", "states")):
        name = f"without structure ({len(plain)} recordings): share with several {text}"
        if not study.is_full:
            reason = f"{len(plain)} recordings do not make a rate: --size full."
            study.not_run(name, threshold="<= 0.05", reason=reason)
            continue
        rate = float(np.mean([f[what] > 1 for f in plain]))
        study.claim(name, rate, at_most=0.05)


def find_nothing(kind: str, seed: int, n_iter: int) -> dict[str, int]:
    """Count the clusters and states that are found in counts without common trajectories."""
    counts = unrelated_counts(kind, seed)
    model = BayesianBiclustering(n_iter=n_iter, burn_in=0.5, random_state=seed).fit(counts)
    return {
        "n_clusters": int(model.unit_labels_.max()) + 1,
        "n_states": 1 + int(np.count_nonzero(_shares(model.state_labels_)[1:] > _LEAST_SHARE)),
    }


def _shares(labels: Array) -> Array:
    """Return the share of each label, largest first."""
    return np.sort(np.bincount(labels) / labels.size)[::-1]


def _real(study: Study) -> dict[str, Any] | None:
    texts = (
        "motor cortex: held-out log likelihood per cell less that of constant rates",
        "motor cortex: p of the hand's speed differing between states, circular shifts",
        "gratings: held-out log likelihood per cell less that of constant rates",
    )
    if not study.is_full:
        for text, threshold in zip(texts, (">= 0", "<= 0.05", ">= 0"), strict=True):
            study.not_run(text, threshold=threshold, reason="Takes a minute: --size full.")
        return None
    motor = study.step("motor cortex", fit_motor_cortex, study.random_state)
    study.claim(texts[0], motor["gain"], at_least=0.0, note="nats")
    study.claim(texts[1], motor["p"], at_most=0.05)
    study.note(
        f"Motor cortex, the 20 most active units, 800 bins of 50 ms, 200 sweeps: "
        f"{motor['unit_labels'].max() + 1} clusters, {motor['state_labels'].max() + 1} states; "
        f"mean speed of the hand by state {_listed(list(motor['speeds']))} (arbitrary units)."
    )
    gratings = study.step("gratings", fit_gratings, study.random_state)
    study.claim(texts[2], gratings["gain"], at_least=0.0, note="nats")
    study.note(
        f"Gratings, the 20 most active units pooled over sessions, 60 trials of 10 bins of 10 ms, "
        f"200 sweeps: {gratings['n_clusters']} clusters, {gratings['n_states']} states."
    )
    return motor


def fit_motor_cortex(seed: int) -> dict[str, Any]:
    """Fit forty seconds of motor cortex, and ask whether states go with the speed of the hand."""
    activity = motor_cortex().isel(time=slice(2000, 2800))
    busy = np.sort(np.argsort(-activity.values.sum(axis=0, dtype=np.int64))[:20])
    activity = activity.isel(unit=busy)
    model = BayesianBiclustering(n_iter=200, burn_in=0.5, holdout=0.05, random_state=seed).fit(
        activity
    )
    counts = activity.values.astype(np.float64)
    speed = np.hypot(activity["velocity_x"].values, activity["velocity_y"].values)
    rng = np.random.default_rng([7, seed])
    shifts = rng.integers(100, speed.size - 100, 999)
    measured = _between(speed, model.state_labels_)
    null = [_between(np.roll(speed, shift), model.state_labels_) for shift in shifts]
    names = range(int(model.state_labels_.max()) + 1)
    return {
        "gain": float(model.heldout_log_likelihood_ or 0.0) - constant_rates(counts, 0.05, seed),
        "p": (1 + sum(value >= measured for value in null)) / (1 + len(null)),
        "speed": speed,
        "speeds": np.array([speed[model.state_labels_ == s].mean() for s in names]),
        "counts": counts,
        "unit_labels": model.unit_labels_,
        "state_labels": model.state_labels_,
    }


def _between(values: Array, labels: Array) -> float:
    """Return the variance of values that is between labels."""
    number = np.bincount(labels)
    mean = np.bincount(labels, values) / np.maximum(number, 1)
    return float((number * (mean - values.mean()) ** 2).sum() / values.size)


def fit_gratings(seed: int) -> dict[str, Any]:
    """Fit trials of visual responses."""
    activity = visual_gratings().isel(trial=slice(0, 60))
    busy = np.sort(np.argsort(-activity.values.sum(axis=(0, 1), dtype=np.int64))[:20])
    activity = activity.isel(unit=busy)
    model = BayesianBiclustering(n_iter=200, burn_in=0.5, holdout=0.05, random_state=seed).fit(
        activity
    )
    counts = activity.values.reshape(-1, 20).astype(np.float64)
    return {
        "gain": float(model.heldout_log_likelihood_ or 0.0) - constant_rates(counts, 0.05, seed),
        "n_clusters": int(model.unit_labels_.max()) + 1,
        "n_states": int(model.state_labels_.max()) + 1,
    }


def _movie(study: Study) -> None:
    name = "movie and blank (63 units of CA1, LP, VISp): held-out less that of constant rates"
    if study.data is None or not (study.data / "Y.csv").exists() or not study.is_full:
        reason = _MOVIE_REASON if study.is_full else "Takes a minute: --size full."
        study.not_run(name, paper="states follow the stimulus", threshold=">= 0", reason=reason)
        return
    found = study.step("movie", fit_movie, str(study.data), study.random_state)
    study.claim(name, found["gain"], paper="states follow the stimulus", at_least=0.0, note="nats")
    study.note(f"Movie: {found['n_clusters']} clusters, {found['n_states']} states.")


def fit_movie(folder: str, seed: int) -> dict[str, Any]:
    """Fit the recording of the paper, which does not ship; silent units are left out."""
    activity = neuropixels_movie(folder=folder)
    activity = activity.isel(unit=activity.values.sum(axis=0) > 0)
    model = BayesianBiclustering(n_iter=400, burn_in=0.5, holdout=0.05, random_state=seed).fit(
        activity
    )
    counts = activity.values.astype(np.float64)
    return {
        "gain": float(model.heldout_log_likelihood_ or 0.0) - constant_rates(counts, 0.05, seed),
        "n_clusters": int(model.unit_labels_.max()) + 1,
        "n_states": int(model.state_labels_.max()) + 1,
    }
