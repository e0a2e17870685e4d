"""Scores of segmentations: by hand, against whole volumes pair by pair, on a real block, laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from activome.decoding.instance_matching import (
    centerline_overlap,
    match_greedy,
    match_many_to_many,
)
from activome.decoding.instance_score import score_instances
from activome.errors import ActivityError, ParameterError
from activome.graphs.filaments import centre_line
from activome.samples.tubes import tubes

morphology = pytest.importorskip("skimage.morphology", reason="scikit-image is not installed")
Array = np.ndarray[Any, Any]
BAR_A, BAR_B = np.s_[14:17, 14:17, 5:25], np.s_[14:17, 5:25, 14:17]
CROP = Path(__file__).parent / "data" / "fisbe_crop.npz"


def masks_of(*boxes: tuple[slice, ...], shape: tuple[int, ...] = (30, 30, 30)) -> Array:
    masks = np.zeros((len(boxes), *shape), dtype=np.int32)
    for number, box in enumerate(boxes):
        masks[number][box] = number + 1
    return masks


def slow_tables(truth: Array, found: Array) -> tuple[Array, Array, list[Array]]:
    """Return precision with background, recall and lines, from whole volumes, pair by pair."""
    lines, lines_found = (
        [morphology.skeletonize(mask > 0) > 0 for mask in masks] for masks in (truth, found)
    )
    precision = np.zeros((len(found), len(truth) + 1))
    recall = np.zeros((len(truth), len(found)))
    for p, line in enumerate(lines_found):
        precision[p, 0] = (line & ~truth.any(axis=0)).sum() / line.sum()
        for g, mask in enumerate(truth):
            precision[p, g + 1] = (line & mask).sum() / line.sum()
            recall[g, p] = (lines[g] & found[p]).sum() / lines[g].sum()
    return precision, recall, lines


def slow_many_to_many(
    truth: Array, found: Array, lines: list[Array], recall: Array, threshold: float
) -> list[tuple[int, int]]:
    """Consume whole masks, with the value of every waiting pair in a dictionary."""
    waiting = {pair: recall[pair] for pair in np.ndindex(*recall.shape) if recall[pair] > threshold}
    candidates = list(waiting)
    left, left_found, pairs = [line.copy() for line in lines], found.copy(), []
    while waiting:
        g, p = max(waiting, key=lambda pair: (waiting[pair], -pair[0], -pair[1]))
        del waiting[g, p]
        pairs.append((g, p))
        left[g] &= ~found[p]
        left_found[p] &= ~truth[g]
        for other in candidates:
            if other == (g, p) or (other[0] != g and other[1] != p):
                continue
            rest = left[g] & found[other[1]] if other[0] == g else lines[other[0]] & left_found[p]
            value = rest.sum() / lines[other[0]].sum()
            waiting.pop(other, None)
            if value > threshold:
                waiting[other] = value
    return pairs


def random_volumes(seed: int) -> tuple[Array, Array]:
    """Return overlapping tubes, and pieces and unions of them with holes and shifts."""
    rng = np.random.default_rng(seed)
    truth = tubes(4, shape=(12, 28, 28), n_steps=24, random_state=rng)[1].masks
    found = []
    for _ in range(5):
        chosen = truth[rng.choice(4, size=rng.integers(1, 3), replace=False)].any(axis=0)
        cut = np.zeros_like(chosen)
        low = rng.integers(0, 14, size=2)
        cut[:, low[0] : low[0] + 20, low[1] : low[1] + 20] = True
        found.append(np.roll(chosen & cut, rng.integers(-1, 2), axis=1))
    kept = [mask for mask in found if mask.any()]
    return truth, np.stack(kept)


def test_perfect_crossing_bars() -> None:
    truth = masks_of(BAR_A, BAR_B)
    scores = score_instances(truth, truth, remove_small=0)
    assert (scores.S, scores.avF1, scores.C, scores.tp) == (1.0, 1.0, 1.0, 1.0)
    assert (scores.false_merges, scores.false_splits) == (0, 0)
    assert scores.tp_overlap == scores.C_overlap == 1.0


def test_prediction_that_cannot_overlap() -> None:
    # The later bar takes the crossing: 3 of the 18 voxels of the first line are lost to it.
    truth = masks_of(BAR_A, BAR_B)
    scores = score_instances(truth, truth.max(axis=0), remove_small=0)
    np.testing.assert_allclose(scores.coverage_per_truth, [15 / 18, 1.0])
    assert scores.avF1 == 1.0
    assert pytest.approx((1.0 + (15 / 18 + 1) / 2) / 2) == scores.S


def test_merge_split_and_false_positives_by_hand() -> None:
    truth = masks_of(BAR_A, BAR_B, np.s_[5:8, 5:25, 20:23])
    found = np.zeros((5, 30, 30, 30), dtype=np.int32)
    found[0][BAR_A] = 1
    found[0, 14:17, 5:20, 14:17] = 1
    found[1, 25:30, 25:30, 25:30] = 1
    found[2, 5:8, 5:11, 20:23] = 1
    found[3, 5:8, 19:22, 20:23] = 1
    found[4, 1:5, 1:5, 1:5] = 1
    scores = score_instances(truth, found, remove_small=0)
    # The first prediction holds all of A and 14 of the 18 voxels of B, and belongs to A; the third
    # truth is found in pieces of 5 and 3 voxels. Alike at 0.5: the first pair, alone.
    np.testing.assert_allclose(scores.coverage_per_truth, [1.0, 0.0, 8 / 18])
    assert scores.match_values.size == 1
    assert scores.false_merges == 1
    assert scores.false_splits == 1
    assert (scores.fp_counts + scores.tp_counts == 5).all()
    partly = score_instances(truth, found, remove_small=0, partly=True)
    # Two predictions lie in the background.
    np.testing.assert_array_equal(scores.fp_counts - partly.fp_counts, 2)


@pytest.mark.parametrize("seed", range(12))
def test_equals_whole_volumes_pair_by_pair(seed: int) -> None:
    truth, found = random_volumes(seed)
    precision, recall, lines = slow_tables(truth, found)
    scores = score_instances(truth, found, remove_small=0)
    p, r = precision[:, 1:].T, recall
    with np.errstate(invalid="ignore"):
        dice = np.nan_to_num(2 * p * r / (p + r))
    assert scores.likeness is not None
    np.testing.assert_allclose(scores.likeness, dice, atol=1e-12)
    owner = precision.argmax(axis=1)
    for g, line in enumerate(lines):
        union = found[owner == g + 1].any(axis=0) if (owner == g + 1).any() else np.zeros_like(line)
        share = (line & union).sum() / line.sum()
        assert scores.coverage_per_truth[g] == pytest.approx(share, abs=1e-12)
    splits = [g for g, _ in slow_many_to_many(truth, found, lines, recall, 0.05)]
    merges = [p for _, p in slow_many_to_many(truth, found, lines, recall, 0.1)]
    assert scores.false_splits == len(splits) - len(set(splits))
    assert scores.false_merges == len(merges) - len(set(merges))


def test_real_block() -> None:
    with np.load(CROP) as archive:
        shape = tuple(int(n) for n in archive["shape"])
        names = sorted(n.removesuffix("_start") for n in archive.files if n.endswith("_start"))
        sets = {n: _from_runs(archive[f"{n}_start"], archive[f"{n}_length"]) for n in names}
    truth = [sets[n] for n in names if n.startswith("gt")]
    found = [sets[n] for n in names if n.startswith("pred")]
    assert ([v.size for v in truth], len(found)) == ([6298, 17349, 9641, 21868], 3)
    scores = score_instances(truth, found, shape)
    # Found once by whole volumes, pair by pair, as in the test above.
    expected = np.zeros((4, 3))
    expected[0, 1], expected[2, 0] = 0.945712291252752, 0.7703984819734346
    assert scores.likeness is not None
    np.testing.assert_allclose(scores.likeness, expected, atol=1e-12)
    assert scores.matches.tolist() == [[0, 1], [2, 0]]
    # Centre lines of 547 and 648 voxels, of which 518 and 406 are found.
    np.testing.assert_allclose(scores.coverage_per_truth, [518 / 547, 0, 406 / 648, 0], atol=1e-12)
    assert (scores.false_splits, scores.false_merges) == (0, 0)
    np.testing.assert_allclose(scores.f1_per_threshold, [4 / 7] * 7 + [2 / 7] * 2)


def _from_runs(starts: Array, lengths: Array) -> Array:
    return np.concatenate(
        [np.arange(s, s + n) for s, n in zip(starts, lengths.astype(int), strict=True)]
    )


def test_forms_of_input_agree() -> None:
    labels = np.zeros((10, 20, 30), dtype=np.uint8)
    labels[2:5, 2:5, 2:28], labels[6:9, 6:9, 2:28] = 7, 3
    found = np.where(np.arange(30) < 20, labels, 0)
    masks = [np.stack([volume == 3, volume == 7]) for volume in (labels, found)]
    flat = [[np.flatnonzero(m) for m in stack] for stack in masks]
    results = [
        score_instances(labels, found, remove_small=0),
        score_instances(masks[0], masks[1], remove_small=0),
        score_instances(flat[0], flat[1], labels.shape, remove_small=0),
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].likeness, other.likeness)
        assert results[0].table().equals(other.table())
    assert pytest.approx(17 / 24) == results[0].C


def test_volumes_are_cropped_around_their_centres() -> None:
    truth = np.zeros((12, 20, 40), dtype=int)
    truth[4:7, 8:11, 4:36] = 1
    small = truth[2:-2, 3:-3, 5:-5]
    cropped = score_instances(truth, small, remove_small=0)
    assert (cropped.S, cropped.n_truth) == (1.0, 1)
    assert score_instances(small, truth, remove_small=0).S == 1.0


def test_joined_and_cut_tubes_are_counted() -> None:
    truth = tubes(3, shape=(24, 64, 64), n_steps=50, random_state=3)[1].masks
    joined = np.stack([truth[0] | truth[1], truth[2]])
    assert score_instances(truth, joined, remove_small=0).false_merges == 1
    bar = masks_of(np.s_[14:17, 14:17, 2:29])
    pieces = np.stack([bar[0] * (np.arange(30) // 10 == k) for k in range(3)])
    assert score_instances(bar, pieces, remove_small=0).false_splits == 2


def test_dilation_ruins_overlap_and_not_lines() -> None:
    truth = tubes(3, shape=(24, 64, 64), n_steps=50, random_state=0)[1].masks
    thick = np.stack([ndimage.binary_dilation(mask) for mask in truth])
    lines = score_instances(truth, thick, remove_small=0)
    masks = score_instances(truth, thick, remove_small=0, criterion="iou")
    assert lines.clDice_tp > 0.94
    assert masks.likeness is not None
    assert np.diag(masks.likeness).max() < 0.55


def test_iou_by_hand() -> None:
    truth = masks_of(np.s_[0:1, 0:1, 0:10], shape=(2, 2, 12))
    found = masks_of(np.s_[0:1, 0:1, 4:12], shape=(2, 2, 12))
    scores = score_instances(truth, found, remove_small=0, criterion="iou")
    assert scores.likeness is not None
    assert scores.likeness[0, 0] == pytest.approx(6 / 12)
    assert scores.C == 0.6


def test_order_of_instances_does_not_matter() -> None:
    truth, found = random_volumes(5)
    one = score_instances(truth, found, remove_small=0)
    other = score_instances(truth[::-1], found[::-1], remove_small=0)
    np.testing.assert_allclose(one.table(), other.table(), rtol=1e-12)
    np.testing.assert_array_equal(one.coverage_per_truth, other.coverage_per_truth[::-1])


def test_volumes_add_up_by_their_counts() -> None:
    parts = [score_instances(*random_volumes(seed), remove_small=0) for seed in (0, 1)]
    both = parts[0] + parts[1]
    tp = parts[0].tp_counts + parts[1].tp_counts
    f1 = 2 * tp / (both.n_truth + both.n_pred)
    np.testing.assert_allclose(both.f1_per_threshold, f1)
    assert np.concatenate([p.coverage_per_truth for p in parts]).mean() == both.C
    assert both.false_splits == sum(p.false_splits for p in parts)
    assert both.likeness is None
    with pytest.raises(ParameterError, match="only scores with the same thresholds add up"):
        parts[0] + score_instances(*random_volumes(0), remove_small=0, thresholds=[0.5])


def test_dim_truths_among_themselves() -> None:
    truth = masks_of(np.s_[2:5, 2:5, 2:28], np.s_[10:13, 2:5, 2:28], np.s_[20:23, 2:5, 2:28])
    found = truth.copy()
    found[2, :, :, 15:] = 0
    scores = score_instances(truth, found, remove_small=0, dim=[3, 1])
    np.testing.assert_allclose(scores.coverage_dim, [12 / 24, 1.0])
    assert (scores.tp_dim, scores.coverage_overlap.size) == (1.0, 0)


def test_nothing_found_is_zero() -> None:
    truth = masks_of(BAR_A)
    scores = score_instances(truth, np.zeros((30, 30, 30), dtype=int))
    assert (scores.S, scores.clDice_tp, scores.n_pred, scores.false_merges) == (0.0, 0.0, 0, 0)
    small = score_instances(truth, truth, remove_small=180)
    assert (small.n_pred, small.S) == (0, 0.0)
    assert score_instances(truth, truth, remove_small=179).S == 1.0


def test_thresholds_are_strict_and_exact() -> None:
    truth = masks_of(np.s_[0:1, 0:1, 0:10], shape=(2, 2, 12))
    found = masks_of(np.s_[0:1, 0:1, 7:10], shape=(2, 2, 12))
    scores = score_instances(truth, found, remove_small=0, criterion="iou")
    # 3 of 10: above 0.1 and 0.2, not above 0.3.
    assert scores.tp_counts.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0]


def test_hungarian_finds_more_matches() -> None:
    truth = masks_of(np.s_[0:1, 0:1, 0:20], np.s_[0:1, 0:1, 20:30], shape=(1, 1, 30))
    found = masks_of(np.s_[0:1, 0:1, 4:26], np.s_[0:1, 0:1, 0:9], shape=(1, 1, 30))
    options: dict[str, Any] = {"remove_small": 0, "criterion": "iou", "thresholds": [0.2]}
    greedy = score_instances(truth, found, **options)
    best = score_instances(truth, found, **options, match="hungarian")
    assert (greedy.tp_counts[0], best.tp_counts[0]) == (1, 2)


def test_two_dimensions() -> None:
    image = np.zeros((20, 40), dtype=int)
    image[4:7, 2:38], image[12:15, 2:38] = 1, 2
    scores = score_instances(image, image, ndim=2, remove_small=0)
    assert (scores.S, scores.n_truth) == (1.0, 2)


def test_matching_functions() -> None:
    assert match_greedy([[0.9, 0.8], [0.85, 0.7]], 0.6).tolist() == [[0, 0], [1, 1]]
    # Ties by row, then column.
    assert match_greedy([[0.5, 0.7], [0.7, 0.7]], 0.1).tolist() == [[0, 1], [1, 0]]
    truths = [np.arange(10), np.arange(5, 15)]
    assert match_many_to_many(truths, truths, [np.arange(15)]).tolist() == [[0, 0], [1, 0]]
    assert match_many_to_many(truths, truths, [np.arange(10)]).tolist() == [[0, 0]]
    np.testing.assert_allclose(
        centerline_overlap([np.arange(10)], [np.arange(4), [], np.arange(2, 8)]),
        [[0.2, 0.4, 0.0, 0.6]],
    )


def test_refusals() -> None:
    truth = masks_of(BAR_A)
    mixed = truth.copy()
    mixed[0, 0, 0, 0] = 2
    with pytest.raises(ActivityError, match="must be whole labels or masks; got float64"):
        score_instances(truth[0] * 0.5, truth)
    with pytest.raises(ActivityError, match="no negative label; the smallest is -1"):
        score_instances(-truth[0], truth)
    with pytest.raises(ActivityError, match=r"3 axes, or masks .* of 4; got shape"):
        score_instances(truth[0, 0], truth)
    with pytest.raises(ActivityError, match="instance 1 holds no voxel"):
        score_instances(np.concatenate([truth, truth * 0]), truth)
    with pytest.raises(ActivityError, match="it is all background"):
        score_instances(truth[0] * 0, truth)
    with pytest.raises(ActivityError, match="mask 0 holds the labels 1 and 2"):
        score_instances(mixed, truth)
    with pytest.raises(ActivityError, match="need the shape of the volume"):
        score_instances([np.arange(4)], truth)
    with pytest.raises(ActivityError, match="at most 65535 instances; got 65536"):
        score_instances([np.arange(1)] * 65_536, truth, (30, 30, 30))
    with pytest.raises(ParameterError, match="unknown match 'best'"):
        score_instances(truth, truth, match="best")
    with pytest.raises(ParameterError, match="there must be a threshold"):
        score_instances(truth, truth, thresholds=[])
    with pytest.raises(ParameterError, match=r"thresholds must be in \[0, 1\)"):
        score_instances(truth, truth, thresholds=[1.0])
    with pytest.raises(ParameterError, match="dim must be an integer at least 1 and at most 1"):
        score_instances(truth, truth, dim=[2])
    with pytest.raises(ActivityError, match=r"likeness must be a table"):
        match_greedy([0.5])
    with pytest.raises(ActivityError, match="likeness must be finite"):
        match_greedy([[np.nan]])
    with pytest.raises(ActivityError, match="line 1 is empty"):
        centerline_overlap([[1], []], [[1]])
    with pytest.raises(ActivityError, match="one line with voxels per truth"):
        match_many_to_many([[1]], [[1], [2]], [[1]])
    with pytest.raises(ActivityError, match="rows of whole flat indices; number 0 is float64"):
        centerline_overlap([[0.5]], [[1]])


def test_line_of_each_truth_is_its_centre_line() -> None:
    truth, found = random_volumes(0)
    lines = [centre_line(np.flatnonzero(mask), mask.shape) for mask in truth]
    table = centerline_overlap(lines, [np.flatnonzero(mask) for mask in found])
    _, recall, _ = slow_tables(truth, found)
    np.testing.assert_allclose(table[:, 1:], recall, atol=1e-12)
