"""Number of states: planted switching, none where there is none, and what is held out."""

from __future__ import annotations

import numpy as np
import pytest

from activome.errors import ActivityError, ParameterError
from activome.patterns.hmm_glm import HMMGLM
from activome.patterns.n_states import _split, choose_n_states
from activome.patterns.semi_nmf import SemiNMF
from activome.samples.generators import states

MODEL = HMMGLM(
    prior="gaussian", share_bias=False, link="exp", n_init=3, max_iter=20, random_state=0,
)  # fmt: skip


def test_two_states_are_chosen_and_one_without_switching() -> None:
    switching, _ = states(6, 2, n_times=500, n_trials=2, stay=0.97, random_state=0)
    assert choose_n_states(MODEL, switching, (1, 2, 3), n_folds=2).n_states == 2
    steady = np.random.default_rng(0).poisson(0.5, size=(800, 6))
    assert choose_n_states(MODEL, steady, (1, 2), n_folds=4).n_states == 1


def test_blocks_and_gaps_by_hand() -> None:
    values = np.arange(20).reshape(20, 1)
    train, test = _split([values], 1, 2, 2)
    assert test[0].ravel().tolist() == list(range(10, 20))
    assert [part.ravel().tolist() for part in train] == [list(range(8))]


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="must have the parameter n_states"):
        choose_n_states(SemiNMF(), np.ones((100, 3)))
    with pytest.raises(ParameterError, match="at least one number"):
        choose_n_states(MODEL, np.ones((100, 3)), ())
    with pytest.raises(ActivityError, match="sequence 0 has 40 bins, 10 per block"):
        choose_n_states(MODEL, np.ones((40, 3)))
