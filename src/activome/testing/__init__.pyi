# One line per public name; the room loads each on first use.
from .data import check_activity as check_activity
from .estimator_checks import CHECK_NAMES as CHECK_NAMES
from .estimator_checks import ActivityCheck as ActivityCheck
from .estimator_checks import activity_checks as activity_checks
from .estimator_checks import check_activity_estimator as check_activity_estimator
