# One line per public name; the room loads each on first use.
from .current import CurrentEncoder as CurrentEncoder
from .event_camera import dvs_events as dvs_events
from .latency import LatencyEncoder as LatencyEncoder
from .poisson import PoissonEncoder as PoissonEncoder
from .moving_frames import moving_frames as moving_frames
from .moving_frames import saccade_path as saccade_path
from .event_movie import EventMovie as EventMovie
from .textures import band_texture as band_texture
from .textures import saccadic_walk as saccadic_walk
from .textures import whiten_image as whiten_image
