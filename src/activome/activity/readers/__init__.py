"""Readers and writers of recordings, one file per format; ``load`` finds the format by content."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
