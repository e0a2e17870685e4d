"""Room testing: the contract that every method keeps, as checks anyone can run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
