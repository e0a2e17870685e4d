# One line per public name; the room loads each on first use.
from .api import ReportResult as ReportResult
from .api import run_report as run_report
from .conditions import condition_patterns as condition_patterns
from .recording import analysis_grid as analysis_grid
from .grid import coarsen_grid as coarsen_grid
from .settings import ReportSettings as ReportSettings
from .method_run import MethodRun as MethodRun
from .method_run import run_method as run_method
from .comparison import Comparison as Comparison
from .comparison import compare_recordings as compare_recordings
from .comparison import write_comparison as write_comparison
