"""Public methods of the room ``networks``."""

from __future__ import annotations

from typing import Any, TypeAlias

from activome._methods._method import Method

__all__ = ["ROWS"]

_Row: TypeAlias = tuple[dict[str, Any], dict[str, str], dict[str, Any]]

_DRAWN = {"unit_permutation": "drawn weights belong to places, so training takes another path"}
_RANGE = {"check_positive_only_tag_during_fit": "the refusal names both ends of the range"}

_STDP: _Row = (
    {"n_features": 2, "duration": 40.0, "max_input": 64.0, "max_rate": 2000.0},
    {
        "boolean_input": "images without a bright pixel are refused, and its data have some",
        "check_estimators_dtypes": "images without a bright pixel are refused",
        "check_fit2d_1feature": "images without a bright pixel are refused",
        **_DRAWN,
        **_RANGE,
    },
    {"values": "count", "n_trials": 6, "n_times": 4},
)
_SURROGATE: _Row = (
    {"hidden": (8,), "n_steps": 4, "n_epochs": 6, "lr": 0.1},
    _DRAWN,
    {"n_times": 8},
)
_FIRST: _Row = (
    {"hidden": (4,), "n_epochs": 2, "max_input": 64.0},
    {
        "check_classifiers_train": "times of two inputs, without a third, do not part its blobs",
        **_DRAWN,
        **_RANGE,
    },
    {"values": "count", "n_times": 8},
)

ROWS: tuple[Method, ...] = (
    Method("Checkpoint", "activome.networks._checkpoints", "other"),
    Method(
        "ActiveDendriteNeuron",
        "activome.networks.active_dendrites",
        "other",
        {"n_synapses": 2, "threshold": 2, "random_state": 0},
        data={"values": "binary", "n_units": 40},
    ),
    Method("DendriticSegment", "activome.networks.active_dendrites", "other"),
    Method("AdapterBrick", "activome.networks.bricks", "other"),
    Method("Brick", "activome.networks.bricks", "other"),
    Method("LoRABrick", "activome.networks.bricks", "other"),
    Method("NeuronBrick", "activome.networks.bricks", "other"),
    Method("CAMOperation", "activome.networks.cam_operation", "other"),
    Method("ConvertedSNN", "activome.networks.converted_snn", "other"),
    Method("delay_events", "activome.networks.delayed_events", "function"),
    Method("polarity_units", "activome.networks.delayed_events", "function"),
    Method("false_match_probability", "activome.networks.dendrites", "function"),
    Method("false_negative_probability", "activome.networks.dendrites", "function"),
    Method("optimal_threshold", "activome.networks.dendrites", "function"),
    Method("overlap_pmf", "activome.networks.dendrites", "function"),
    Method("union_false_match_probability", "activome.networks.dendrites", "function"),
    Method("HeterogeneousDelayLayer", "activome.networks.heterogeneous_delays", "other"),
    Method("HippocampalCAM", "activome.networks.hippocampal_cam", "other"),
    Method("LanguageModel", "activome.networks.language_models", "other"),
    Method("load_language_model", "activome.networks.language_models", "function"),
    Method("BrickModel", "activome.networks.modular", "other"),
    Method("next_token_loss", "activome.networks.next_token", "function"),
    Method("OperationCount", "activome.networks.operation_count", "other"),
    Method("count_operations", "activome.networks.operation_count", "function"),
    Method("pattern_confusion", "activome.networks.pattern_confusion", "function"),
    Method("PopulationNet", "activome.networks.population", "other"),
    Method("convert_relu", "activome.networks.relu_conversion", "function"),
    Method("GroupRouter", "activome.networks.routing", "other"),
    Method("LinearRouter", "activome.networks.routing", "other"),
    Method("fit_group_router", "activome.networks.routing", "function"),
    Method("routed", "activome.networks.routing", "function"),
    Method("MLP", "activome.networks.small", "other"),
    Method("SmallCNN", "activome.networks.small", "other"),
    Method("SpatialPatternDetector", "activome.networks.spatial_pattern", "other"),
    Method("DriveHomeostasis", "activome.networks.spiking.homeostasis", "other"),
    Method("SelectionThreshold", "activome.networks.spiking.homeostasis", "other"),
    Method("SynapticScaling", "activome.networks.spiking.homeostasis", "other"),
    Method("ThresholdAdaptation", "activome.networks.spiking.homeostasis", "other"),
    Method("Network", "activome.networks.spiking.network", "other"),
    Method("Population", "activome.networks.spiking.network", "other"),
    Method("IFCondExp", "activome.networks.spiking.neurons", "other"),
    Method("IFCurrExp", "activome.networks.spiking.neurons", "other"),
    Method("LIF", "activome.networks.spiking.neurons", "other"),
    Method("MetaNeuron", "activome.networks.spiking.neurons", "other"),
    Method("SpikeSource", "activome.networks.spiking.neurons", "other"),
    Method("from_nir", "activome.networks.spiking.nir_exchange", "function"),
    Method("to_nir", "activome.networks.spiking.nir_exchange", "function"),
    Method("write_nir", "activome.networks.spiking.nir_exchange", "function"),
    Method("PairSTDP", "activome.networks.spiking.plasticity", "other"),
    Method("SymmetricSTDP", "activome.networks.spiking.plasticity", "other"),
    Method("Projection", "activome.networks.spiking.projections", "other"),
    Method("SimulationResult", "activome.networks.spiking.simulate", "other"),
    Method("simulate", "activome.networks.spiking.simulate", "function"),
    Method("SurrogateSpike", "activome.networks.spiking.surrogate_gradient", "other"),
    Method("lif_forward", "activome.networks.spiking.surrogate_gradient", "function"),
    Method("LIFCell", "activome.networks.spiking.torch_cells", "other"),
    Method("LeakyReadout", "activome.networks.spiking.torch_cells", "other"),
    Method("MetaCell", "activome.networks.spiking.torch_cells", "other"),
    Method(
        "SpikingClassifier",
        "activome.networks.spiking_classifier",
        "trial",
        {"n_hidden": 6, "n_epochs": 2},
        {
            "unit_permutation": "the drawn weights belong to places",
            "integer_input": "the numbers of that check are no zeros and ones",
        },
        data={"values": "binary"},
    ),
    Method("STDPFeatures", "activome.networks.stdp_features", "sample", *_STDP),
    Method("SurrogateSNN", "activome.networks.surrogate_snn", "sample", *_SURROGATE),
    Method("SymmetricSTDPClassifier", "activome.networks.symmetric_stdp", "other"),
    Method(
        "Tempotron",
        "activome.networks.tempotron",
        "sample",
        {"n_epochs": 20},
        {
            "unit_permutation": "the drawn weights belong to places",
            "check_classifiers_classes": "its decision is the peak, whose threshold is 1 and not 0",
            "check_classifiers_train": "its decision is the peak, whose threshold is 1 and not 0",
        },
    ),
    Method("TimeToFirstSpikeNet", "activome.networks.time_to_first_spike", "sample", *_FIRST),
    Method("TrainConfig", "activome.networks.training", "other"),
    Method("TrainLog", "activome.networks.training", "other"),
    Method("Trainer", "activome.networks.training", "other"),
    Method("log_spaced", "activome.networks.training", "function"),
    Method("seed_everything", "activome.networks.training", "function"),
    Method("AttentionOnly", "activome.networks.transformer", "other"),
    Method("TinyGPT", "activome.networks.transformer", "other"),
)
