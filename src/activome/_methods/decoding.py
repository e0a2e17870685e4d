"""Public methods of the room ``decoding``."""

from __future__ import annotations

from activome._methods._method import Method

__all__ = ["ROWS"]

ROWS: tuple[Method, ...] = (
    Method("ResponseAligner", "activome.decoding.alignment", "other"),
    Method("transfer_matrix", "activome.decoding.alignment", "function"),
    Method("DelayMotionClassifier", "activome.decoding.delay_motion", "other"),
    Method("centerline_overlap", "activome.decoding.instance_matching", "function"),
    Method("match_greedy", "activome.decoding.instance_matching", "function"),
    Method("match_many_to_many", "activome.decoding.instance_matching", "function"),
    Method("InstanceScores", "activome.decoding.instance_score", "other"),
    Method("score_instances", "activome.decoding.instance_score", "function"),
    Method("decode_label", "activome.decoding.labels", "function"),
    Method(
        "LempelZivClassifier",
        "activome.decoding.lempel_ziv",
        "trial",
        {"binarise": "median"},
    ),
    Method("TimeDecoding", "activome.decoding.over_time", "other"),
    Method("decode_over_time", "activome.decoding.over_time", "function"),
    Method(
        "PopulationDecoder",
        "activome.decoding.population_net",
        "trial",
        {"embed": 4, "channels": (6,), "max_epochs": 2},
        {"unit_permutation": "the drawn read-in belongs to places, so training takes another path"},
        data={"values": "count"},
    ),
    Method("CrossValidation", "activome.decoding.validation", "other"),
    Method("accuracy_by_units", "activome.decoding.validation", "function"),
    Method("cross_validate_decoder", "activome.decoding.validation", "function"),
)
