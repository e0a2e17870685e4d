"""Parameters of estimators from text, by their annotations, defaults and documented choices."""

from __future__ import annotations

import ast
import inspect
import re
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

from activome._checks import nearest_names
from activome.errors import ParameterError

__all__ = ["parse_parameters"]

_TRUE, _FALSE, _NONE = ("true", "yes", "on"), ("false", "no", "off"), ("none", "null")
_BRACKETS = {"(": ")", "[": "]"}
_NAMES = {
    type(None): "none",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    tuple: "values separated by commas",
    str: "text",
}


def parse_parameters(
    cls: type[Any], texts: Sequence[str], *, owner: str, name: str | None = None
) -> dict[str, Any]:
    """Read ``name=value`` texts as arguments of a class.

    Numbers, true and false, none, names of choices, and tuples (``4,2`` or ``(4, 2)``) are told by
    the annotation of the argument, or by its default where there is none.

    Parameters
    ----------
    cls : type
        An estimator.
    texts : sequence of str
        As typed.
    owner : str
        Who asks, for the messages.
    name : str, optional
        What a user calls the class, by default its name.

    Returns
    -------
    dict of str to Any
        Values by name.

    Raises
    ------
    ParameterError
        If a text has no ``=``, a name is unknown or stands twice, or a value is of another type.

    Examples
    --------
    >>> from activome.geometry import PrincipalComponents
    >>> parse_parameters(PrincipalComponents, ["n_components=3"], owner="run")
    {'n_components': 3}
    """
    signature = inspect.signature(cls)
    hints = _hints(cls)
    called = name or cls.__name__
    found: dict[str, Any] = {}
    for item in texts:
        key, equals, text = item.partition("=")
        key, text = key.strip(), text.strip()
        if not equals or not key:
            raise ParameterError(f"{owner}: a parameter is given as name=value; got {item!r}.")
        if key not in signature.parameters:
            known = nearest_names(key, signature.parameters)
            raise ParameterError(f"{owner}: {called} has no parameter {key!r}; {known}")
        if key in found:
            raise ParameterError(f"{owner}: parameter {key!r} is given twice.")
        default = signature.parameters[key].default
        hint = hints.get(key, Any if default in (None, inspect.Parameter.empty) else type(default))
        found[key] = _read(text, hint, f"{owner}: {key} of {called}")
        choices = _documented_choices(cls, key)
        if isinstance(found[key], str) and choices and found[key] not in choices:
            raise ParameterError(
                f"{owner}: unknown {key} {text!r} of {called}; {nearest_names(text, choices)}"
            )
    return found


def _hints(cls: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls.__init__)
    except NameError:  # an annotation that is imported for type checkers only
        return {}


def _documented_choices(cls: type[Any], name: str) -> list[str]:
    """Return the names in braces of the type line of a parameter, where nothing else may stand."""
    line = re.search(rf"^\s*{re.escape(name)} : \{{([^}}]*)\}}(.*)$", cls.__doc__ or "", re.M)
    if line is None or re.match(r",?\s*(or|callable|[a-z]+ or)\b", line.group(2)):
        return []
    return re.findall(r"[\"']([^\"']+)[\"']", line.group(1))


def _members(hint: Any) -> list[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [member for part in typing.get_args(hint) for member in _members(part)]
    return [type(None)] if hint is None else [hint]


def _read(text: str, hint: Any, what: str) -> Any:
    members = _members(hint)
    readers = {kind: reader for kind, reader in map(_reader, members) if kind is not None}
    if not readers:
        raise ParameterError(
            f"{what} cannot be given as text: it is a {getattr(hint, '__name__', hint)}. Call the "
            "method from Python."
        )
    for kind in (type(None), bool, int, float, tuple, object, str):
        if kind in readers:
            try:
                return readers[kind](text)
            except ValueError:
                continue
    wanted = [_NAMES[kind] for kind in _NAMES if kind in readers]
    raise ParameterError(f"{what} must be {' or '.join(wanted)}; got {text!r}.")


def _reader(member: Any) -> tuple[Any, Callable[[str], Any]]:
    """Return the plain type that an annotation stands for, and what reads it from text."""
    origin = typing.get_origin(member)
    if origin is typing.Literal:
        return str, lambda text: _literal(text, typing.get_args(member))
    if member in (type(None), bool):
        return member, {type(None): _none, bool: _bool}[member]
    if isinstance(member, type) and issubclass(member, int):
        return int, int
    if member is float:
        return float, _number
    if member is str:
        return str, str
    if origin in (tuple, list, Sequence) or member in (tuple, list):
        inner = [part for part in typing.get_args(member) if part is not Ellipsis]
        part = inner[0] if inner else Any
        return tuple, lambda text: _sequence(text, part, list if origin is list else tuple)
    if member is Any or member is object:
        return object, _guess
    return None, _guess


def _none(text: str) -> None:
    if text.lower() not in _NONE:
        raise ValueError(text)


def _number(text: str) -> float:
    # A whole number stays one: some parameters count with integers and weigh with fractions.
    try:
        return int(text)
    except ValueError:
        return float(text)


def _bool(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(text)
    return text.lower() in _TRUE


def _literal(text: str, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if text == str(choice):
            return choice
    raise ValueError(text)


def _sequence(text: str, part: Any, kind: Callable[[Any], Any]) -> Any:
    inside = text
    if text[:1] in _BRACKETS and text.endswith(_BRACKETS[text[0]]):
        inside = text[1:-1]
    if "," not in inside and inside == text:
        raise ValueError(text)
    try:
        return kind(
            _read(item.strip(), part, "an item") for item in inside.split(",") if item.strip()
        )
    except ParameterError as error:
        raise ValueError(str(error)) from error


def _guess(text: str) -> Any:
    """Read a value whose type nobody states: none, a truth value, a number, a tuple, or text."""
    for reader in (_none, _bool, int, float):
        try:
            return reader(text)
        except ValueError:
            continue
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        pass
    return (
        tuple(_guess(item.strip()) for item in text.split(",") if item.strip())
        if "," in text
        else text
    )
