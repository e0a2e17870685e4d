# One line per public name; the room loads each on first use.
from .semi_nmf import SemiNMF as SemiNMF
from .feature_reading import Context as Context
from .feature_reading import FeatureTokens as FeatureTokens
from .feature_reading import concept_score as concept_score
from .feature_reading import feature_contexts as feature_contexts
from .feature_reading import feature_tokens as feature_tokens
from .hierarchical_semi_nmf import HierarchicalSemiNMF as HierarchicalSemiNMF
from .stability import StabilityResult as StabilityResult
from .stability import choose_n_components as choose_n_components
from ._history import exponential_basis as exponential_basis
from ._history import history_features as history_features
from ._history import raised_cosine_basis as raised_cosine_basis
from .glm import PopulationGLM as PopulationGLM
from .tensor import NonnegativeCP as NonnegativeCP
from .tensor_rank import RankResult as RankResult
from .tensor_rank import choose_rank as choose_rank
from .tensor_rank import factor_match_score as factor_match_score
