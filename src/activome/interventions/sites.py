"""Sites: the named places of a network where a tensor flows, and the grammar that names them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from activome._checks import check_choice, nearest_names
from activome.errors import ParameterError
from activome.interventions._schemes import SCHEMES, Rule, declared_scheme, find_scheme

__all__ = ["Site", "SiteTable"]

_NAME = re.compile(r"^(?P<name>\w+)(\[(?P<layers>[^\]]*)\])?$")
_RANGE = re.compile(r"^(-?\d*):(-?\d*)$")


@dataclass(frozen=True)
class Site:
    """One place where a tensor flows.

    Attributes
    ----------
    name : str
        Name in the scheme, such as "mlp_out", or ``module:path#io``.
    layer : int or None
        Number of the layer, where the site is one of a stack.
    path : str
        Dotted path of the module.
    io : {"in", "out"}
        Whether the tensor is the input or the output of the module.
    heads : int or None
        Number of heads the last axis is split into.
    part : tuple of int or None
        (k, n): the site is the k-th of n equal parts of the last axis.
    item : int
        Place of the tensor where the module takes or returns several.
    is_editable : bool
        False where a change of the tensor would not reach what the name promises.
    layout : {"tokens", "pattern", "rms", "std", "time_first"}
        How the axes are ordered.
    group : str
        What the site was found by; sites of one group are recorded as one activity.
    is_interleaved : bool
        True where each head's share of the last axis holds the n parts, one after the other.
    """

    name: str
    layer: int | None
    path: str
    io: str
    heads: int | None = None
    part: tuple[int, int] | None = None
    item: int = 0
    is_editable: bool = True
    layout: str = "tokens"
    group: str = ""
    is_interleaved: bool = False

    @property
    def label(self) -> str:
        """Name with the layer, such as ``mlp_out[3]``."""
        return self.name if self.layer is None else f"{self.name}[{self.layer}]"

    def view(self, value: Any) -> Any:
        """Return the part of a tensor that the site is, heads on an axis of their own.

        Parameters
        ----------
        value : Tensor, shape (..., n_features)
            Tensor of the module.

        Returns
        -------
        Tensor
            Shape (..., n_heads, n_features_per_head) where the site has heads.
        """
        if self.part is not None and self.is_interleaved:
            return value.unflatten(-1, (self.heads, self.part[1], -1)).select(-2, self.part[0])
        if self.part is not None:
            value = value.chunk(self.part[1], dim=-1)[self.part[0]]
        if self.layout == "rms":
            return value.pow(2).mean(-1, keepdim=True).sqrt()
        if self.layout == "std":
            return value.var(-1, keepdim=True, correction=0).sqrt()
        if self.heads is not None:
            value = value.unflatten(-1, (self.heads, -1))
        return value

    def put(self, value: Any, changed: Any) -> Any:
        """Return the tensor of the module with the site's part replaced; nothing is overwritten.

        Parameters
        ----------
        value : Tensor, shape (..., n_features)
            Tensor of the module.
        changed : Tensor
            New part, of the shape that ``view`` gives.

        Returns
        -------
        Tensor
            Shape of ``value``.
        """
        import torch

        if self.part is not None and self.is_interleaved:
            split = value.unflatten(-1, (self.heads, self.part[1], -1)).unbind(-2)
            taken = [changed if k == self.part[0] else old for k, old in enumerate(split)]
            return torch.stack(taken, -2).flatten(-3)
        if self.heads is not None:
            changed = changed.flatten(-2)
        if self.part is None:
            return changed
        parts = list(value.chunk(self.part[1], dim=-1))
        parts[self.part[0]] = changed
        return torch.cat(parts, dim=-1)

    def axes(self, n_axes: int) -> tuple[str, ...]:
        """Return what each axis of a view is.

        Parameters
        ----------
        n_axes : int
            Number of axes of the view.

        Returns
        -------
        tuple of str
            Out of "sample", "position", "head", "unit", "key", "y", "x", "z".
        """
        if self.layout == "pattern" and n_axes == 4:
            return ("sample", "head", "position", "key")
        if self.layout == "time_first" and n_axes == 3:
            return ("position", "sample", "unit")
        if self.heads is not None:
            return ("sample", *("position",)[: n_axes - 3], "head", "unit")
        if n_axes <= 3:
            return (("unit",), ("sample", "unit"), ("sample", "position", "unit"))[n_axes - 1]
        return ("sample", "unit", *("z", "y", "x")[-(n_axes - 2) :])


class SiteTable:
    """The sites of one model, found once.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    scheme : {"llama", "gemma2", "olmo2", "phi3", "gpt2", "neox", "bert"}, optional
        Table of names; by default the one the network declares as ``tap_sites``, or the one whose
        modules it has. A network without a scheme has ``module:`` sites only.

    Attributes
    ----------
    scheme : str or None
        Name of the table in use; "declared" for the network's own.
    named : dict of str to list of Site
        Sites of each name, by layer.

    Raises
    ------
    ParameterError
        If the scheme is unknown or does not fit, the declared one is malformed, or a name matches
        nothing.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> [site.label for site in SiteTable(network).find("module:*#out")]
    ['module:0#out', 'module:1#out']
    """

    def __init__(self, model: nn.Module, scheme: str | None = None) -> None:
        self._modules = dict(model.named_modules())
        self.scheme: str | None = None
        self.stack: list[str] = []
        self.named: dict[str, list[Site]] = {}
        declared = declared_scheme(model) if scheme is None else None
        if declared is not None:
            self.scheme = "declared"
            self._add(model, declared.rules, "")
            return
        if scheme is not None:
            check_choice(scheme, SCHEMES, name="scheme", owner="Taps")
        self.scheme, found, prefix = find_scheme(model, scheme)
        if found is not None:
            self._add(model, found.rules, prefix)
            self.stack = [site.path for site in self.named["resid_pre"]]
        elif scheme is not None:
            raise ParameterError(
                f"Taps: scheme {scheme!r} does not fit {type(model).__name__}, which has no module "
                f"{SCHEMES[scheme].landmarks[0]!r}. Leave scheme out to use 'module:' sites."
            )

    def _add(self, model: nn.Module, rules: Any, prefix: str) -> None:
        for name, rule in rules.items():
            pattern = rule.path[1:] if rule.path.startswith("^") else prefix + rule.path
            found = []
            for path in _matching(pattern, self._modules):
                layer = _layer_number(pattern, path)
                heads = self._n_heads(model, rule, path, layer, pattern)
                options = (rule.part, rule.item, rule.is_editable, rule.layout, name)
                site = Site(name, layer, path, rule.io, heads, *options, rule.is_interleaved)
                found.append(site)
            if found:
                self.named[name] = sorted(found, key=lambda site: site.layer or 0)

    def _n_heads(
        self, model: nn.Module, rule: Rule, path: str, layer: int | None, pattern: str
    ) -> int | None:
        if rule.heads is None or isinstance(rule.heads, int):
            return rule.heads
        owner = pattern.partition("*")[0] + str(layer) if layer is not None else path
        block = self._modules[owner]
        found = _attribute(block, rule.heads)
        if found is None:
            found = _attribute(model, rule.heads)
        if found is None:
            raise ParameterError(
                f"Taps: heads of {rule.path!r} are to be read from {rule.heads!r}, which neither "
                f"{owner!r} nor the model has."
            )
        if rule.heads.endswith("_features"):
            # Width of a projection: heads follow from their size, which the attention knows.
            attention = _attribute(block, rule.heads.partition(".")[0])
            return int(found) // int(attention.head_dim)
        return int(found)

    def find(self, text: str) -> list[Site]:
        """Return the sites that a name stands for.

        Parameters
        ----------
        text : str
            ``name``, ``name[3]``, ``name[*]``, ``name[3:7]``, ``name[2,5]``, or
            ``module:glob#in`` and ``module:glob#out``, in which ``*`` stands for one part of a
            dotted path and ``**`` for any number.

        Returns
        -------
        list of Site
            At least one, in the order of layers.

        Raises
        ------
        ParameterError
            If the text is no site name, or matches nothing; the message offers the nearest names.
        """
        if not isinstance(text, str):
            raise ParameterError(
                f"Taps: a site is named by a text such as 'mlp_out[3]'; got {text!r}."
            )
        if text.startswith("module:"):
            return self._find_modules(text)
        match = _NAME.match(text.strip())
        if match is None or match["name"] not in self.named:
            name = match["name"] if match else text
            known = [*self.named, *(f"module:{path}" for path in self._modules if path)]
            raise ParameterError(
                f"Taps: no site is called {text!r}; {nearest_names(name, known)} Modules are named "
                "'module:dotted.path#in' or '#out'."
            )
        sites = self.named[match["name"]]
        if match["layers"] is None:
            return list(sites)
        wanted = _layers(match["layers"], [site.layer for site in sites], text)
        return [site for site in sites if site.layer in wanted]

    def _find_modules(self, text: str) -> list[Site]:
        pattern, _, io = text[len("module:") :].partition("#")
        io = io or "out"
        if io not in ("in", "out"):
            raise ParameterError(f"Taps: a module site ends in #in or #out; got {text!r}.")
        paths = [""] if not pattern else _matching(pattern, self._modules)
        if not paths:
            known = [path for path in self._modules if path]
            raise ParameterError(
                f"Taps: no module matches {pattern!r}; {nearest_names(pattern, known)}"
            )
        found = []
        for path in paths:
            is_time_first = getattr(self._modules[path], "batch_first", True) is False
            layout = "time_first" if is_time_first else "tokens"
            name = f"module:{path}#{io}"
            found.append(Site(name, None, path, io, layout=layout, group=text))
        return found

    def all(self) -> list[Site]:
        """Return every named site, or the output of every module where no scheme fits.

        Returns
        -------
        list of Site
            In the order of the scheme, or of the modules.
        """
        if self.named:
            return [site for sites in self.named.values() for site in sites]
        return [site for path in self._modules if path for site in self.find(f"module:{path}#out")]


def _attribute(owner: Any, name: str) -> Any:
    for part in name.split("."):
        owner = getattr(owner, part, None)
    return owner


def _matching(pattern: str, paths: Any) -> list[str]:
    expression = re.escape(pattern).replace(r"\*\*", ".+").replace(r"\*", r"[^.]+")
    compiled = re.compile(expression.replace(r"\?", "[^.]"))
    return [path for path in paths if compiled.fullmatch(path)]


def _layer_number(pattern: str, path: str) -> int | None:
    if "*" not in pattern:
        return None
    index = pattern.split(".").index("*")
    number = path.split(".")[index]
    return int(number) if number.isdigit() else None


def _layers(text: str, known: list[int | None], site: str) -> set[int]:
    numbers = [n for n in known if n is not None]
    if not numbers:
        raise ParameterError(f"Taps: {site!r} asks for a layer, but the site has none.")
    if text.strip() == "*":
        return set(numbers)
    wanted: set[int] = set()
    for piece in text.split(","):
        piece = piece.strip()
        bounds = _RANGE.match(piece)
        if bounds is not None:
            low, high = (int(part) if part else None for part in bounds.groups())
            wanted |= set(numbers[low:high])
        elif piece.lstrip("-").isdigit():
            number = int(piece)
            wanted.add(number if number >= 0 else len(numbers) + number)
        else:
            raise ParameterError(
                f"Taps: layers are given as [*], [3], [3:7] or [2,5]; got {site!r}."
            )
    missing = sorted(wanted - set(numbers))
    if missing or not wanted:
        which = f"layer {missing[0]} is not there" if missing else "that is no layer"
        raise ParameterError(
            f"Taps: {site!r}: {which}; layers are {min(numbers)} to {max(numbers)}."
        )
    return wanted
