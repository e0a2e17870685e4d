"""Check the docstring of every public name: sections, parameters, shapes, and what is raised.

A public name is one in the ``__all__`` of a module whose own name is public. What a docstring says
under Raises must equal what the code can raise: every exception that the body or a private helper
of the same module raises must be there, and nothing that no code it reaches raises.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from numpydoc.docscrape import NumpyDocString

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "activome"
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
# Warnings are documented under Warns or in the text; these are no exceptions.
_ARRAY = re.compile(r"\b(ndarray|array-like|DataArray)\b")
_EXEMPT_SHAPE = re.compile(r"shape|xarray\.DataArray|list of|sequence of|, optional$")


@dataclass
class Code:
    """What a function raises itself, and which names it calls."""

    raises: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)


def _name_of(node: ast.expr | None) -> str:
    if isinstance(node, ast.Call):
        return _name_of(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def read_code(node: ast.AST) -> Code:
    """Collect raise statements and called names of a body."""
    code = Code()
    for child in ast.walk(node):
        if isinstance(child, ast.Raise) and child.exc is not None:
            name = _name_of(child.exc)
            if name[:1].isupper():
                code.raises.add(name)
            else:
                # `raise problem(...)`: a helper that makes the exception raises it here.
                code.calls.add(name)
        elif isinstance(child, ast.Call):
            code.calls.add(_name_of(child))
        elif isinstance(child, (ast.Attribute, ast.Name)):
            # Properties and functions that are handed on count as called.
            code.calls.add(_name_of(child))
    return code


class Package:
    """Every function of the package by name, for what can be reached from where."""

    def __init__(self) -> None:
        self.trees = {path: ast.parse(path.read_text("utf-8")) for path in SOURCE.rglob("*.py")}
        self.by_name: dict[str, list[Code]] = defaultdict(list)
        self.private: dict[Path, dict[str, list[Code]]] = {}
        for path, tree in self.trees.items():
            mine: dict[str, list[Code]] = defaultdict(list)
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    code = read_code(node)
                    self.by_name[node.name].append(code)
                    if node.name.startswith("_") and not node.name.startswith("__"):
                        mine[node.name].append(code)
                elif isinstance(node, ast.ClassDef):
                    self.by_name[node.name].append(read_code(node))
            self.private[path] = mine

    def must_raise(self, path: Path, node: ast.AST) -> set[str]:
        """Exceptions of the body and of the private helpers of its module."""
        return _closure(read_code(node), self.private[path])

    def may_raise(self, node: ast.AST) -> set[str]:
        """Exceptions of everything it could reach by name, in the whole package."""
        return _closure(read_code(node), self.by_name)


def _closure(start: Code, known: dict[str, list[Code]]) -> set[str]:
    raises, seen, waiting = set(start.raises), set(), list(start.calls)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for code in known.get(name, ()):
            raises |= code.raises
            waiting += code.calls
    return raises


def public_names(tree: ast.Module) -> list[str]:
    """Return the names in ``__all__``."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            value = getattr(node, "value", None)
            return list(ast.literal_eval(value)) if isinstance(value, ast.List) else []
    return []


def _parameters(node: FunctionNode) -> list[str]:
    a = node.args
    names = [arg.arg for arg in (*a.posonlyargs, *a.args)]
    names += [f"*{a.vararg.arg}"] if a.vararg else []
    names += [arg.arg for arg in a.kwonlyargs]
    names += [f"**{a.kwarg.arg}"] if a.kwarg else []
    return [name for name in names if name not in ("self", "cls")]


def _parsed(node: FunctionNode | ast.ClassDef) -> NumpyDocString | None:
    text = ast.get_docstring(node)
    if not text:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return NumpyDocString(text)


def _decorated(node: FunctionNode, *names: str) -> bool:
    return any(_name_of(item) in names for item in node.decorator_list)


def check_sections(
    node: FunctionNode | ast.ClassDef, doc: NumpyDocString, expected: list[str]
) -> Iterator[str]:
    """Check that parameters are documented, in order, and arrays have shapes."""
    found = [n.strip() for item in doc["Parameters"] for n in item.name.split(",") if n.strip()]
    if found != expected:
        yield f"Parameters are {found}, the signature has {expected}"
    for section in ("Parameters", "Returns", "Attributes"):
        for item in doc[section]:
            text = f"{item.name} {item.type}"
            if _ARRAY.search(text) and not _EXEMPT_SHAPE.search(text):
                yield f"{section}: {text!r} names no shape"


def check_raises(doc: NumpyDocString, must: set[str], may: set[str]) -> Iterator[str]:
    """Check that what is documented as raised is what is raised."""
    documented = {item.type or item.name for item in doc["Raises"]}
    if must - documented:
        yield f"Raises lacks {sorted(must - documented)}"
    if documented - may - must:
        yield f"Raises names {sorted(documented - may - must)}, which nothing here raises"


def check_function(package: Package, path: Path, node: FunctionNode) -> Iterator[str]:
    """Check one function or method."""
    if _decorated(node, "overload"):
        return
    doc = _parsed(node)
    if doc is None:
        yield "has no docstring"
        return
    if _decorated(node, "property", "cached_property", "setter"):
        return
    yield from check_sections(node, doc, _parameters(node))
    returns = ast.unparse(node.returns) if node.returns is not None else "None"
    gives = returns not in ("None", "NoReturn", "Never")
    if gives and not (doc["Returns"] or doc["Yields"]):
        yield f"returns {returns}, but has no Returns section"
    yield from check_raises(doc, package.must_raise(path, node), package.may_raise(node))


def _closure_names(public: list[ast.FunctionDef], hidden: list[ast.FunctionDef]) -> set[str]:
    bodies = {m.name: read_code(m).calls for m in hidden}
    seen: set[str] = set()
    waiting = [name for m in public for name in read_code(m).calls]
    while waiting:
        name = waiting.pop()
        if name in bodies and name not in seen:
            seen.add(name)
            waiting += bodies[name]
    return seen


def check_class(package: Package, path: Path, node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Check a class: its own docstring, then every public method."""
    doc = _parsed(node)
    if doc is None:
        yield node.name, "has no docstring"
        return
    methods = [item for item in node.body if isinstance(item, (ast.FunctionDef,))]
    makers = [item for item in methods if item.name == "__init__"]
    expected = _parameters(makers[0]) if makers else []
    is_record = any(_name_of(item) == "dataclass" for item in node.decorator_list)
    if not is_record and (makers or doc["Parameters"]):
        for text in check_sections(node, doc, expected):
            yield node.name, text
    hidden = [m for m in methods if m.name == "__init__" or re.match(r"_(?!_)", m.name)]
    public = [m for m in methods if not m.name.startswith("_")]
    # A private method that a public one calls is that one's to document.
    shared = _closure_names(public, hidden)
    own = [m for m in hidden if m.name not in shared]
    must = set().union(*(package.must_raise(path, m) for m in own)) if own else set()
    may = set().union(*(package.may_raise(m) for m in methods)) if methods else set()
    # What a base class raises for everybody is part of the contract of its children.
    for base in node.bases:
        may |= _closure(Code(calls={_name_of(base)}), package.by_name)
    for text in check_raises(doc, must, may):
        yield node.name, text
    for method in public:
        for text in check_function(package, path, method):
            yield f"{node.name}.{method.name}", text


def main() -> int:
    """Print every problem; 1 when there are any."""
    package, problems = Package(), []
    for path, tree in sorted(package.trees.items()):
        where = path.relative_to(ROOT)
        if not ast.get_docstring(tree):
            problems.append(f"{where}: the module has no docstring")
        if any(part.startswith("_") and part != "__init__.py" for part in where.parts[2:]):
            continue
        wanted = set(public_names(tree))
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in wanted:
                found = [(node.name, text) for text in check_function(package, path, node)]
            elif isinstance(node, ast.ClassDef) and node.name in wanted:
                found = list(check_class(package, path, node))
            else:
                continue
            problems += [f"{where}:{node.lineno}: {name}: {text}" for name, text in found]
    print("\n".join(problems) or "every public name is documented")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
