"""The spiking memory: the recorded answers, STDP by hand, persistence, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from activome.errors import ActivityError, ParameterError
from activome.networks.cam_operation import CAMOperation
from activome.networks.hippocampal_cam import HippocampalCAM
from activome.studies.hippocampal_cam import experiment


def test_one_spike_gives_the_voltages_of_the_paper() -> None:
    memory = HippocampalCAM(2, 2, record="all")
    states = memory.run([(0, 0)], [(0, 1)], 4).states
    # Weight 6: 5.47 mV into a cell of the first kind, which then fires and is reset.
    exc = states["CueRecall_cue"]["exc"].values
    factor = 0.3 * (1 - np.exp(-1 / 0.3))
    assert exc[1, 0] == pytest.approx(6 * factor)
    volts = 6 * factor * 3.0 / 0.27 * (1 - np.exp(-1 / 3.0))
    assert volts == pytest.approx(5.47, abs=0.01)
    assert states["CueRecall_cue"]["v"].values[1, 0] == -60.0


def test_experiment_one_at_the_output() -> None:
    operations, duration, sizes = experiment(1)
    spikes = HippocampalCAM(*sizes).execute(operations, duration).spikes
    cues, bits = spikes["OUT_cue"], spikes["OUT_content"]
    assert (cues.t // 1000).tolist() == [5, 7, 15, 17, 25, 27, 35, 46, 46, 56, 56, 65, 67, 75, 86]
    assert cues.unit.tolist() == [0, 0, 4, 4, 3, 3, 0, 3, 4, 0, 3, 3, 3, 3, 4]
    assert bits.unit[bits.t == 66_000].tolist() == [5, 6]
    assert sum(e.n_events for name, e in spikes.items() if not name.startswith("IN")) == 262


@pytest.mark.parametrize(("number", "n_spikes"), [(2, 1567), (3, 402)])
def test_number_of_spikes_of_the_hardware(number: int, n_spikes: int) -> None:
    operations, duration, sizes = experiment(number)
    spikes = HippocampalCAM(*sizes).execute(operations, duration).spikes
    assert sum(e.n_events for name, e in spikes.items() if not name.startswith("IN")) == n_spikes


def test_memories_persist_and_are_overwritten() -> None:
    memory = HippocampalCAM()
    memory.learn(2, [1, 4])
    memory.learn(3, np.eye(10, dtype=bool)[4])
    assert np.flatnonzero(memory.recall(cue=2)).tolist() == [1, 4]
    assert np.flatnonzero(memory.recall(content=[4])).tolist() == [2, 3]
    memory.learn(2, [7])
    step = memory.step
    contents = memory.contents_
    assert memory.step == step
    assert [np.flatnonzero(row).tolist() for row in contents] == [[], [], [7], [4], []]
    memory.forget(3)
    assert not memory.recall(cue=3).any()
    assert memory.weights_["cue->content"].shape == (5, 10)
    assert memory.weights_["cue->content"][2, 7] > 5.9


def test_rows_are_stored_and_recalled() -> None:
    words = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1]])
    memory = HippocampalCAM(3, 4).fit(np.eye(3), words)
    np.testing.assert_array_equal(memory.predict(np.eye(3)), words.astype(bool))
    np.testing.assert_array_equal(memory.predict([[0, 1, 0, 0]]), [[False, True, False]])


def test_the_best_cue_shares_the_most_bits() -> None:
    memory = HippocampalCAM(3, 6, plastic_recall=False)
    memory.learn(0, [0, 1])
    memory.learn(1, [1, 2])
    memory.run([], [], 30)
    before = memory.weights_
    assert memory.recall(content=[0, 1]).tolist() == [True, True, False]
    assert memory.recall(content=[0, 1], match="best").tolist() == [True, False, False]
    for name, matrix in memory.weights_.items():
        np.testing.assert_array_equal(matrix, before[name])


def test_refusals() -> None:
    memory = HippocampalCAM(3, 4)
    with pytest.raises(ParameterError, match="cue must be an integer"):
        memory.learn(3, [0])
    with pytest.raises(ParameterError, match="bit must be an integer"):
        memory.learn(0, [4])
    with pytest.raises(ActivityError, match="must have 4 bits"):
        memory.learn(0, np.zeros(5, bool))
    with pytest.raises(ParameterError, match="either a cue or content"):
        memory.recall(cue=1, content=[1])
    with pytest.raises(ParameterError, match="a bit that is set"):
        memory.recall(content=[])
    with pytest.raises(ActivityError, match="row 1 must have exactly one cue"):
        memory.fit([[1, 0, 0], [1, 1, 0]], np.ones((2, 4)))
    with pytest.raises(ActivityError, match="3 cues or 4 bits; got 2"):
        memory.predict([[1, 0]])
    with pytest.raises(ActivityError, match="indices in"):
        memory.run([(0, 5)], [], 3)
    first = CAMOperation("learn", 0, (1,), 0)
    with pytest.raises(ParameterError, match="needs until 7"):
        memory.execute([first, CAMOperation("recall_cue", 0, (), 5)], 20)
    with pytest.raises(ParameterError, match="needs a cue"):
        CAMOperation("learn", None, (1,))
    with pytest.raises(ParameterError, match="at least one bit"):
        CAMOperation("recall_content")


def test_ambiguous_words_and_spikes_are_refused() -> None:
    memory = HippocampalCAM(3, 4)
    for wrong in (np.array([1, 0, 1, 0]), [2, 2], [[0, 1], [2, 3]]):
        with pytest.raises(ActivityError, match=r"take astype\(bool\)"):
            memory.learn(0, wrong)
    for spikes in ([(0.5, 0)], [(float("nan"), 0)], [(0,)], [(0, 1, 2)], [0], "ab"):
        with pytest.raises(ActivityError, match="pairs of two integers"):
            memory.run(spikes, [], 5)
    assert memory.step == 0
    with pytest.raises(ParameterError, match="stdp must be a PairSTDP"):
        HippocampalCAM(stdp="pair")  # type: ignore[arg-type]  # refused
    with pytest.raises(ParameterError, match="plastic_recall must be"):
        HippocampalCAM(plastic_recall="no")  # type: ignore[arg-type]  # refused
