# One line per public name; the room loads each on first use.
from .homeostasis import DriveHomeostasis as DriveHomeostasis
from .homeostasis import SelectionThreshold as SelectionThreshold
from .homeostasis import SynapticScaling as SynapticScaling
from .homeostasis import ThresholdAdaptation as ThresholdAdaptation
from .network import Network as Network
from .network import Population as Population
from .neurons import LIF as LIF
from .neurons import IFCondExp as IFCondExp
from .neurons import IFCurrExp as IFCurrExp
from .neurons import MetaNeuron as MetaNeuron
from .neurons import SpikeSource as SpikeSource
from .plasticity import PairSTDP as PairSTDP
from .plasticity import SymmetricSTDP as SymmetricSTDP
from .projections import Projection as Projection
from .simulate import SimulationResult as SimulationResult
from .simulate import simulate as simulate
