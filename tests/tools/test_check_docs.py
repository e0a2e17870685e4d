"""The checker of docstrings finds what it is there to find."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_docs.py"

GOOD = '''
def scale(values, factor):
    """Scale values.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Numbers.
    factor : float
        By how much.

    Returns
    -------
    ndarray, shape (n,)
        Scaled numbers.

    Raises
    ------
    ValueError
        If the factor is 0.
    """
    if not factor:
        raise ValueError("factor")
    return values * factor
'''


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """Load the checker, which is a script and no part of the package."""
    spec = importlib.util.spec_from_file_location("check_docs", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_docs"] = module
    spec.loader.exec_module(module)
    return module


def problems(tool: ModuleType, source: str) -> list[str]:
    """Return what the checker says of the one function in a source text."""
    tree = ast.parse(source)
    path = Path("invented.py")
    package: Any = tool.Package.__new__(tool.Package)
    package.private = {path: {}}
    package.by_name = {}
    node = next(n for n in tree.body if isinstance(n, ast.FunctionDef))
    return list(tool.check_function(package, path, node))


def test_a_whole_docstring_passes(tool: ModuleType) -> None:
    assert problems(tool, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ValueError\n        If", "KeyError\n        If", "Raises lacks ['ValueError']"),
        ("ValueError\n        If", "KeyError\n        If", "Raises names ['KeyError']"),
        ("factor : float", "amount : float", "the signature has"),
        ("values : ndarray, shape (n,)", "values : ndarray", "names no shape"),
        ('    """Scale values.', '    """', "the signature has"),
    ],
)
def test_each_fault_is_named(tool: ModuleType, old: str, new: str, said: str) -> None:
    source = GOOD.replace(old, new, 1)
    if said == "the signature has" and new.endswith('"""'):
        source = 'def scale(values, factor):\n    """Scale."""\n'
    assert any(said in text for text in problems(tool, source))


def test_a_missing_docstring_is_named(tool: ModuleType) -> None:
    assert problems(tool, "def scale():\n    return 1\n") == ["has no docstring"]
