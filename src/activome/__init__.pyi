from . import activity as activity
from . import decoding as decoding
from . import encoding as encoding
from . import errors as errors
from . import geometry as geometry
from . import graphs as graphs
from . import networks as networks
from . import interventions as interventions
from . import patterns as patterns
from . import report as report
from . import samples as samples
from . import studies as studies
from . import testing as testing
from .activity.events import Events as Events
from .activity.readers import load as load
from .activity.readers import save as save
from .activity.schema import check as check
from .activity.schema import make as make

__version__: str
