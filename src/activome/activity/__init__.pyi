# One line per public name; the room loads each on first use.
from .events import Events as Events
from .schema import Activity as Activity
from .schema import Problem as Problem
from .schema import check as check
from .schema import ensure as ensure
from .schema import make as make
from .stacking import from_ragged as from_ragged
from .stacking import to_samples as to_samples
from .stacking import to_sequences as to_sequences
from .stacking import to_trials as to_trials
from .blocks import BlockMethod as BlockMethod
from .blocks import BlockSource as BlockSource
from .blocks import IterativeBlockMethod as IterativeBlockMethod
from .blocks import fit_blocks as fit_blocks
