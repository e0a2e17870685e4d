"""One hook per place of a module: edits run first, in their order, then recorders."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from activome.errors import ParameterError
from activome.interventions.sites import Site

__all__ = ["Actor", "Context", "Manager", "Pass", "manager_of", "n_active"]


@dataclass
class Pass:
    """What is known of one forward pass: its shape, and where its columns are in the sequence."""

    index: int = 0
    n_positions: int | None = None
    start: int = 0
    mask: Any = None
    token_ids: Any = None

    @property
    def total(self) -> int | None:
        """Columns of the sequence so far, those in a key/value cache included."""
        return None if self.n_positions is None else self.start + self.n_positions


@dataclass(frozen=True)
class Context:
    """What an edit is told: the site, the pass, and which call of the module within it."""

    site: Site
    step: Pass
    call: int
    is_inside: bool = True


@dataclass(eq=False)
class Actor:
    """A function that is shown the tensor of a site, and may give another one back."""

    site: Site
    act: Callable[[Any, Context], Any]
    is_edit: bool


@dataclass(eq=False)
class _Station:
    """The hook of one input or output of one module."""

    handle: Any
    actors: list[Actor] = field(default_factory=list)
    n_calls: int = 0
    step: int = -1


class Manager:
    """All hooks of one model; each is removed when the last actor leaves it."""

    def __init__(self, model: nn.Module) -> None:
        self._model = weakref.ref(model)
        self.stations: dict[tuple[str, str], _Station] = {}
        self.root: list[Any] = []
        self.step = Pass(index=-1)
        self._is_inside = False

    @property
    def n_active(self) -> int:
        """Number of live hooks."""
        return len(self.stations) + len(self.root)

    def add(self, actors: list[Actor]) -> None:
        """Put actors to work; all of them or, after an error, none."""
        model = self._model()
        if model is None:
            raise ParameterError("Taps: the model is gone. Keep a reference to it.")
        if not self.root:
            self.root = [
                model.register_forward_pre_hook(self._enter, with_kwargs=True),
                model.register_forward_hook(self._leave, always_call=True),
            ]
        try:
            for actor in actors:
                key = (actor.site.path, actor.site.io)
                if key not in self.stations:
                    module = model.get_submodule(actor.site.path)
                    self.stations[key] = _Station(self._register(module, key))
                self.stations[key].actors.append(actor)
        except BaseException:
            self.remove(actors)
            raise

    def remove(self, actors: list[Actor]) -> None:
        """Dismiss actors, and remove the hooks that have none left."""
        for actor in actors:
            key = (actor.site.path, actor.site.io)
            station = self.stations.get(key)
            if station is not None and actor in station.actors:
                station.actors.remove(actor)
                if not station.actors:
                    station.handle.remove()
                    del self.stations[key]
        if not self.stations:
            for handle in self.root:
                handle.remove()
            self.root = []
            self._is_inside = False

    def _register(self, module: nn.Module, key: tuple[str, str]) -> Any:
        if key[1] == "in":

            def before(_: nn.Module, args: Any, kwargs: Any) -> Any:
                return _with_input(args, kwargs, lambda value: self._run(key, value, 0))

            return module.register_forward_pre_hook(before, with_kwargs=True)

        def after(_: nn.Module, args: Any, output: Any) -> Any:
            return self._run_output(key, output)

        return module.register_forward_hook(after)

    def _run_output(self, key: tuple[str, str], output: Any) -> Any:
        items = sorted({actor.site.item for actor in self.stations[key].actors})
        changed = output
        for item in items:
            value = _output_tensor(changed, item)
            if value is None:
                label = self.stations[key].actors[0].site.label
                raise ParameterError(
                    f"Taps: {label}: the module {key[0]!r} gave no tensor at place {item} of its "
                    'output. Attention weights need attn_implementation="eager".'
                )
            result = self._run(key, value, item, is_first=item == items[0])
            if result is not value:
                changed = _replace_output(changed, item, result)
        return None if changed is output else changed

    def _run(self, key: tuple[str, str], value: Any, item: int, *, is_first: bool = True) -> Any:
        station = self.stations[key]
        if is_first:
            if station.step != self.step.index:
                station.step, station.n_calls = self.step.index, 0
            station.n_calls += 1
        call = station.n_calls - 1
        for is_edit in (True, False):
            for actor in list(station.actors):
                if actor.is_edit is is_edit and actor.site.item == item:
                    context = Context(actor.site, self.step, call, self._is_inside)
                    result = actor.act(value, context)
                    value = value if result is None else result
        return value

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._is_inside = True
        self.step = _describe_pass(module, args, kwargs, self.step.index + 1)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self._is_inside = False


_MANAGERS: weakref.WeakKeyDictionary[Any, Manager] = weakref.WeakKeyDictionary()


def manager_of(model: nn.Module) -> Manager:
    """Return the one manager of a model, so that nested contexts share its hooks."""
    if model not in _MANAGERS:
        _MANAGERS[model] = Manager(model)
    return _MANAGERS[model]


def n_active() -> int:
    """Count the hooks that are on any model now.

    Returns
    -------
    int
        0 outside every ``record`` and ``edit`` block.

    Examples
    --------
    >>> n_active()
    0
    """
    return sum(manager.n_active for manager in _MANAGERS.values())


def refuse_compiled(model: Any, owner: str) -> None:
    """Raise for what is no module, and for modules whose hooks are not sure to be called."""
    if not isinstance(model, nn.Module):
        raise ParameterError(
            f"{owner}: model must be a torch.nn.Module; got {type(model).__name__}."
        )
    for path, module in model.named_modules():
        is_compiled = type(module).__name__ == "OptimizedModule" or (
            getattr(module, "_compiled_call_impl", None) is not None
        )
        if is_compiled or isinstance(module, torch.jit.ScriptModule):
            how = "compiled" if is_compiled else "scripted"
            raise ParameterError(
                f"{owner}: hooks are not sure to be called in a {how} module; {path or 'the model'}"
                " is one. Give the module from before torch.compile or torch.jit."
            )


def _describe_pass(module: nn.Module, args: Any, kwargs: Any, index: int) -> Pass:
    given = dict(kwargs)
    # A forward that takes *args says nothing of their meaning.
    with contextlib.suppress(TypeError, ValueError):
        given |= inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments
    mask, ids = given.get("attention_mask"), given.get("input_ids")
    if ids is None:
        ids = next(
            (a for a in args if isinstance(a, torch.Tensor) and a.ndim == 2 and _is_integer(a)),
            None,
        )
    embeds = given.get("inputs_embeds")
    source = ids if ids is not None else embeds
    step = Pass(index)
    if isinstance(source, torch.Tensor) and source.ndim >= 2:
        step.n_positions = int(source.shape[1])
    if isinstance(ids, torch.Tensor):
        step.token_ids = ids
    cache, places = given.get("past_key_values"), given.get("cache_position")
    if cache is not None and hasattr(cache, "get_seq_length"):
        step.start = int(cache.get_seq_length())
    elif isinstance(places, torch.Tensor):
        step.start = int(places.reshape(-1)[0])
    if isinstance(mask, torch.Tensor) and mask.ndim == 2 and mask.shape[1] == step.total:
        step.mask = mask.bool()
    return step


def _is_integer(value: torch.Tensor) -> bool:
    return not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)


def _with_input(args: Any, kwargs: Any, change: Callable[[Any], Any]) -> Any:
    for place, value in enumerate(args):
        if isinstance(value, torch.Tensor):
            result = change(value)
            if result is value:
                return None
            return (*args[:place], result, *args[place + 1 :]), kwargs
    for name, value in kwargs.items():
        if isinstance(value, torch.Tensor):
            result = change(value)
            return None if result is value else (args, {**kwargs, name: result})
    raise ParameterError("Taps: a module was called without a tensor; it has no input to tap.")


def _output_tensor(output: Any, item: int) -> Any:
    if isinstance(output, torch.Tensor):
        return output if item == 0 else None
    values: list[Any] = []
    if isinstance(output, dict):
        values = list(output.values())
    elif isinstance(output, (tuple, list)):
        values = list(output)
    elif dataclasses.is_dataclass(output):
        values = [getattr(output, part.name) for part in dataclasses.fields(output)]
    if item == 0:
        return next((value for value in values if isinstance(value, torch.Tensor)), None)
    found = values[item] if item < len(values) else None
    return found if isinstance(found, torch.Tensor) else None


def _replace_output(output: Any, item: int, result: Any) -> Any:
    old = _output_tensor(output, item)
    if isinstance(output, torch.Tensor):
        return result
    if isinstance(output, dict):
        # A copy of the same class: a cached container must not see the change.
        changed = type(output)(output) if type(output) is dict else _copied(output)
        key = next(name for name, value in output.items() if value is old)
        changed[key] = result
        return changed
    if isinstance(output, (tuple, list)):
        parts = [result if value is old else value for value in output]
        if hasattr(output, "_fields"):
            return type(output)(*parts)
        return type(output)(parts)
    name = next(p.name for p in dataclasses.fields(output) if getattr(output, p.name) is old)
    return dataclasses.replace(output, **{name: result})


def _copied(output: Any) -> Any:
    import copy

    return copy.copy(output)
