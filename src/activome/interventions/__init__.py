"""Room interventions: act on a network: record, patch, ablate, clamp, steer, attribute."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
