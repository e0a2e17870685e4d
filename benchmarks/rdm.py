"""RDMs: one, a movie, comparisons and the geo-topological map, against scipy and rsatoolbox."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist

from activome.activity.schema import make
from activome.geometry.rdm import rdm, rdm_movie
from activome.geometry.rdm_comparison import compare_rdms
from activome.geometry.topology import GeoTopological
from harness import Case, Peer, main

_UNITS = 1000
_RDMS = 50
_TOOLBOX = "rsatoolbox"


def make_patterns(n_conditions: float) -> Any:
    """Conditions of 1000 units."""
    return np.random.default_rng(0).normal(size=(int(n_conditions), _UNITS)) + 2.0


def gram(patterns: Any) -> Any:
    """Give the product of the patterns with their transpose, which is the floor."""
    return patterns @ patterns.T


def toolbox_patterns(patterns: Any) -> Any:
    """Hand patterns to the toolbox."""
    from rsatoolbox.data import Dataset

    return Dataset(patterns)


def toolbox_rdm(data: Any) -> Any:
    """Correlation distances by the toolbox."""
    from rsatoolbox.rdm import calc_rdm

    return calc_rdm(data, "correlation").dissimilarities[0]


def make_trials(n_times: float) -> Any:
    """Trials of 60 conditions, 64 units."""
    values = np.random.default_rng(0).normal(size=(240, int(n_times), 64))
    labels = np.tile(np.arange(60), 4)
    return make(values, sampling_rate=100.0, coords={"stimulus": ("trial", labels)})


def toolbox_trials(trials: Any) -> Any:
    """Hand trials to the toolbox."""
    from rsatoolbox.data import TemporalDataset

    return TemporalDataset(
        np.ascontiguousarray(trials.values.transpose(0, 2, 1)),
        obs_descriptors={"stimulus": trials.stimulus.values},
        time_descriptors={"time": trials.time.values},
    )


def toolbox_movie(data: Any) -> Any:
    """Movie of squared distances by the toolbox, per unit."""
    from rsatoolbox.rdm import calc_rdm_movie

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return calc_rdm_movie(data, "euclidean", "stimulus").dissimilarities


def make_rdms(n_pairs: float) -> Any:
    """One RDM of a model and 50 of data."""
    generator = np.random.default_rng(0)
    return generator.random((1, int(n_pairs))), generator.random((_RDMS, int(n_pairs)))


def toolbox_rdms(inputs: Any) -> Any:
    """Hand RDMs to the toolbox."""
    from rsatoolbox.rdm import RDMs

    return tuple(RDMs(rows.copy()) for rows in inputs)


def toolbox_comparison(method: str) -> Any:
    """Give the toolbox's comparison."""

    def compare(inputs: Any) -> Any:
        from rsatoolbox.rdm import compare as compare_toolbox

        return compare_toolbox(*inputs, method)

    return compare


def make_one_by_one(n_pairs: float) -> Any:
    """50 RDMs of one set of values, so that pooled quantiles are those of each RDM."""
    generator = np.random.default_rng(0)
    values = 50 + 50 * generator.random(int(n_pairs))
    return np.stack([generator.permutation(values) for _ in range(_RDMS)])


def toolbox_map(rdms: Any) -> Any:
    """Map by the toolbox, which writes into its input."""
    from rsatoolbox.rdm import RDMs
    from rsatoolbox.rdm.transform import geotopological_transform

    return geotopological_transform(RDMs(rdms.copy()), 0.4, 0.6).get_vectors()


def quantile_map(rdms: Any) -> Any:
    """Map by numpy's quantiles."""
    low, high = np.quantile(rdms, [0.4, 0.6], axis=1)[..., None]
    return np.clip((rdms - low) / (high - low), 0.0, 1.0)


def relative(ours: Any, theirs: Any) -> float:
    """Largest difference, as a share of the largest value."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def comparison(ours: str, theirs: str, aim: str) -> Case:
    """Case of one method of comparison."""
    return Case(
        name=f"compare_rdms {ours}, 1 with {_RDMS} RDMs of n pairs",
        sizes=(1_225, 11_175, 79_800),
        make=make_rdms,
        ours=lambda inputs: compare_rdms(inputs[0], inputs[1], ours),
        peers=[
            Peer(
                f"rsatoolbox compare {theirs}",
                toolbox_comparison(theirs),
                relative,
                tolerance=1e-9,
                requires=_TOOLBOX,
                prepare=toolbox_rdms,
            )
        ],
        bytes_moved=lambda n: 8 * n * (_RDMS + 1),
        aim=aim,
    )


def cases() -> Sequence[Case]:
    """Give the cases; the last size of each is the one that is stated."""
    return [
        Case(
            name=f"rdm correlation, n conditions x {_UNITS} units",
            sizes=(40, 126, 400),
            make=make_patterns,
            ours=rdm,
            peers=[
                Peer("the Gram product alone", gram, lambda ours, theirs: 0.0),
                Peer("scipy pdist", lambda x: pdist(x, "correlation"), relative, 1e-10),
                Peer(
                    "rsatoolbox calc_rdm", toolbox_rdm, relative, 1e-10, _TOOLBOX, toolbox_patterns
                ),
            ],
            # The product is symmetric: half of it is enough.
            flops=lambda n: n * n * _UNITS,
            aim="at most 1.3 times the Gram product (a ratio of at least 0.77)",
        ),
        Case(
            name="rdm_movie sqeuclidean, 240 trials of 60 conditions x 64 units x n times",
            sizes=(10, 32, 100),
            make=make_trials,
            ours=lambda trials: rdm_movie(trials, "stimulus", "sqeuclidean"),
            peers=[
                Peer(
                    "rsatoolbox calc_rdm_movie",
                    toolbox_movie,
                    lambda ours, theirs: relative(ours.values / 64, theirs),
                    tolerance=1e-10,
                    requires=_TOOLBOX,
                    prepare=toolbox_trials,
                )
            ],
            bytes_moved=lambda n: 8 * 240 * 64 * n,
            aim="at least 15 times rsatoolbox",
        ),
        comparison("pearson", "corr", "at least 8 times rsatoolbox"),
        comparison("spearman", "spearman", "faster than rsatoolbox"),
        comparison("kendall-a", "tau-a", "faster than rsatoolbox"),
        Case(
            name=f"GeoTopological(0.4, 0.6), {_RDMS} RDMs of n pairs, not ranked",
            sizes=(1_225, 11_175, 79_800),
            make=make_one_by_one,
            ours=lambda x: GeoTopological(0.4, 0.6, rank=False).fit(x[:1]).transform(x),
            peers=[
                Peer("rsatoolbox geotopological_transform", toolbox_map, relative, 1e-9, _TOOLBOX),
                Peer("numpy quantile and clip", quantile_map, relative, 1e-9),
            ],
            bytes_moved=lambda n: 16 * n * _RDMS,
            aim="at most 40 ms at 79,800 pairs",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(cases))
