# One line per public name; the room loads each on first use.
from .functional import functional_network as functional_network
from .communities import Communities as Communities
from .communities import communities as communities
from .ordering import order_units as order_units
from .connectome import Agreement as Agreement
from .connectome import Connectome as Connectome
from .connectome import FunctionalAtlas as FunctionalAtlas
from .connectome import consensus_connectome as consensus_connectome
from .connectome import detect_lineages as detect_lineages
from .connectome import read_connectome as read_connectome
from .connectome import read_functional_atlas as read_functional_atlas
from .blockmodel import WeightedBlockModel as WeightedBlockModel
from .blockmodel import description_length as description_length
from .affinity import derivative_affinity as derivative_affinity
from .changing import ChangingCommunities as ChangingCommunities
from .changing import changing_communities as changing_communities
