# One line per public name; the room loads each on first use.
from .labels import DecodingResult as DecodingResult
from .labels import decode_label as decode_label
