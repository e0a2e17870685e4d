# One line per public name; the room loads each on first use.
from .labels import DecodingResult as DecodingResult
from .labels import decode_label as decode_label
from .instance_score import InstanceScores as InstanceScores
from .instance_score import score_instances as score_instances
from .instance_matching import centerline_overlap as centerline_overlap
from .instance_matching import match_greedy as match_greedy
from .instance_matching import match_many_to_many as match_many_to_many
from .population_net import PopulationDecoder as PopulationDecoder
from .alignment import ResponseAligner as ResponseAligner
from .alignment import transfer_matrix as transfer_matrix
from .over_time import TimeDecoding as TimeDecoding
from .over_time import decode_over_time as decode_over_time
from .validation import CrossValidation as CrossValidation
from .validation import accuracy_by_units as accuracy_by_units
from .validation import cross_validate_decoder as cross_validate_decoder
from .delay_motion import DelayMotionClassifier as DelayMotionClassifier
from .lempel_ziv import LempelZivClassifier as LempelZivClassifier
