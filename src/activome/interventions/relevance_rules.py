"""Relevance rules: backward passes that hold normalisation, gates and attention constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function

from activome._checks import check_choice
from activome.errors import ParameterError
from activome.interventions._editing import at_work
from activome.interventions._hooks import Actor, Context, _output_tensor, _with_input
from activome.interventions._restart import forwards_of
from activome.interventions._rule_table import FUNCTIONS, Entry, RuleFunction, entry_of, register
from activome.interventions._schemes import UNGATED
from activome.interventions.taps import Taps

__all__ = ["RelevanceRules", "register_rule"]

RULES = ("norm", "identity", "half", "attention")
_HALF_TYPES = (torch.float16, torch.bfloat16)
_HALF = torch.tensor(0.5)


class RelevanceRules:
    """Change the gradients of a network to relevances, and none of its values, inside a block.

    With gradient times input, each rule makes a part of the network act as a linear map: what
    leaves it is shared out over what entered it, and nothing is lost on the way but at biases.

    - "norm": layer and RMS normalisation are divisions by a constant; the centring counts.
    - "identity": an activation is ``x`` times the constant ``act(x) / x``.
    - "half": each factor of a product of two branches (a gated MLP) receives half of it.
    - "attention": attention weights are constants, since queries and keys pass no gradient.

    Parameters
    ----------
    model : torch.nn.Module or Taps
        Any network, or its sites; used in place, and as it was after the block.
    rules : sequence of {"norm", "identity", "half", "attention"}, optional
        By default the first two, and "half" where products are known.
    products : sequence of str, optional
        Sites that hold a product of two branches, such as ``"module:blocks.*.down#in"``; by default
        ``mlp_hidden`` of networks with a site ``mlp_up``.
    frozen : sequence of str, optional
        Sites that pass no gradient under "attention"; by default ``q`` and ``k``.
    plain : sequence of str, default=()
        Names of module classes and of functions that keep their own gradient.
    scheme : str, optional
        Table of site names, as in ``Taps``.
    allow_half : bool, default=False
        Take models in half precision, in which relevances lose most of their digits.

    Attributes
    ----------
    rules : tuple of str
        The rules in use.
    modules : dict of str to str
        Rule of each module that has one, by its path.

    Raises
    ------
    ParameterError
        If a rule or site is unknown, a rule has nothing to act on, the model is in half precision,
        or a nonlinear module or function has no rule (they are named).

    Notes
    -----
    Modules are looked up by the names of their classes, in a table that ``register_rule`` extends.
    A module that is in the table is a whole; others are looked into, down to modules without
    children, which must be in it. Activations that are called as functions are refused when they
    run. Softmax and products that are written in the code of a module keep their gradient, unless
    they are named by ``frozen`` and ``products``. Enter this block before blocks that edit or
    record at ``products``: they then see the whole relevance of the product.

    References
    ----------
    .. [1] F. Rezaei Jafari, O. Eberle, A. Khakzar and N. Nanda, "RelP: Faithful and efficient
       circuit discovery via relevance patching", 2025.
    .. [2] R. Achtibat et al., "AttnLRP: Attention-aware layer-wise relevance propagation for
       transformers", 2024.
    .. [3] A. Ali et al., "XAI for transformers: better explanations through conservative
       propagation", 2022.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.SiLU(), torch.nn.Linear(3, 1, bias=False))
    >>> x = torch.tensor([[1.0, -2.0, 3.0]], requires_grad=True)
    >>> with RelevanceRules(network):
    ...     y = network(x).sum()
    >>> y.backward()
    >>> bool(torch.isclose((x * x.grad).sum(), y))
    True
    """

    def __init__(
        self,
        model: nn.Module | Taps,
        rules: Sequence[str] | None = None,
        *,
        products: Sequence[str] | None = None,
        frozen: Sequence[str] | None = None,
        plain: Sequence[str] = (),
        scheme: str | None = None,
        allow_half: bool = False,
    ) -> None:
        self._taps = taps = model if isinstance(model, Taps) else Taps(model, scheme)
        self._plain = (plain,) if isinstance(plain, str) else tuple(plain)
        _refuse_half(taps.model, allow_half)
        named = taps.table.named
        gated = ("mlp_hidden",) if {"mlp_hidden", "mlp_up"} <= named.keys() else ()
        self._products = gated if products is None else _names(products)
        known = [name for name in ("q", "k") if name in named]
        self._frozen = tuple(known) if frozen is None else _names(frozen)
        default = ("norm", "identity", *(("half",) if self._products else ()))
        self.rules = default if rules is None else _names(rules)
        for rule in self.rules:
            check_choice(rule, RULES, name="rule", owner="RelevanceRules")
        is_known = self._taps.scheme in UNGATED or bool(self._products)
        if "half" in self.rules and not is_known:
            raise ParameterError(
                "RelevanceRules: rule 'half' must know where two branches are multiplied, and this "
                "network has no sites mlp_hidden and mlp_up. Give products, such as "
                "['module:blocks.*.down#in'], or leave the rule out."
            )
        if "attention" in self.rules and not self._frozen:
            raise ParameterError(
                "RelevanceRules: rule 'attention' must know the queries and keys, and this network "
                "has no sites q and k. Give frozen, such as ['module:blocks.*.query#out'], or "
                "leave the rule out."
            )
        self.modules: dict[str, str] = {}
        self._wholes: list[tuple[nn.Module, Entry]] = []
        self._stack: ExitStack | None = None
        self._actors = self._prepare(taps.model)

    def __enter__(self) -> RelevanceRules:
        """Put the rules in force."""
        if self._stack is not None:
            raise ParameterError("RelevanceRules: the block is entered already; make another one.")
        with ExitStack() as stack:
            stack.enter_context(at_work(self._taps.model, self._actors))
            ruled = [(module, self._ruled(module, entry)) for module, entry in self._wholes]
            stack.enter_context(forwards_of(ruled))
            named = {name for name, rule in FUNCTIONS.items() if rule in self.rules}
            stack.enter_context(_Watch(named - {*self._plain}))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """Take the rules away."""
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.close()

    def _prepare(self, model: nn.Module) -> list[Actor]:
        actors: list[Actor] = []
        unknown: dict[str, str] = {}
        inside: set[str] = set()
        entries: dict[type, Entry | None] = {}
        for path, module in model.named_modules():
            # Parents come before their children.
            if path and path.rpartition(".")[0] in inside:
                inside.add(path)
                continue
            kind = type(module)
            name = kind.__name__
            if kind not in entries:
                entries[kind] = Entry("linear") if name in self._plain else entry_of(kind)
            entry = entries[kind]
            if entry is None:
                # A loss comes after the output that a metric reads.
                is_loss = isinstance(module, nn.modules.loss._Loss)
                if not is_loss and not any(True for _ in module.children()):
                    unknown.setdefault(name, path)
                continue
            inside.add(path)
            if entry.rule in self.rules:
                self.modules[path] = entry.rule
            elif entry.rule == "linear" and entry.function is None and name not in self._plain:
                continue
            self._wholes.append((module, entry))
        if unknown:
            listed = ", ".join(f"{name} (at {path!r})" for name, path in unknown.items())
            raise ParameterError(
                f"RelevanceRules: every nonlinear module must have a rule; none is known for "
                f"{listed}. Give one with register_rule, or name the class in plain to keep its "
                "own gradient."
            )
        if "half" in self.rules:
            actors += self._site_actors(self._products, _halved)
        if "attention" in self.rules:
            actors += self._site_actors(self._frozen, lambda view: view.detach())
        return actors

    def _ruled(self, module: nn.Module, entry: Entry) -> Callable[..., Any]:
        """Return what is called in the place of ``module.forward``, with the gradient of a rule."""
        own = module.forward
        is_ruled, writes = entry.rule in self.rules, bool(getattr(module, "inplace", False))

        def forward(*args: Any, **kwargs: Any) -> Any:
            value = _output_tensor((*args, *kwargs.values()), 0)
            is_traced = torch.is_grad_enabled() and value is not None and value.requires_grad
            if is_ruled and is_traced and writes:
                # Into a copy: the rule reads what came in.
                args, kwargs = _with_input(args, kwargs, lambda given: given.clone())
            if is_ruled and is_traced and entry.factor is not None:
                args, kwargs = _with_input(args, kwargs, lambda given: given.detach())
                output = own(*args, **kwargs).detach()
                return _with_slope(value, entry.factor(module, value.detach(), output), output)
            output = own(*args, **kwargs)
            if is_ruled and is_traced and entry.function is not None:
                return _with_graph(entry.function(module, value, output), output)
            return output

        def unwatched(*args: Any, **kwargs: Any) -> Any:
            # The watch sees nothing of what is called by a function that is handed to it.
            given = (*args, *kwargs.values())
            if has_torch_function(given):
                return handle_torch_function(forward, given, *args, **kwargs)
            return forward(*args, **kwargs)

        return unwatched

    def _site_actors(self, names: Sequence[str], change: Any) -> list[Actor]:
        def act(value: Any, context: Context) -> Any:
            return context.site.put(value, change(context.site.view(value)))

        sites = [site for name in names for site in self._taps.sites(name)]
        return [Actor(site, act, is_edit=True) for site in sites]


class _Pinned(torch.autograd.Function):
    """The value of one tensor with the gradient of another."""

    @staticmethod
    def forward(_: Any, found: Any, output: Any) -> Any:
        """Return the output, cut off."""
        return output.detach()

    @staticmethod
    def backward(_: Any, slope: Any) -> Any:
        """Hand all of it to what the rule found."""
        return slope, None


class _Times(torch.autograd.Function):
    """The value of one tensor with the gradient of a product of two others."""

    @staticmethod
    def forward(ctx: Any, value: Any, factor: Any, output: Any) -> Any:
        """Return the output, cut off."""
        ctx.save_for_backward(value if ctx.needs_input_grad[1] else None, factor)
        return output.detach()

    @staticmethod
    def backward(ctx: Any, slope: Any) -> Any:
        """Hand it to the value, and to the factor where that has parameters in it."""
        value, factor = ctx.saved_tensors
        return slope * factor, None if value is None else slope * value, None


class _Watch(TorchFunctionMode):
    """See every function of torch that is called, to refuse activations out of the rules' reach."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self._names = names

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in self._names:
            raise ParameterError(
                f"RelevanceRules: the network calls {name}() as a function, where no rule reaches "
                f"it. Use the module of that name, or plain=[{name!r}] to keep its own gradient."
            )
        return func(*args, **kwargs) if kwargs else func(*args)


def register_rule(
    name: str | type[nn.Module], function: RuleFunction | None = None, *, rule: str = "identity"
) -> None:
    """Tell ``RelevanceRules`` what to do at the modules of a class.

    Parameters
    ----------
    name : str or type
        Class, its name, or a pattern such as ``"*RMSNorm"``; classes derived from it count too.
    function : callable, optional
        From (module, input, output) to a tensor whose gradient is the relevance; its value is not
        used. Without one the modules keep their own gradient.
    rule : {"identity", "norm"}, default="identity"
        Under which rule it is in force.

    Raises
    ------
    ParameterError
        If the name is no name, the rule is unknown, or the function cannot be called.

    Examples
    --------
    >>> import torch
    >>> class Square(torch.nn.Module):
    ...     def forward(self, x):
    ...         return x * x
    >>> register_rule(Square, lambda module, x, y: x * x.detach())
    >>> x = torch.tensor([3.0], requires_grad=True)
    >>> network = torch.nn.Sequential(Square())
    >>> with RelevanceRules(network):
    ...     network(x).sum().backward()
    >>> x.grad.tolist()
    [3.0]
    """
    text = name.__name__ if isinstance(name, type) else name
    if not isinstance(text, str) or not text:
        raise ParameterError(f"register_rule: name must be a class or its name; got {name!r}.")
    check_choice(rule, ("identity", "norm"), name="rule", owner="register_rule")
    if function is not None and not callable(function):
        raise ParameterError(f"register_rule: function must be callable; got {function!r}.")
    register(text, Entry("linear") if function is None else Entry(rule, function))


def _with_graph(found: Any, output: Any) -> Any:
    """Return the output with the gradient of what a rule found.

    In single precision its value stays what it was to the last bit. In double precision it is that
    of the rule: norms that round to single on the way would undo the conservation.
    """
    return found if output.dtype == torch.float64 else _Pinned.apply(found, output)


def _with_slope(value: Any, factor: Any, output: Any) -> Any:
    """Return the output with the gradient of ``value * factor``, in the same way."""
    if output.dtype == torch.float64:
        output = (value * factor).detach()
    return _Times.apply(value, factor, output)


def _halved(view: Any) -> Any:
    return _Times.apply(view, _HALF, view)


def _names(found: Sequence[str]) -> tuple[str, ...]:
    return (found,) if isinstance(found, str) else tuple(found)


def _refuse_half(model: nn.Module, allow_half: bool) -> None:
    if allow_half:
        return
    for path, parameter in model.named_parameters():
        if parameter.dtype in _HALF_TYPES:
            raise ParameterError(
                f"RelevanceRules: the model must be in single or double precision; {path!r} is "
                f"{parameter.dtype}, in which relevances lose most of their digits. Call "
                "model.float() first, or give allow_half=True."
            )
