# One line per public name; the room loads each on first use.
from .claims import Claim as Claim
from .claims import Study as Study
from .runner import StudyResult as StudyResult
from .runner import run_study as run_study
