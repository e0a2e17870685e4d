"""Patterns of neural activity, in brains and in artificial networks.

The names here are loaded on first use, so that ``import activome`` costs nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
