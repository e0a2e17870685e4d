"""Room samples: small real recordings that ship, and generators with planted truth."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
