"""The table of every public method; the contract tests run over it, and the command line reads it.

Each row is the public name, where it is, and for estimators the smallest sensible arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["METHODS", "Method"]


@dataclass(frozen=True)
class Method:
    """One public method.

    Attributes
    ----------
    name : str
        Public name.
    module : str
        Module that defines it.
    kind : {"sample", "trial", "sequence", "function", "other"}
        Which base the estimator has; "function" for plain functions and "other" for classes
        with an interface of their own, which have tests of their own.
    arguments : dict
        Constructor arguments that suit the small data of the contract tests.
    exempt : dict
        Contract checks that do not apply, each with the reason.
    data : dict
        Arguments of ``activome.testing.check_activity`` for the data of the contract tests.
    """

    name: str
    module: str
    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)
    exempt: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


METHODS: tuple[Method, ...] = (
    Method("n_active", "activome.interventions._hooks", "function"),
    Method("Recording", "activome.interventions._recorder", "other"),
    Method("Add", "activome.interventions.edits", "other"),
    Method("Apply", "activome.interventions.edits", "other"),
    Method("Clamp", "activome.interventions.edits", "other"),
    Method("Edit", "activome.interventions.edits", "other"),
    Method("Gate", "activome.interventions.edits", "other"),
    Method("Mean", "activome.interventions.edits", "other"),
    Method("Patch", "activome.interventions.edits", "other"),
    Method("Resample", "activome.interventions.edits", "other"),
    Method("Scale", "activome.interventions.edits", "other"),
    Method("Set", "activome.interventions.edits", "other"),
    Method("Splice", "activome.interventions.edits", "other"),
    Method("Steer", "activome.interventions.edits", "other"),
    Method("Zero", "activome.interventions.edits", "other"),
    Method("record", "activome.interventions.recording", "function"),
    Method("Sel", "activome.interventions.selectors", "other"),
    Method("Site", "activome.interventions.sites", "other"),
    Method("SiteTable", "activome.interventions.sites", "other"),
    Method("Taps", "activome.interventions.taps", "other"),
    Method("edit", "activome.interventions.taps", "function"),
    Method("Connectome", "activome.graphs.connectome", "other"),
    Method("consensus_connectome", "activome.graphs.connectome", "function"),
    Method("detect_lineages", "activome.graphs.connectome", "function"),
    Method("read_connectome", "activome.graphs.connectome", "function"),
    Method("read_functional_atlas", "activome.graphs.connectome", "function"),
    Method("participation_ratio", "activome.geometry.participation", "function"),
    Method("participation_interval", "activome.geometry.participation", "function"),
    Method("parallel_analysis", "activome.geometry.dimensionality", "function"),
    Method("dimensionality", "activome.geometry.dimensionality", "function"),
    Method("rdm_reliability", "activome.geometry.reliability", "function"),
    Method("functional_network", "activome.graphs.functional", "function"),
    Method("communities", "activome.graphs.communities", "function"),
    Method("order_units", "activome.graphs.ordering", "function"),
    Method("decode_label", "activome.decoding.labels", "function"),
    Method("Geodesic", "activome.geometry.topology", "other"),
    Method("GeoTopological", "activome.geometry.topology", "other"),
    Method("NoiseCeiling", "activome.geometry.rdm_comparison", "other"),
    Method("Cuts", "activome.geometry._cuts", "other"),
    Method("RegionIdentification", "activome.geometry.identify", "other"),
    Method("compare_rdms", "activome.geometry.rdm_comparison", "function"),
    Method("family", "activome.geometry._cuts", "function"),
    Method("kind_of", "activome.geometry._cuts", "function"),
    Method("noise_ceiling", "activome.geometry.rdm_comparison", "function"),
    Method("rank_rdms", "activome.geometry.rdm_comparison", "function"),
    Method("rdm", "activome.geometry.rdm", "function"),
    Method("rdm_movie", "activome.geometry.rdm", "function"),
    Method("to_condensed", "activome.geometry.rdm_forms", "function"),
    Method("to_square", "activome.geometry.rdm_forms", "function"),
    Method("SmallCNN", "activome.networks.small", "other"),
    Method("TrainConfig", "activome.networks.training", "other"),
    Method("TrainLog", "activome.networks.training", "other"),
    Method("Trainer", "activome.networks.training", "other"),
    Method("log_spaced", "activome.networks.training", "function"),
    Method("seed_everything", "activome.networks.training", "function"),
    Method("Covariance", "activome.geometry.principal", "sample"),
    Method("PrincipalComponents", "activome.geometry.principal", "sample", {"n_components": 2}),
    Method(
        "SemiNMF",
        "activome.patterns.semi_nmf",
        "sample",
        {"n_components": 2, "keep": 1.0, "max_iter": 20, "random_state": 0},
    ),
    Method(
        "HierarchicalSemiNMF",
        "activome.patterns.hierarchical_semi_nmf",
        "sample",
        {"ranks": (2, 1), "keep": 1.0, "max_iter": 20, "random_state": 0},
    ),
    Method("choose_n_components", "activome.patterns.stability", "function"),
    Method("concept_score", "activome.patterns.feature_reading", "function"),
    Method("feature_contexts", "activome.patterns.feature_reading", "function"),
    Method("feature_tokens", "activome.patterns.feature_reading", "function"),
    Method("exponential_basis", "activome.patterns._history", "function"),
    Method("history_features", "activome.patterns._history", "function"),
    Method("raised_cosine_basis", "activome.patterns._history", "function"),
    Method(
        "PopulationGLM",
        "activome.patterns.glm",
        "sequence",
        {"window": 4, "n_bases": 2},
        {"unit_permutation": "what predict gives moves with the units; a test of its own says so"},
        data={"values": "count"},
    ),
    Method("NonnegativeCP", "activome.patterns.tensor", "other"),
    Method("choose_rank", "activome.patterns.tensor_rank", "function"),
    Method("factor_match_score", "activome.patterns.tensor_rank", "function"),
    Method("WeightedBlockModel", "activome.graphs.blockmodel", "other"),
    Method("description_length", "activome.graphs.blockmodel", "function"),
    Method("PoissonEncoder", "activome.encoding.poisson", "other"),
    Method("LatencyEncoder", "activome.encoding.latency", "other"),
    Method("CurrentEncoder", "activome.encoding.current", "other"),
    Method("dvs_events", "activome.encoding.event_camera", "function"),
    Method("DriveHomeostasis", "activome.networks.spiking.homeostasis", "other"),
    Method("SelectionThreshold", "activome.networks.spiking.homeostasis", "other"),
    Method("SynapticScaling", "activome.networks.spiking.homeostasis", "other"),
    Method("ThresholdAdaptation", "activome.networks.spiking.homeostasis", "other"),
    Method("Network", "activome.networks.spiking.network", "other"),
    Method("Population", "activome.networks.spiking.network", "other"),
    Method("LIF", "activome.networks.spiking.neurons", "other"),
    Method("IFCondExp", "activome.networks.spiking.neurons", "other"),
    Method("IFCurrExp", "activome.networks.spiking.neurons", "other"),
    Method("MetaNeuron", "activome.networks.spiking.neurons", "other"),
    Method("SpikeSource", "activome.networks.spiking.neurons", "other"),
    Method("PairSTDP", "activome.networks.spiking.plasticity", "other"),
    Method("SymmetricSTDP", "activome.networks.spiking.plasticity", "other"),
    Method("Projection", "activome.networks.spiking.projections", "other"),
    Method("SimulationResult", "activome.networks.spiking.simulate", "other"),
    Method("simulate", "activome.networks.spiking.simulate", "function"),
    Method("CAMOperation", "activome.networks.cam_operation", "other"),
    Method("HippocampalCAM", "activome.networks.hippocampal_cam", "other"),
    Method(
        "HMMGLM",
        "activome.patterns.hmm_glm",
        "sequence",
        {
            "prior": "gaussian",
            "link": "softplus",
            "n_init": 1,
            "max_iter": 3,
            "m_steps": 5,
            "random_state": 0,
        },
        {"unit_permutation": "the random start belongs to places, so optima may differ"},
        data={"values": "count"},
    ),
    Method("choose_n_states", "activome.patterns.n_states", "function"),
    Method("LanguageModel", "activome.networks.language_models", "other"),
    Method("load_language_model", "activome.networks.language_models", "function"),
    Method(
        "UnitExpertise",
        "activome.patterns.unit_expertise",
        "sample",
        {"min_positives": 1, "negatives_per_positive": None},
    ),
    Method("average_precision", "activome.patterns.unit_expertise", "function"),
    Method("chance_average_precision", "activome.patterns.unit_expertise", "function"),
    Method("false_match_probability", "activome.networks.dendrites", "function"),
    Method("false_negative_probability", "activome.networks.dendrites", "function"),
    Method("optimal_threshold", "activome.networks.dendrites", "function"),
    Method("overlap_pmf", "activome.networks.dendrites", "function"),
    Method("union_false_match_probability", "activome.networks.dendrites", "function"),
    Method("DendriticSegment", "activome.networks.active_dendrites", "other"),
    Method(
        "ActiveDendriteNeuron",
        "activome.networks.active_dendrites",
        "other",
        {"n_synapses": 2, "threshold": 2, "random_state": 0},
        data={"values": "binary", "n_units": 40},
    ),
    Method("FilamentGraph", "activome.graphs.filaments", "other"),
    Method("centre_line", "activome.graphs.filaments", "function"),
    Method("filament_graph", "activome.graphs.filaments", "function"),
    Method("ColourClustering", "activome.patterns.colour_clustering", "other"),
    Method("InstanceScores", "activome.decoding.instance_score", "other"),
    Method("score_instances", "activome.decoding.instance_score", "function"),
    Method("centerline_overlap", "activome.decoding.instance_matching", "function"),
    Method("match_greedy", "activome.decoding.instance_matching", "function"),
    Method("match_many_to_many", "activome.decoding.instance_matching", "function"),
    Method("PopulationNet", "activome.networks.population", "other"),
    Method(
        "PopulationDecoder",
        "activome.decoding.population_net",
        "trial",
        {"embed": 4, "channels": (6,), "max_epochs": 2},
        {"unit_permutation": "the drawn read-in belongs to places, so training takes another path"},
        data={"values": "count"},
    ),
    Method("ResponseAligner", "activome.decoding.alignment", "other"),
    Method("transfer_matrix", "activome.decoding.alignment", "function"),
    Method("TimeDecoding", "activome.decoding.over_time", "other"),
    Method("decode_over_time", "activome.decoding.over_time", "function"),
    Method("CrossValidation", "activome.decoding.validation", "other"),
    Method("accuracy_by_units", "activome.decoding.validation", "function"),
    Method("cross_validate_decoder", "activome.decoding.validation", "function"),
    Method("derivative_affinity", "activome.graphs.affinity", "function"),
    Method(
        "DynamicConnectome",
        "activome.patterns.dynamic_connectome",
        "trial",
        {"rank": 2, "n_init": 1, "max_iter": 20, "tol": 0.1, "random_state": 0},
        {
            "unit_permutation": "the random start belongs to places, so optima may differ",
            "boolean_input": "two levels do not vary in every trial, which is refused by name",
            "ragged_ignores_invalid": "trials share a clock: unequal lengths are refused by name",
        },
    ),
    Method("changing_communities", "activome.graphs.changing", "function"),
    Method("trial_parts", "activome.patterns.trial_parts", "function"),
    Method(
        "PopulationHMM",
        "activome.patterns.population_hmm",
        "sequence",
        {"n_init": 1, "random_state": 0},
        data={"values": "count"},
    ),
    Method("find_states", "activome.patterns.found_states", "function"),
    Method("lempel_ziv_complexity", "activome.activity.complexity", "function"),
    Method("PopulationOscillation", "activome.patterns.spike_trains", "other"),
    Method("interval_order", "activome.patterns.spike_trains", "function"),
    Method("interval_regularity", "activome.patterns.spike_trains", "function"),
    Method("local_variation", "activome.patterns.spike_trains", "function"),
    Method("population_oscillation", "activome.patterns.spike_trains", "function"),
    Method("spike_synchrony", "activome.patterns.spike_trains", "function"),
    Method("SurrogateSpike", "activome.networks.spiking.surrogate_gradient", "other"),
    Method("lif_forward", "activome.networks.spiking.surrogate_gradient", "function"),
    Method("LIFCell", "activome.networks.spiking.torch_cells", "other"),
    Method("MetaCell", "activome.networks.spiking.torch_cells", "other"),
    Method("LeakyReadout", "activome.networks.spiking.torch_cells", "other"),
)
