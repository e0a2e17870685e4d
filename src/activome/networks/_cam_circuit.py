"""The circuit of the hippocampal memory: ten kinds of cells, and their constants."""

from __future__ import annotations

from typing import Any

from activome.networks.spiking.network import Network, Population
from activome.networks.spiking.neurons import IFCurrExp, SpikeSource
from activome.networks.spiking.plasticity import PairSTDP
from activome.networks.spiking.projections import Projection

__all__ = ["POPULATIONS", "build"]

POPULATIONS = (
    "IN_cue",
    "IN_content",
    "CueRecall_cue",
    "ContRecall_cue",
    "CueRecall_content",
    "Cond",
    "CondInt",
    "ContRecall_content",
    "MergeCue",
    "MergeContent",
    "OUT_cue",
    "OUT_content",
)
_FAST = ("ContRecall_cue", "Cond", "CondInt")


def build(n_cues: int, n_content: int, stdp: PairSTDP | None) -> Network:
    """Return the network; weights in nA, delays in ms, as the paper's hardware runs it."""
    rule = stdp or PairSTDP(
        tau_plus=3.0, tau_minus=3.0, a_plus=6.0, a_minus=6.0, w_max=6.0, trigger="presynaptic"
    )
    sizes = {name: n_cues if name.lower().endswith("cue") else n_content for name in POPULATIONS}
    sizes["CondInt"] = 1
    populations = []
    for name in POPULATIONS:
        neuron: Any = SpikeSource()
        if not name.startswith("IN"):
            fast = name in _FAST
            neuron = IFCurrExp(
                tau_m=0.5 if fast else 3.0,
                tau_e=0.3,
                tau_i=0.3,
                c_m=0.14 if fast else 0.27,
                v_rest=-60.0,
                v_reset=-60.0,
                v_threshold=-57.5 if name.startswith("OUT") else -57.0,
                refractory=1.0,
                input_factor=True,
            )
        populations.append(Population(name, sizes[name], neuron))
    strong = 6.0 * n_content
    one, every, others = "one", "all", "others"
    table: list[tuple[str, str, str, float, float, str]] = [
        ("IN_cue", "CueRecall_cue", one, 6.0, 1.0, "exc"),
        ("IN_content", "CueRecall_content", one, 6.0, 1.0, "exc"),
        ("CueRecall_cue", "ContRecall_cue", one, 6.0, 2.0, "exc"),
        ("CueRecall_cue", "ContRecall_cue", others, strong, 3.0, "inh"),
        ("ContRecall_cue", "ContRecall_cue", others, strong, 2.0, "inh"),
        ("CueRecall_cue", "Cond", every, 6.0, 2.0, "inh"),
        ("CueRecall_content", "Cond", one, 9.0, 1.0, "exc"),
        ("CueRecall_content", "CondInt", every, 6.0, 1.0, "exc"),
        ("CondInt", "Cond", every, 2.0, 1.0, "exc"),
        ("Cond", "ContRecall_content", one, 6.0, 1.0, "exc"),
        ("CueRecall_cue", "MergeCue", one, 6.0, 3.0, "exc"),
        ("ContRecall_cue", "MergeCue", one, 6.0, 1.0, "exc"),
        ("CueRecall_content", "MergeContent", one, 6.0, 3.0, "exc"),
        ("ContRecall_content", "MergeContent", one, 6.0, 1.0, "exc"),
        ("MergeCue", "OUT_cue", one, 6.0, 1.0, "exc"),
        ("MergeContent", "OUT_content", one, 6.0, 1.0, "exc"),
    ]
    projections = []
    for pre, post, kind, weight, delay, receptor in table:
        options: Any = {"receptor": receptor, "name": f"{pre}->{post} {receptor}"}
        if kind == one:
            made = Projection.one_to_one(pre, post, sizes[pre], weight, delay, **options)
        else:
            both = sizes[pre], sizes[post]
            options["self_connections"] = kind == every
            made = Projection.all_to_all(pre, post, both, weight, delay, **options)
        projections.append(made)
    for pre, post, name in (
        ("CueRecall_cue", "CueRecall_content", "cue->content"),
        ("ContRecall_content", "ContRecall_cue", "content->cue"),
    ):
        projections.append(
            Projection.all_to_all(
                pre, post, (sizes[pre], sizes[post]), 0.0, 1.0, plasticity=rule, name=name
            )
        )
    return Network(populations, projections)
