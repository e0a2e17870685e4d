"""The spiking memory of the hippocampus against its hardware, and against a plain dictionary.

The paper's three experiments are run as they were on the hardware. What the authors published of
experiment 1 at the output is compared spike by spike; the other recordings by their numbers of
spikes, and spike by spike where the authors' workbooks are in the data folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from activome._random import make_generator
from activome.networks.cam_operation import CAMOperation
from activome.networks.hippocampal_cam import HippocampalCAM
from activome.networks.spiking.simulate import SimulationResult
from activome.studies._cam_figure import draw
from activome.studies._cam_tables import Spike, find_workbook, read_workbook
from activome.studies.claims import Study

__all__ = ["experiment", "run"]

# Spikes of the recordings, the input left out.
_HARDWARE = {1: 262, 2: 1567, 3: 402}
_MAP = (0, 5, 1, 3, 0, 3, 4, 5, 0, 5, 4, 3, 2, 4, 4, 3)
# Output of experiment 1 on the hardware: step, cues, bits.
_OUTPUT_1: tuple[tuple[int, list[int], list[int]], ...] = (
    (5, [0], [0, 1, 8, 9]),
    (7, [0], [0, 1, 8, 9]),
    (15, [4], [1, 5, 6]),
    (17, [4], [1, 5, 6]),
    (25, [3], [4, 5, 6]),
    (27, [3], [4, 5, 6]),
    (35, [0], []),
    (36, [], [0, 1, 8, 9]),
    (45, [], [6]),
    (46, [3, 4], []),
    (55, [], [0, 4]),
    (56, [0, 3], []),
    (65, [3], [1, 3, 4, 8]),
    (66, [], [5, 6]),
    (67, [3], [1, 3, 4, 8]),
    (75, [3], []),
    (76, [], [1, 3, 4, 8]),
    (85, [], [6]),
    (86, [4], []),
)


def _learn(start: int, cue: int, content: Any) -> CAMOperation:
    return CAMOperation("learn", cue, tuple(sorted(content)), start)


def _by_cue(start: int, cue: int) -> CAMOperation:
    return CAMOperation("recall_cue", cue, (), start)


def _by_content(start: int, content: Any) -> CAMOperation:
    return CAMOperation("recall_content", None, tuple(sorted(content)), start)


def experiment(number: int) -> tuple[list[CAMOperation], int, tuple[int, int]]:
    """Return one of the paper's three experiments.

    Parameters
    ----------
    number : int
        1 (all operations), 2 (the sequence of 60 operations), or 3 (cells of a map by state).

    Returns
    -------
    tuple
        Operations, duration in ms, and (n_cues, n_content).
    """
    if number == 1:
        first = [_learn(0, 0, [0, 1, 8, 9]), _learn(10, 4, [1, 5, 6]), _learn(20, 3, [4, 5, 6])]
        asked = [_by_cue(30, 0), _by_content(40, [6]), _by_content(50, [0, 4])]
        again = [_learn(60, 3, [1, 3, 4, 8]), _by_cue(70, 3), _by_content(80, [6])]
        return first + asked + again, 100, (5, 10)
    if number == 3:
        cells = [_learn(7 * k, k, [state]) for k, state in enumerate(_MAP)]
        wanted = ((112, [1, 2, 4]), (118, [3]), (124, [5]), (130, [0]))
        return cells + [_by_content(t, bits) for t, bits in wanted], 145, (16, 6)
    words = [{0}, {1}, {0, 1}, {2}, {0, 2}]
    operations: list[CAMOperation] = []
    for turn in range(3):
        begin = 1 + 280 * turn
        held = [set(range(10)) - word for word in words] if turn == 1 else words
        operations += [_learn(begin + 14 * k, k, word) for k, word in enumerate(held)]
        operations += [_by_cue(begin + 70 + 14 * k, k) for k in range(5)]
        operations += [_by_content(begin + 140 + 14 * k, [k]) for k in range(10)]
    return operations, 851, (5, 10)


def run(study: Study) -> None:
    """Measure the claims; the smoke size takes experiment 1 and a few sequences.

    Parameters
    ----------
    study : Study
        The bench.
    """
    numbers = (1, 2, 3) if study.is_full else (1,)
    study.claim(
        "experiment 1: output spikes that differ from the hardware's",
        study.step("output", _output_differences),
        paper="recorded",
        equals=0,
    )
    for number in numbers:
        found = study.step(f"spikes {number}", _count, number)
        study.claim(
            f"experiment {number}: spikes of all cells behind the input",
            found,
            paper=str(_HARDWARE[number]),
            equals=_HARDWARE[number],
        )
    for number in numbers:
        _against_table(study, number)
    if study.is_full:
        study.claim(
            "experiment 3: queries of the map with a wrong set of cells",
            study.step("map", _map_errors),
            paper="0",
            equals=0,
        )
    _against_dictionary(study)
    operations, duration, _ = experiment(1)
    study.save_figure(draw(operations, duration))


def _simulated(number: int) -> SimulationResult:
    operations, duration, sizes = experiment(number)
    return HippocampalCAM(*sizes).execute(operations, duration)


def _triples(result: SimulationResult) -> set[Spike]:
    return {
        (name, int(unit), int(t) // 1000)
        for name, events in result.spikes.items()
        if not name.startswith("IN")
        for t, unit in zip(events.t, events.unit, strict=True)
    }


def _output_differences() -> int:
    wanted = {
        (name, unit, t)
        for t, cues, bits in _OUTPUT_1
        for name, units in (("OUT_cue", cues), ("OUT_content", bits))
        for unit in units
    }
    found = {item for item in _triples(_simulated(1)) if item[0].startswith("OUT")}
    return len(wanted ^ found)


def _count(number: int) -> int:
    return len(_triples(_simulated(number)))


def _against_table(study: Study, number: int) -> None:
    name = f"experiment {number}: spikes of any cell that differ from the hardware's"
    path = find_workbook(study.data, number)
    if path is None:
        study.not_run(
            name,
            paper="0",
            threshold="= 0",
            reason="The authors' workbooks do not ship. Put the folder results of "
            "github.com/dancasmor/An-aproach-to-a-spike-based-Content-Addressable-Memory-bio-"
            "inspired-in-the-Hippocampus into the folder that ACTIVOME_DATA or the argument data "
            "names.",
        )
        return
    found = study.step(f"table {number}", _differences, number, path)
    study.claim(name, found, paper="0", equals=0)


def _differences(number: int, path: Path) -> int:
    return len(read_workbook(path) ^ _triples(_simulated(number)))


def _map_errors() -> int:
    spikes = _simulated(3).spikes["OUT_cue"]
    wrong = 0
    for start, bits in ((112, [1, 2, 4]), (118, [3]), (124, [5]), (130, [0])):
        found = set(spikes.unit[spikes.t == (start + 6) * 1000].tolist())
        wrong += found != {k for k, state in enumerate(_MAP) if state in bits}
    return wrong


def _against_dictionary(study: Study) -> None:
    n = 60 if study.is_full else 6
    spacings = (7, 10, 30) if study.is_full else (30,)
    found = {s: study.step(f"spacing {s}", _sequences, study.random_state, n, s) for s in spacings}
    asked = sum(item["cue_asked"] for item in found.values())
    study.claim(
        "random sequences: recalls by cue that equal a dictionary's",
        sum(item["cue_right"] for item in found.values()) / asked,
        at_least=1.0,
        note=f"{asked:.0f} recalls at spacings of {', '.join(map(str, spacings))} ms",
    )
    slow = found[30]
    study.claim(
        "random sequences: recalls by one bit that equal a dictionary's, spacing 30 ms",
        slow["one_right"] / slow["one_asked"],
        at_least=1.0,
        note=f"{slow['one_asked']:.0f} recalls",
    )
    study.claim(
        "random sequences: cues missed by questions of two bits, spacing 30 ms",
        slow["two_missing"],
        equals=0,
        note=f"{slow['two_extra']:.0f} extra cues in {slow['two_asked']:.0f} questions",
    )
    for s in spacings[:-1]:
        study.note(
            f"Spacing {s} ms, one bit: {found[s]['one_missing']:.0f} cues missing and "
            f"{found[s]['one_extra']:.0f} extra in {found[s]['one_asked']:.0f} questions; two "
            f"bits: {found[s]['two_missing']:.0f} missing, {found[s]['two_extra']:.0f} extra in "
            f"{found[s]['two_asked']:.0f}."
        )
    still = study.step("still", _sequences, study.random_state, n // 3, 30, plastic_recall=False)
    study.claim(
        "weights put back after recalls: extra cues of questions of two bits",
        still["two_extra"],
        equals=0,
        note=f"{still['two_asked']:.0f} questions",
    )
    left = study.step("forgotten", _forgotten)
    study.note(
        f"After a word of two bits is overwritten, its bits keep {left['overwritten']:.2f} nA on "
        f"the way from content to cue, and {left['forgotten']:.2f} nA after the cue learns the "
        "empty word, which erases only the way from cue to content: words here are not empty."
    )
    study.note(
        "A binary Willshaw matrix of the same size, which cannot overwrite, answers "
        f"{slow['willshaw_right'] / slow['cue_asked']:.3f} of the same questions by cue."
    )


def _forgotten() -> dict[str, float]:
    """Largest weight from the old bits to a cue that learned another word, or the empty one."""
    found = {}
    for name, word in (("overwritten", [2]), ("forgotten", [])):
        memory = HippocampalCAM()
        for content in ([0, 1], word):
            memory.learn(0, content)
        # Before any recall, which writes: asking by both bits would tie them to the cue again.
        found[name] = float(memory.weights_["content->cue"][:2, 0].max())
    return found


def _sequences(
    random_state: int, n_sequences: int, spacing: int, *, plastic_recall: bool = True
) -> dict[str, float]:
    """Compare random sequences of operations with a plain dictionary."""
    generator = make_generator(random_state)
    kinds = ("one", "two")
    total = dict.fromkeys([f"{k}_{w}" for k in kinds for w in ("asked", "right")], 0.0)
    total |= {f"{k}_{w}": 0.0 for k in kinds for w in ("missing", "extra")}
    total |= {"cue_asked": 0.0, "cue_right": 0.0, "willshaw_right": 0.0}
    for sequence in range(n_sequences):
        # Questions of two bits write: what they tie would count against those of one.
        content = kinds[sequence % 2]
        memory = HippocampalCAM(plastic_recall=plastic_recall, rest=spacing - 7)
        held: dict[int, set[int]] = {}
        union: dict[int, set[int]] = {}
        for k in range(int(generator.integers(16, 21))):
            kind = "learn" if k < 3 else str(generator.choice(["learn", "cue", content]))
            if kind == "learn":
                cue = int(generator.integers(5))
                density = generator.uniform(0.2, 0.5)
                word = np.flatnonzero(generator.random(10) < density)
                if word.size == 0:
                    word = generator.integers(10, size=1)
                memory.learn(cue, word)
                held[cue] = set(word.tolist())
                union[cue] = union.get(cue, set()) | held[cue]
            elif kind == "cue":
                cue = int(generator.choice(list(held)))
                found = set(np.flatnonzero(memory.recall(cue=cue)).tolist())
                total["cue_asked"] += 1
                total["cue_right"] += found == held[cue]
                total["willshaw_right"] += union[cue] == held[cue]
            else:
                bits = generator.choice(10, 1 if kind == "one" else 2, replace=False)
                found = set(np.flatnonzero(memory.recall(content=bits)).tolist())
                wanted = {c for c, word in held.items() if word & set(bits.tolist())}
                total[f"{kind}_asked"] += 1
                total[f"{kind}_right"] += found == wanted
                total[f"{kind}_missing"] += len(wanted - found)
                total[f"{kind}_extra"] += len(found - wanted)
    return total
