"""Public methods of the room ``graphs``."""

from __future__ import annotations

from activome._methods._method import Method

__all__ = ["ROWS"]

ROWS: tuple[Method, ...] = (
    Method("derivative_affinity", "activome.graphs.affinity", "function"),
    Method("WeightedBlockModel", "activome.graphs.blockmodel", "other"),
    Method("description_length", "activome.graphs.blockmodel", "function"),
    Method("changing_communities", "activome.graphs.changing", "function"),
    Method("communities", "activome.graphs.communities", "function"),
    Method("Connectome", "activome.graphs.connectome", "other"),
    Method("consensus_connectome", "activome.graphs.connectome", "function"),
    Method("detect_lineages", "activome.graphs.connectome", "function"),
    Method("read_connectome", "activome.graphs.connectome", "function"),
    Method("read_functional_atlas", "activome.graphs.connectome", "function"),
    Method("FilamentGraph", "activome.graphs.filaments", "other"),
    Method("centre_line", "activome.graphs.filaments", "function"),
    Method("filament_graph", "activome.graphs.filaments", "function"),
    Method("functional_network", "activome.graphs.functional", "function"),
    Method("order_units", "activome.graphs.ordering", "function"),
)
