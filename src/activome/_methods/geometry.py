"""Public methods of the room ``geometry``."""

from __future__ import annotations

from activome._methods._method import Method

__all__ = ["ROWS"]

ROWS: tuple[Method, ...] = (
    Method("Cuts", "activome.geometry._cuts", "other"),
    Method("family", "activome.geometry._cuts", "function"),
    Method("kind_of", "activome.geometry._cuts", "function"),
    Method("CurvePrediction", "activome.geometry.curve_prediction", "other"),
    Method("predict_curve_params", "activome.geometry.curve_prediction", "function"),
    Method("dimensionality", "activome.geometry.dimensionality", "function"),
    Method("parallel_analysis", "activome.geometry.dimensionality", "function"),
    Method("EmergenceCurve", "activome.geometry.emergence", "other"),
    Method("RegionIdentification", "activome.geometry.identify", "other"),
    Method("massive_activations", "activome.geometry.massive", "function"),
    Method("massive_ratio", "activome.geometry.massive", "function"),
    Method("participation_interval", "activome.geometry.participation", "function"),
    Method("participation_ratio", "activome.geometry.participation", "function"),
    Method("Covariance", "activome.geometry.principal", "sample"),
    Method("PrincipalComponents", "activome.geometry.principal", "sample", {"n_components": 2}),
    Method("rdm", "activome.geometry.rdm", "function"),
    Method("rdm_movie", "activome.geometry.rdm", "function"),
    Method("NoiseCeiling", "activome.geometry.rdm_comparison", "other"),
    Method("compare_rdms", "activome.geometry.rdm_comparison", "function"),
    Method("noise_ceiling", "activome.geometry.rdm_comparison", "function"),
    Method("rank_rdms", "activome.geometry.rdm_comparison", "function"),
    Method("to_condensed", "activome.geometry.rdm_forms", "function"),
    Method("to_square", "activome.geometry.rdm_forms", "function"),
    Method("rdm_reliability", "activome.geometry.reliability", "function"),
    Method("GeoTopological", "activome.geometry.topology", "other"),
    Method("Geodesic", "activome.geometry.topology", "other"),
)
