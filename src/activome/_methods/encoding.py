"""Public methods of the room ``encoding``."""

from __future__ import annotations

from activome._methods._method import Method

__all__ = ["ROWS"]

ROWS: tuple[Method, ...] = (
    Method("CurrentEncoder", "activome.encoding.current", "other"),
    Method("dvs_events", "activome.encoding.event_camera", "function"),
    Method("EventMovie", "activome.encoding.event_movie", "other"),
    Method("LatencyEncoder", "activome.encoding.latency", "other"),
    Method("moving_frames", "activome.encoding.moving_frames", "function"),
    Method("saccade_path", "activome.encoding.moving_frames", "function"),
    Method("PoissonEncoder", "activome.encoding.poisson", "other"),
    Method("band_texture", "activome.encoding.textures", "function"),
    Method("saccadic_walk", "activome.encoding.textures", "function"),
    Method("whiten_image", "activome.encoding.textures", "function"),
)
