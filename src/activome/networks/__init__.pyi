# One line per public name; the room loads each on first use.
from .small import SmallCNN as SmallCNN
from .training import TrainConfig as TrainConfig
from .training import Trainer as Trainer
from .training import TrainLog as TrainLog
from .training import log_spaced as log_spaced
from .training import seed_everything as seed_everything
