"""The command line: ``activome report``, ``study``, ``systems``, ``info``, ``check`` and others."""

from activome.cli._app import app, main

__all__ = ["app", "main"]
