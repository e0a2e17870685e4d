"""Tests of spike trains: regularity, order of intervals, synchrony, oscillation of the population.

Each compares the trains with surrogates that keep what the test is not about: slow changes of the
rate always, and the intervals within each train where units are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from activome._checks import check_integer, check_number
from activome._random import RandomState, make_generator
from activome.activity._lempel_ziv import count_phrases
from activome.activity.events import Events
from activome.activity.statistics import MonteCarloTest, monte_carlo_p
from activome.errors import ActivityError
from activome.patterns._population_spectrum import peak_heights, segment_spectrum
from activome.patterns._spike_counts import bin_trains
from activome.patterns._spike_intervals import successive_trains

__all__ = [
    "PopulationOscillation",
    "interval_order",
    "interval_regularity",
    "local_variation",
    "population_oscillation",
    "spike_synchrony",
]

Array = np.ndarray[Any, Any]
_MOST_SYMBOLS = 40_000
_BLOCK = 20
_STOP = 20
_SEGMENTS = (256, 128, 64)
_FEWEST_SEGMENTS = 8


@dataclass(frozen=True)
class PopulationOscillation:
    """What ``population_oscillation`` found.

    Attributes
    ----------
    test : MonteCarloTest
        Of the height of the highest peak, in deviations of the null.
    frequency : float
        Of the highest peak on the scale of log power, Hz.
    frequencies : ndarray of float64, shape (n_frequencies,)
        Hz.
    power : ndarray of float64, shape (n_frequencies,)
        Of the number of spikes per bin, arbitrary unit.
    null_power : ndarray of float64, shape (2, n_frequencies)
        Quantiles 0.05 and 0.95 of the power of shifted trains.
    """

    test: MonteCarloTest
    frequency: float
    frequencies: Array
    power: Array
    null_power: Array


def local_variation(intervals: Array) -> float:
    """Compare successive intervals: 0 for a clock, 1 for a Poisson process, above 1 for bursts.

    ``3 mean(((I_k - I_{k+1}) / (I_k + I_{k+1}))^2)``. Unlike the coefficient of variation it hardly
    changes when the rate drifts.

    Parameters
    ----------
    intervals : ndarray of float, shape (n_intervals,)
        In any unit; pairs of zeros are left out.

    Returns
    -------
    float
        Local variation.

    Raises
    ------
    ActivityError
        If there is no pair of successive intervals to compare.

    References
    ----------
    .. [1] S. Shinomoto, K. Shima and J. Tanji, "Differences in spiking patterns among cortical
       neurons", 2003.

    Examples
    --------
    >>> import numpy as np
    >>> local_variation(np.array([1.0, 3.0, 1.0, 3.0]))
    0.75
    """
    total = intervals[1:] + intervals[:-1]
    is_pair = total > 0
    if not is_pair.any():
        raise ActivityError(
            f"local_variation: there must be two successive intervals; got {intervals.size}."
        )
    ratio = np.diff(intervals)[is_pair] / total[is_pair]
    return float(3.0 * np.mean(ratio**2))


def interval_regularity(
    events: Events, *, n_surrogates: int = 199, random_state: RandomState = None
) -> MonteCarloTest:
    """Test whether trains are more regular, or less, than Poisson processes.

    The statistic is the mean local variation of the units; surrogates are Poisson processes with
    as many spikes of each unit in each trial, on the clock of the recording.

    Parameters
    ----------
    events : Events
        Spikes; units with fewer than 20 intervals do not count.
    n_surrogates : int, default=199
        Surrogates.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    MonteCarloTest
        Two-sided; ``observed`` is below that of the null for regular trains.

    Raises
    ------
    ActivityError
        If no unit has 20 intervals.
    ParameterError
        If ``n_surrogates`` is below 1.

    Notes
    -----
    At most 64 units, 50 trials and about 1,000 spikes of each unit enter.

    Examples
    --------
    >>> import numpy as np
    >>> clock = Events.from_times(np.arange(0.0, 9.0, 0.1), np.zeros(90, int), stop=9.0)
    >>> interval_regularity(clock, n_surrogates=99, random_state=0).p_value
    0.01
    """
    check_integer(n_surrogates, name="n_surrogates", owner="interval_regularity", low=1)
    generator = make_generator(random_state)
    trains = successive_trains(events, "interval_regularity")
    values = [trains.local_variation(trains.t)]
    values += [trains.local_variation(trains.uniform(generator)) for _ in range(n_surrogates)]
    # On a coarse clock a Poisson process has another mean than 1: distances are from that of all,
    # the recording among them, so that all stay exchangeable.
    away = np.abs(np.array(values) - np.mean(values))
    hits = int(np.count_nonzero(away[1:] >= away[0]))
    null = np.array(values[1:])
    return MonteCarloTest((1 + hits) / (1 + n_surrogates), float(values[0]), null, hits, False)


def interval_order(
    events: Events, *, n_surrogates: int = 199, random_state: RandomState = None
) -> MonteCarloTest:
    """Test whether the order of the intervals of each train holds structure.

    Intervals become symbols, long or short, by the median of each run of 20; the statistic is the
    number of phrases of Lempel and Ziv (1976) over all units. Surrogates have the symbols of each
    run in random order, which keeps rates, their slow changes and the distribution of intervals.

    Parameters
    ----------
    events : Events
        Spikes; units with fewer than 20 intervals do not count.
    n_surrogates : int, default=199
        Most surrogates.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    MonteCarloTest
        Of phrases fewer than with intervals in random order.

    Raises
    ------
    ActivityError
        If no unit has 20 intervals.

    Notes
    -----
    At most 40,000 intervals enter, as many of each unit; runs do not span two trials. Symbols by a
    local median, and shuffles within runs, are our choice: a drifting rate alone would order the
    intervals otherwise.

    References
    ----------
    .. [1] A. Lempel and J. Ziv, "On the complexity of finite sequences", 1976.

    Examples
    --------
    >>> import numpy as np
    >>> times = np.cumsum(np.tile([0.1, 0.2, 0.1, 0.3], 50))
    >>> train = Events.from_times(times, np.zeros(200, int))
    >>> interval_order(train, n_surrogates=99, random_state=0).p_value
    0.01
    """
    generator = make_generator(random_state)
    trains = successive_trains(events, "interval_order")
    runs = trains.runs(_BLOCK, _MOST_SYMBOLS)
    if not runs:
        raise ActivityError(
            f"interval_order: a unit must have {_BLOCK} successive intervals in a trial; none has."
        )
    bounds = np.cumsum([len(run) for run in runs])[:-1]
    symbols = np.concatenate(runs)

    def statistic(values: Array) -> float:
        parts = np.split(values, bounds)
        return float(sum(count_phrases(p.reshape(1, -1), 2, "lz76")[0] for p in parts))

    def draw() -> float:
        return statistic(generator.permuted(symbols, axis=1))

    return monte_carlo_p(
        statistic(symbols), draw, n_surrogates, stop_after=_STOP, alternative="less"
    )


def spike_synchrony(
    events: Events,
    *,
    bin_width: float = 0.005,
    max_shift: int = 10,
    n_surrogates: int = 199,
    random_state: RandomState = None,
) -> MonteCarloTest:
    """Test whether units fire together more often than trains that are shifted a little.

    The statistic is the number of pairs of spikes of different units in one bin. Each surrogate
    shifts every train as a whole by a lag of its own of at most ``max_shift`` bins: intervals stay,
    and rates that all units change together on slower scales stay as well.

    Parameters
    ----------
    events : Events
        Spikes of at least two units.
    bin_width : float, default=0.005
        In s; rounded up to whole steps of the recording's clock, where that is coarser.
    max_shift : int, default=10
        Largest lag in bins.
    n_surrogates : int, default=199
        Most surrogates.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    MonteCarloTest
        ``observed`` and ``null`` are pairs of spikes.

    Raises
    ------
    ActivityError
        If fewer than two units fire, or the recording has no more than ``4 max_shift`` bins.
    ParameterError
        If a number is outside its range.

    Notes
    -----
    Of more than 200,000 spikes a stretch from the middle (or some of the trials) enters. The clock
    is the greatest common divisor of the times: bins finer than it would be hit or missed together.
    Two units have only ``2 max_shift + 1`` lags between them, which bounds their p-value.

    Examples
    --------
    >>> import numpy as np
    >>> times = np.sort(np.random.default_rng(0).uniform(0, 10, 100))
    >>> near = Events.from_unit_times([times + 0.0001 * k for k in range(4)], start=0.0, stop=10.1)
    >>> spike_synchrony(near, n_surrogates=99, random_state=0).p_value
    0.01
    """
    owner = "spike_synchrony"
    width = check_number(bin_width, name="bin_width", owner=owner, low=0.0)
    check_integer(max_shift, name="max_shift", owner=owner, low=1)
    generator = make_generator(random_state)
    trains = bin_trains(events, width, generator, owner)
    if trains.n_bins <= 4 * max_shift:
        raise ActivityError(
            f"{owner}: there must be more than {4 * max_shift} bins of {trains.bin_width:g} s; the "
            f"recording has {trains.n_bins}. Choose finer bins or smaller shifts."
        )
    own = trains.own_pairs()

    def statistic(counts: Array) -> float:
        return float(np.vdot(counts, counts) - own) / 2

    return monte_carlo_p(
        statistic(trains.counts()),
        lambda: statistic(trains.shifted(max_shift, generator)),
        n_surrogates,
        stop_after=_STOP,
    )


def population_oscillation(
    events: Events,
    *,
    bin_width: float = 0.005,
    n_surrogates: int = 199,
    random_state: RandomState = None,
) -> PopulationOscillation:
    """Test whether the spikes of the population have a rhythm that single units do not explain.

    The statistic is the highest peak of the log power of the population's spike count over the
    median power on either side of it, in deviations of the surrogates at that frequency. Each
    surrogate shifts every train as a whole by a lag of up to 100 bins, so that the rhythm of a
    regular unit alone remains. Shared activity without a rhythm has no peak.

    Parameters
    ----------
    events : Events
        Spikes of at least two units.
    bin_width : float, default=0.005
        In s; rounded up to whole steps of the recording's clock, where that is coarser.
    n_surrogates : int, default=199
        Surrogates.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    PopulationOscillation
        Test, frequency and spectrum.

    Raises
    ------
    ActivityError
        If fewer than two units fire, or the recording has no 8 segments of 64 bins.
    ParameterError
        If a number is outside its range.

    Notes
    -----
    Spectra are means over segments of 256 bins, or of 128 or 64 where there are not eight of these;
    the lowest frequency is four cycles per segment. Of more than 200,000 spikes a stretch enters.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> cycles = [0.1 * rng.choice(200, 60, False) + rng.normal(0.05, 0.01, 60) for _ in range(20)]
    >>> rhythm = Events.from_unit_times(cycles, start=0.0, stop=20.1)
    >>> found = population_oscillation(rhythm, n_surrogates=99, random_state=0)
    >>> round(found.frequency), found.test.p_value
    (10, 0.01)
    """
    owner = "population_oscillation"
    width = check_number(bin_width, name="bin_width", owner=owner, low=0.0)
    check_integer(n_surrogates, name="n_surrogates", owner=owner, low=1)
    generator = make_generator(random_state)
    trains = bin_trains(events, width, generator, owner)
    most = {n: trains.n_trials * (trains.n_bins // n) for n in _SEGMENTS}
    length = next((n for n, n_segments in most.items() if n_segments >= _FEWEST_SEGMENTS), 0)
    if not length:
        raise ActivityError(
            f"{owner}: there must be {_FEWEST_SEGMENTS} segments of {_SEGMENTS[-1]} bins of "
            f"{trains.bin_width:g} s; the recording has {trains.n_trials} times {trains.n_bins} "
            "bins. Choose finer bins."
        )
    draws = [trains.counts()]
    draws += [trains.shifted(min(100, trains.n_bins // 2), generator) for _ in range(n_surrogates)]
    power = np.stack([segment_spectrum(counts, trains, length) for counts in draws])
    at, heights = peak_heights(np.log(power))
    # Centred and scaled by all rows alike, the data among them: all rows stay exchangeable.
    spread = heights.std(axis=0)
    scaled = (heights - heights.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    highest = scaled.max(axis=1)
    hits = int(np.count_nonzero(highest[1:] >= highest[0]))
    frequencies = np.fft.rfftfreq(length, trains.bin_width)[1:]
    return PopulationOscillation(
        test=MonteCarloTest(
            (1 + hits) / (1 + n_surrogates), float(highest[0]), highest[1:], hits, False
        ),
        frequency=float(frequencies[at[int(np.argmax(heights[0]))]]),
        frequencies=frequencies,
        power=power[0],
        null_power=np.quantile(power[1:], [0.05, 0.95], axis=0),
    )
