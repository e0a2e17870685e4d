"""Room graphs: from activity to graphs: functional networks, communities, connectomes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
