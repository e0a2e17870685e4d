"""Room networks: what produces activity: spiking, recurrent and layered networks, and training."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
