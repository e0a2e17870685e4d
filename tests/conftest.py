"""Settings of every test: no network, one thread per worker, no window, no state left behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

# Before numpy is imported anywhere: with two workers, threads of BLAS only get in each other's way.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.pop("ACTIVOME_DATA", None)

_LOOPBACK = ("127.0.0.1", "::1", "localhost", "0.0.0.0")  # noqa: S104  # compared, not bound
_connect = socket.socket.connect


class NetworkBlockedError(RuntimeError):
    """A test reached for the network."""


def _guarded_connect(self: socket.socket, address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else address
    is_local = self.family == getattr(socket, "AF_UNIX", None) or host in _LOOPBACK
    if not is_local:
        raise NetworkBlockedError(f"tests must not use the network; tried {address!r}")
    _connect(self, address)


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    socket.socket.connect = _guarded_connect  # type: ignore[assignment,method-assign]
    yield
    socket.socket.connect = _connect  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in a folder of its own, so that nothing is written into the project."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _no_open_figures() -> Iterator[None]:
    yield
    import sys

    if "matplotlib.pyplot" in sys.modules:
        from matplotlib import pyplot as plt

        n_open = len(plt.get_fignums())
        plt.close("all")
        assert n_open == 0, f"{n_open} figures were left open"


def _installed_model(name: str) -> Any:
    pytest.importorskip("transformers", reason="needs transformers; lift it with: make test")
    from activome.networks.language_models import load_language_model
    from activome.networks.model_assets import ASSETS

    asset = ASSETS[name]
    if not asset.is_installed:
        pytest.skip(f"{asset.package} is not installed; lift it with: {asset.command}")
    return load_language_model(name)


@pytest.fixture(scope="session")
def smollm2() -> Any:
    """Return the trained decoder of 30 layers: a ``LanguageModel``, loaded once, not to be changed.

    Its weights are expanded once into the user's cache folder, or that of ACTIVOME_CACHE.
    """
    return _installed_model("smollm2")


@pytest.fixture(scope="session")
def minilm() -> Any:
    """Return the trained sentence encoder of 6 layers, loaded once, not to be changed."""
    return _installed_model("minilm")
