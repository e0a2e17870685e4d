"""The hippocampal memory against its equations, stepped one by one, at other sizes and loads."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from activome.networks.cam_operation import CAMOperation
from activome.networks.hippocampal_cam import HippocampalCAM
from activome.networks.spiking.plasticity import PairSTDP

Array = np.ndarray[Any, Any]
# Short names of the populations: c and k stand for cue and content.
NAMES = {
    "cc": "CueRecall_cue",
    "ck": "ContRecall_cue",
    "kc": "CueRecall_content",
    "gate": "Cond",
    "all": "CondInt",
    "kk": "ContRecall_content",
    "mc": "MergeCue",
    "mk": "MergeContent",
    "oc": "OUT_cue",
    "ok": "OUT_content",
}
# From, to, weight (nA), delay (ms), and to whom: its like, everyone, or all but its like.
STATIC = (
    ("ic", "cc", 6.0, 1, "one"), ("ik", "kc", 6.0, 1, "one"), ("cc", "ck", 6.0, 2, "one"),
    ("cc", "ck", -6.0, 3, "others"), ("ck", "ck", -6.0, 2, "others"),
    ("cc", "gate", -6.0, 2, "every"), ("kc", "gate", 9.0, 1, "one"),
    ("kc", "all", 6.0, 1, "every"), ("all", "gate", 2.0, 1, "every"),
    ("gate", "kk", 6.0, 1, "one"), ("cc", "mc", 6.0, 3, "one"), ("ck", "mc", 6.0, 1, "one"),
    ("kc", "mk", 6.0, 3, "one"), ("kk", "mk", 6.0, 1, "one"), ("mc", "oc", 6.0, 1, "one"),
    ("mk", "ok", 6.0, 1, "one"),
)  # fmt: skip


class Stepped:
    """Cells, currents and synapses as arrays and lists of spike times; nothing is kept as trace."""

    def __init__(self, n: int, m: int, rule: tuple[float, float, float, float, float]) -> None:
        self.sizes = {"ic": n, "cc": n, "ck": n, "mc": n, "oc": n, "all": 1}
        self.sizes |= dict.fromkeys(("ik", "kc", "gate", "kk", "mk", "ok"), m)
        self.a_plus, self.a_minus, self.tau_plus, self.tau_minus, self.w_max = rule
        self.voltage = {p: np.full(k, -60.0) for p, k in self.sizes.items()}
        self.current = {p: np.zeros((2, k)) for p, k in self.sizes.items()}
        self.left = {p: np.zeros(k, int) for p, k in self.sizes.items()}
        self.spikes: Any = {p: [[] for _ in range(k)] for p, k in self.sizes.items()}
        self.due: Any = defaultdict(lambda: {p: np.zeros((2, k)) for p, k in self.sizes.items()})
        self.weight = {("cc", "kc"): np.zeros((n, m)), ("kk", "ck"): np.zeros((m, n))}

    def learn(self, pre: str, post: str, i: int, t: int) -> None:
        """Change the weights of a cell that fires at t, before they are used."""
        earlier = self.spikes[pre][i]
        for j, w in enumerate(self.weight[pre, post][i]):
            seen = [u + 1 for u in self.spikes[post][j] if u + 1 <= t]
            for q in seen:
                if earlier and q > earlier[-1]:
                    gain = sum(np.exp(-(q - p) / self.tau_plus) for p in earlier if p < q)
                    w = min(self.w_max, w + self.a_plus * gain)
            loss = sum(np.exp(-(t - q) / self.tau_minus) for q in seen)
            self.weight[pre, post][i, j] = max(0.0, w - self.a_minus * loss)

    def cells(self, p: str, t: int) -> list[int]:
        """Advance the cells of a population by a step, and return those that fire."""
        tau, c_m = (0.5, 0.14) if p in ("ck", "gate", "all") else (3.0, 0.27)
        decay, share = np.exp(-1 / tau), 0.3 * (1 - np.exp(-1 / 0.3))
        self.current[p] = self.current[p] * np.exp(-1 / 0.3) + share * self.due[t][p]
        fired = []
        for k in range(self.sizes[p]):
            if self.left[p][k]:
                self.left[p][k] -= 1
                continue
            end = -60.0 + (self.current[p][0, k] - self.current[p][1, k]) * tau / c_m
            self.voltage[p][k] = end - decay * (end - self.voltage[p][k])
            if self.voltage[p][k] >= (-57.5 if p in ("oc", "ok") else -57.0):
                fired.append(k)
                self.voltage[p][k], self.left[p][k] = -60.0, 1
        return fired

    def run(self, inputs: dict[tuple[str, int], set[int]], duration: int) -> set[Any]:
        found = set()
        for t in range(duration):
            fired = {
                p: sorted(inputs.get((p, t), ())) if p in ("ic", "ik") else self.cells(p, t)
                for p in self.sizes
            }
            for (pre, post), weight in self.weight.items():
                for i in fired[pre]:
                    self.learn(pre, post, i, t)
                    self.due[t + 1][post][0] += weight[i]
            for p, cells in fired.items():
                for k in cells:
                    self.spikes[p][k].append(t)
                    found |= {(t, NAMES[p], k)} if p in NAMES else set()
            for pre, post, amount, delay, kind in STATIC:
                # Inhibition of all but the like outweighs a whole word.
                size = abs(amount) * (self.sizes["ik"] if kind == "others" else 1)
                for k in fired[pre]:
                    due = self.due[t + delay][post][int(amount < 0)]
                    whom = np.arange(due.size) == k
                    due[{"one": whom, "others": ~whom, "every": whom | ~whom}[kind]] += size
        return found


def draw(n: int, m: int, seed: int) -> tuple[list[CAMOperation], int]:
    """Return operations of every kind, at most 20 steps apart, and how long they take."""
    rng = np.random.default_rng(seed)
    operations, start = [], 0
    for _ in range(14):
        kind = str(rng.choice(["learn", "learn", "recall_cue", "recall_content"]))
        word = np.flatnonzero(rng.random(m) < rng.choice([0.2, 0.5, 0.9])).tolist()
        cue = None if kind == "recall_content" else int(rng.integers(n))
        bits = () if kind == "recall_cue" else tuple(word)
        bits = bits if bits or kind != "recall_content" else (int(rng.integers(m)),)
        operations.append(CAMOperation(kind, cue, bits, start))  # type: ignore[arg-type]  # drawn
        start += operations[-1].spacing + int(rng.integers(20))
    return operations, start + 12


@pytest.mark.parametrize(
    ("n", "m", "rule"),
    [
        (7, 15, None),
        (11, 2, None),
        (1, 4, None),
        (4, 8, (5.0, 6.5, 2.5, 4.0, 7.0)),
        (6, 6, (6.0, 6.0, 3.0, 3.0, 6.0)),
    ],
)
def test_every_spike_and_weight(n: int, m: int, rule: Any) -> None:
    stdp = None
    if rule is not None:
        stdp = PairSTDP(
            a_plus=rule[0], a_minus=rule[1], tau_plus=rule[2], tau_minus=rule[3], w_max=rule[4],
            trigger="presynaptic",
        )  # fmt: skip
    operations, duration = draw(n, m, 10 * n + m)
    inputs: Any = defaultdict(set)
    for one in operations:
        for t in range(one.start, one.start + one.held):
            inputs["ic", t] |= set() if one.cue is None else {one.cue}
            inputs["ik", t] |= set(one.content)
    expected = Stepped(n, m, rule or (6.0, 6.0, 3.0, 3.0, 6.0)).run(inputs, duration)
    memory = HippocampalCAM(n, m, stdp=stdp)
    found = set()
    # In three pieces: the state must carry over.
    for low, high in pairwise((0, duration // 3, 2 * duration // 3, duration)):
        cues, words = (
            [(t - low, k) for t in range(low, high) for k in inputs[p, t]] for p in ("ic", "ik")
        )
        spikes = memory.run(cues, words, high - low).spikes
        for name in NAMES.values():
            t = np.rint(spikes[name].time * 1e3).astype(int).tolist()
            found |= {(at, name, k) for at, k in zip(t, spikes[name].unit.tolist(), strict=True)}
    assert found == expected
    assert len(found) > 100


@pytest.mark.parametrize(("n", "m", "density"), [(30, 64, 0.5), (64, 12, 0.3), (1, 1, 1.0)])
def test_other_loads_answer_as_a_dictionary(n: int, m: int, density: float) -> None:
    rng = np.random.default_rng(m)
    memory, held = HippocampalCAM(n, m), {}
    for _ in range(25):
        word = rng.random(m) < density
        word[rng.integers(m)] = True
        cue = int(rng.integers(n))
        memory.learn(cue, word)
        held[cue] = word
        asked = int(rng.choice(list(held)))
        assert memory.recall(cue=asked).tolist() == held[asked].tolist()
        bit = int(rng.integers(m))
        has = [k in held and bool(held[k][bit]) for k in range(n)]
        assert memory.recall(content=[bit]).tolist() == has
