"""Every exception and warning that activome raises on purpose."""

from __future__ import annotations

__all__ = [
    "ActivityError",
    "ActivityWarning",
    "ActivomeError",
    "ConvergenceWarning",
    "MissingExtraError",
    "ParameterError",
    "ReadError",
    "ResourceError",
    "StoreError",
]


class ActivomeError(Exception):
    """Base of all errors of activome; catch it to catch every refusal."""


class ActivityError(ActivomeError, ValueError):
    """The data do not hold what the method needs: shape, labels, missing or infinite values."""


class ParameterError(ActivomeError, ValueError):
    """A parameter is outside its range, or a name is not one of the known ones."""


class MissingExtraError(ActivomeError, ImportError):
    """An optional package is not installed; the message carries the command that installs it."""


class StoreError(ActivomeError, OSError):
    """A store is incomplete, damaged, locked by another writer, or in the way of a new one."""


class ReadError(ActivomeError, OSError):
    """A file is not what it claims to be, is damaged, or is of no known format."""


class ResourceError(ActivomeError, MemoryError):
    """The result would need more memory than allowed; nothing was allocated."""


class ActivityWarning(UserWarning):
    """The result is sound, but part of the data was left out of it; the message says which."""


class ConvergenceWarning(UserWarning):
    """An iteration ended at its limit; the result is usable, ``n_iter_`` tells how far it got."""
