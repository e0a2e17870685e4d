# One line per public name; the room loads each on first use.
from .base import ActivityEstimator as ActivityEstimator
from .sample import SampleEstimator as SampleEstimator
from .sample import SampleTransformer as SampleTransformer
from .sequence import SequenceEstimator as SequenceEstimator
from .sequence import SequenceTransformer as SequenceTransformer
from .trial import TrialEstimator as TrialEstimator
from .trial import TrialTransformer as TrialTransformer
