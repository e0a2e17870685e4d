"""Room encoding: stimulus to activity: how numbers and pictures become events."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
