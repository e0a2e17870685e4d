"""The event camera: crossings by hand, against a slow twin, and its noise."""

from __future__ import annotations

import numpy as np
import pytest

from activome.encoding.event_camera import dvs_events
from activome.errors import ActivityError, ParameterError, ResourceError


def slow_twin(
    frames: np.ndarray, times: np.ndarray, threshold: float, limit: int | None
) -> list[tuple[int, int, int]]:
    """Walk through every pixel in plain Python; give (t in us, pixel, polarity)."""
    found = []
    flat = frames.reshape(len(frames), -1)
    for pixel in range(flat.shape[1]):
        reference = flat[0, pixel]
        for k in range(1, len(frames)):
            a, b = flat[k - 1, pixel], flat[k, pixel]
            n = 0
            while abs(b - reference) >= threshold and (limit is None or n < limit):
                sign = 1 if b > reference else -1
                reference += sign * threshold
                share = np.clip((reference - a) / (b - a), 0, 1) if a != b else 1.0
                t = times[k - 1] + share * (times[k] - times[k - 1])
                found.append((int(np.rint(t * 1e6)), pixel, sign))
                n += 1
    return sorted(found, key=lambda event: event[:2])


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_equals_the_slow_twin(limit: int | None) -> None:
    generator = np.random.default_rng(2)
    frames = generator.normal(size=(12, 5, 7)).cumsum(axis=0)
    times = np.cumsum(generator.uniform(0.001, 0.01, 12))
    events = dvs_events(frames, times, 0.4, max_events_per_frame=limit)
    assert events.x is not None
    assert events.y is not None
    assert events.p is not None
    ours = list(zip(events.t.tolist(), events.unit.tolist(), events.p.tolist(), strict=True))
    assert ours == slow_twin(frames, times, 0.4, limit)
    np.testing.assert_array_equal(events.unit, events.y.astype(int) * 7 + events.x)


def test_events_add_up_to_the_change() -> None:
    frames = np.random.default_rng(0).normal(size=(20, 4, 4)).cumsum(axis=0)
    events = dvs_events(frames, np.arange(20) * 0.01, 0.25)
    total = np.bincount(events.unit, weights=events.p, minlength=16).reshape(4, 4)
    assert np.abs(frames[-1] - frames[0] - 0.25 * total).max() < 0.25


def test_without_interpolation_events_stand_at_frames() -> None:
    movie = np.array([0.0, 1.0, 0.5])[:, None, None]
    events = dvs_events(movie, [0.0, 0.01, 0.02], 0.5, interpolate=False)
    assert events.time.tolist() == [0.01, 0.01, 0.02]
    assert events.shape == (1, 1)


def test_a_still_scene_sends_noise_only() -> None:
    still = np.ones((2, 30, 40))
    assert dvs_events(still, [0.0, 1.0]).n_events == 0
    noisy = dvs_events(still, [0.0, 2.0], noise_rate=5.0, random_state=0)
    assert noisy.n_events == pytest.approx(12_000, abs=4 * np.sqrt(12_000))
    assert noisy.p is not None
    assert abs(int(noisy.p.astype(int).sum())) < 4 * np.sqrt(12_000)
    again = dvs_events(still, [0.0, 2.0], noise_rate=5.0, random_state=0)
    assert noisy.equals(again)


def test_refusals() -> None:
    movie = np.zeros((3, 2, 2))
    with pytest.raises(ActivityError, match="frame 2 does not"):
        dvs_events(movie, [0.0, 1.0, 0.5])
    with pytest.raises(ActivityError, match="at least two frames"):
        dvs_events(movie[:1], [0.0])
    with pytest.raises(ActivityError, match="one entry per frame"):
        dvs_events(movie, [0.0, 1.0])
    movie[1, 0, 1] = np.nan
    with pytest.raises(ActivityError, match="frame 1, row 0, column 1"):
        dvs_events(movie, [0.0, 1.0, 2.0])
    with pytest.raises(ParameterError, match="threshold"):
        dvs_events(np.zeros((3, 2, 2)), [0.0, 1.0, 2.0], 0.0)
    with pytest.raises(ParameterError, match="max_events_per_frame"):
        dvs_events(np.zeros((3, 2, 2)), [0.0, 1.0, 2.0], max_events_per_frame=0)


@pytest.mark.parametrize("threshold", [1e-12, 1e-20])
def test_a_threshold_without_end_is_refused(threshold: float) -> None:
    # 1e-20 is below the last digit of the values: the reference would never arrive.
    movie = np.array([0.5, 1.5])[:, None, None]
    with pytest.raises(ResourceError, match="Raise the threshold"):
        dvs_events(movie, [0.0, 1.0], threshold)
    few = dvs_events(movie, [0.0, 1.0], threshold, max_events_per_frame=3)
    assert few.n_events == 3


def test_noise_and_times_beyond_all_bounds_are_refused() -> None:
    still = np.zeros((2, 3, 3))
    with pytest.raises(ResourceError, match="Lower noise_rate"):
        dvs_events(still, [0.0, 1.0], noise_rate=1e300)
    with pytest.raises(ActivityError, match="times must stay within"):
        dvs_events(still, [0.0, 1e15])


@pytest.mark.parametrize(("most", "interpolate"), [(None, True), (1, False), (2, True)])
def test_events_of_drawn_movies_by_a_loop(most: int | None, interpolate: bool) -> None:
    rng = np.random.default_rng(7)
    movie = np.cumsum(rng.normal(size=(8, 3, 5)), axis=0)
    times = np.cumsum(rng.uniform(1e-4, 0.3, 8)) - 0.4
    expected = []
    for y, x in np.ndindex(3, 5):
        reference = movie[0, y, x]
        for k in range(1, 8):
            before, now, n = movie[k - 1, y, x], movie[k, y, x], 0
            while abs(now - reference) >= 0.3 and (most is None or n < most):
                sign = 1 if now > reference else -1
                reference, n = reference + sign * 0.3, n + 1
                share = min(1.0, max(0.0, (reference - before) / (now - before)))
                share = share if interpolate else 1.0
                at = times[k - 1] + share * (times[k] - times[k - 1])
                expected.append((round(at * 1e6), y * 5 + x, sign))
    found = dvs_events(movie, times, interpolate=interpolate, max_events_per_frame=most)
    rows = zip(found.t.tolist(), found.unit.tolist(), np.asarray(found.p).tolist(), strict=True)
    assert sorted(rows) == sorted(expected)
