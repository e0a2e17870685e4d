"""Bricks: parts that are added to a trained network without touching its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import nn

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, integer_seed
from activome.errors import ParameterError
from activome.networks._brick_parts import (
    Paths,
    ends,
    fingerprint,
    like,
    linear_of,
    linear_paths,
    matching,
    require_linear,
    uniform,
)

__all__ = ["AdapterBrick", "Brick", "LoRABrick", "NeuronBrick"]


class Brick(nn.Module):
    """Base of bricks: which modules of which network they act on.

    Parameters
    ----------
    model : torch.nn.Module
        The network it is for; nothing of it is kept.
    paths : str or sequence of str
        Dotted paths of modules; ``*`` stands for any part, such as "blocks.*.attention.query".

    Attributes
    ----------
    paths : tuple of str
        The modules, in the order of the network.
    base : str
        Checksum of the weights of these modules: a brick belongs to one network.

    Raises
    ------
    ParameterError
        If a path matches no module.
    NotImplementedError
        If a subclass does not say what it adds.
    """

    def __init__(self, model: nn.Module, paths: Paths) -> None:
        super().__init__()
        self.paths = matching(model, paths, type(self).__name__)
        self.base = fingerprint(model, self.paths)

    def attach(self, model: nn.Module, weight: float) -> list[Any]:
        """Put the brick to work, and return the handles with which to remove it.

        Parameters
        ----------
        model : torch.nn.Module
            The network.
        weight : float
            How many times its effect is added.

        Returns
        -------
        list of torch.utils.hooks.RemovableHandle
            One per module.

        Raises
        ------
        NotImplementedError
            If a subclass does not say what it adds.
        """
        hooks = [self._hook(place, weight) for place in range(len(self.paths))]
        return [
            model.get_submodule(path).register_forward_hook(hook)
            for path, hook in zip(self.paths, hooks, strict=True)
        ]

    def _hook(self, place: int, weight: float) -> Callable[..., Any]:
        def add(_: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
            return out + weight * self._effect(place, args[0], out)

        return add

    def _effect(self, place: int, inputs: Any, out: Any) -> Any:
        """Return what the brick adds to the output of one of its modules."""
        raise NotImplementedError

    @classmethod
    def combined(cls, bricks: Sequence[Self], weights: Sequence[float], method: str) -> Self:
        """Return one brick from several of the same kind and base.

        Parameters
        ----------
        bricks : sequence of Brick
            At least one.
        weights : sequence of float
            One per brick; a negative one subtracts.
        method : {"effects", "parameters"}
            "effects": the new brick adds the weighted sum of what they add. "parameters": its
            parameters are the weighted sum of theirs, which must have the same shapes.

        Returns
        -------
        Brick
            Of the same kind.

        Raises
        ------
        ParameterError
            If the shapes differ with "parameters".
        NotImplementedError
            If a subclass does not say what it adds.
        """
        # Neurons are there or not: a brick of them has no parameters to add.
        if method == "effects" or not any(True for _ in bricks[0].parameters()):
            return cls._sum_of_effects(bricks, weights)
        shapes = [[tuple(p.shape) for p in brick.parameters()] for brick in bricks]
        if any(shape != shapes[0] for shape in shapes):
            raise ParameterError(
                f"{cls.__name__}: parameters of one shape are needed to add them; got "
                f"{shapes[0][0]} and {next(s[0] for s in shapes if s != shapes[0])}. "
                "Merge with method='effects'."
            )
        result = bricks[0]._blank()
        with torch.no_grad():
            rows = zip(*(brick.parameters() for brick in bricks), strict=True)
            for target, parts in zip(result.parameters(), rows, strict=True):
                target.copy_(sum(w * part for w, part in zip(weights, parts, strict=True)))
        return result

    @classmethod
    def _sum_of_effects(cls, bricks: Sequence[Self], weights: Sequence[float]) -> Self:
        raise NotImplementedError

    def _blank(self) -> Self:
        """Return a brick of the same sizes whose parameters are to be filled."""
        return copy.deepcopy(self)


class LoRABrick(Brick):
    """Change of low rank to linear maps: ``W x + scale B A x``, with B zero at first.

    Parameters
    ----------
    model : torch.nn.Module
        The network it is for.
    paths : str or sequence of str
        Linear maps, as in ``Brick``; of what a ``*`` stands for, other modules are left out.
    rank : int, default=4
        Rank of the change.
    alpha : float, optional
        The change is scaled by ``alpha / rank``; by default not at all.
    random_state : int, Generator or None, default=0
        Seed of A.

    Attributes
    ----------
    down, up : torch.nn.ParameterList
        A of shape (rank, n_inputs) and B of shape (n_outputs, rank), one per path.
    scale : float
        Factor of the change.

    Raises
    ------
    ParameterError
        If a path matches no module or no linear map, or a number is out of range.

    References
    ----------
    .. [1] E. J. Hu et al., "LoRA: low-rank adaptation of large language models", 2022.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(3, 2))
    >>> brick = LoRABrick(network, "0", rank=1)
    >>> brick.down[0].shape, bool(brick.delta("0").any())
    (torch.Size([1, 3]), False)
    """

    def __init__(
        self,
        model: nn.Module,
        paths: Paths,
        rank: int = 4,
        *,
        alpha: float | None = None,
        random_state: RandomState = 0,
    ) -> None:
        super().__init__(model, linear_paths(model, paths, "LoRABrick"))
        rank = check_integer(rank, name="rank", owner="LoRABrick", low=1)
        if alpha is not None:
            check_number(alpha, name="alpha", owner="LoRABrick", low=0.0)
        self.scale = 1.0 if alpha is None else alpha / rank
        shapes = [require_linear(model, path, "LoRABrick") for path in self.paths]
        generator = torch.Generator().manual_seed(integer_seed(random_state))
        kind = like(model, self.paths)
        self.down = nn.ParameterList(uniform(rank, n_in, generator, kind) for n_in, _ in shapes)
        self.up = nn.ParameterList(torch.zeros(n_out, rank, **kind) for _, n_out in shapes)

    def delta(self, path: str) -> torch.Tensor:
        """Return the change of the weights of one map.

        Parameters
        ----------
        path : str
            One of ``paths``.

        Returns
        -------
        Tensor, shape (n_outputs, n_inputs)
            ``scale B A``.

        Raises
        ------
        ParameterError
            If the brick does not act on the path.
        """
        check_choice(path, self.paths, name="path", owner="LoRABrick.delta")
        place = self.paths.index(path)
        return self.scale * self.up[place] @ self.down[place]

    def _effect(self, place: int, inputs: Any, out: Any) -> Any:
        low = nn.functional.linear(inputs, self.down[place])
        return self.scale * nn.functional.linear(low, self.up[place])

    @classmethod
    def _sum_of_effects(cls, bricks: Sequence[Self], weights: Sequence[float]) -> Self:
        result = bricks[0]._blank()
        result.scale = 1.0
        for place in range(len(result.paths)):
            down = torch.cat([brick.down[place].detach() for brick in bricks])
            up = torch.cat(
                [w * b.scale * b.up[place].detach() for w, b in zip(weights, bricks, strict=True)],
                dim=1,
            )
            result.down[place], result.up[place] = nn.Parameter(down), nn.Parameter(up)
        return result


class AdapterBrick(Brick):
    """Small network beside or behind modules: ``out + up gelu(down x)``, with up zero at first.

    Behind a module (the classic adapter) x is its output; beside it (``parallel``) x is its input.
    Beside an MLP this is the same as new hidden neurons whose output columns are zero.

    Parameters
    ----------
    model : torch.nn.Module
        The network it is for.
    paths : str or sequence of str
        Modules that take and give one tensor and hold linear maps, as in ``Brick``.
    width : int, default=16
        Hidden neurons of the adapter.
    parallel : bool, default=False
        Whether it is beside the module.
    random_state : int, Generator or None, default=0
        Seed of the weights into the hidden neurons.

    Attributes
    ----------
    down, up : torch.nn.ModuleList
        Linear maps into and out of the hidden neurons, one per path.

    Raises
    ------
    ParameterError
        If a path matches no module, a module holds no linear map, or a number is out of range.

    References
    ----------
    .. [1] N. Houlsby et al., "Parameter-efficient transfer learning for NLP", 2019.
    """

    def __init__(
        self,
        model: nn.Module,
        paths: Paths,
        width: int = 16,
        *,
        parallel: bool = False,
        random_state: RandomState = 0,
    ) -> None:
        super().__init__(model, paths)
        width = check_integer(width, name="width", owner="AdapterBrick", low=1)
        self.parallel = parallel
        generator = torch.Generator().manual_seed(integer_seed(random_state))
        kind = like(model, self.paths)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for path in self.paths:
            n_in, n_out = ends(model, path)
            n_in = n_in if parallel else n_out
            self.down.append(linear_of(uniform(width, n_in, generator, kind)))
            self.up.append(linear_of(torch.zeros(n_out, width, **kind)))

    def _effect(self, place: int, inputs: Any, out: Any) -> Any:
        hidden = self.down[place](inputs if self.parallel else out)
        return self.up[place](nn.functional.gelu(hidden))

    @classmethod
    def _sum_of_effects(cls, bricks: Sequence[Self], weights: Sequence[float]) -> Self:
        if any(brick.parallel != bricks[0].parallel for brick in bricks):
            raise ParameterError("AdapterBrick: bricks beside and behind a module do not merge.")
        result = bricks[0]._blank()
        for place in range(len(result.paths)):
            down: Any = [brick.down[place] for brick in bricks]
            up: Any = [brick.up[place] for brick in bricks]
            pairs = list(zip(weights, up, strict=True))
            result.down[place] = linear_of(
                torch.cat([one.weight for one in down]), torch.cat([one.bias for one in down])
            )
            result.up[place] = linear_of(
                torch.cat([w * one.weight for w, one in pairs], dim=1),
                sum(w * one.bias for w, one in pairs),
            )
        return result


class NeuronBrick(Brick):
    """Neurons that a network has: a brick that emerged in training, given by masks.

    Where such bricks are active, the hidden neurons of their modules that are in none of them are
    off.

    Parameters
    ----------
    model : torch.nn.Module
        The network it is for.
    masks : mapping of str to array-like of bool, shape (n_inputs,)
        For the path of each map that reads hidden neurons, such as "blocks.0.mlp.down", the neurons
        of the brick.

    Raises
    ------
    ParameterError
        If a path is no linear map, or a mask does not fit it.
    """

    def __init__(self, model: nn.Module, masks: Mapping[str, Any]) -> None:
        super().__init__(model, list(masks))
        for place, path in enumerate(self.paths):
            n_in, _ = require_linear(model, path, "NeuronBrick")
            if path not in masks:
                raise ParameterError("NeuronBrick: paths of masks must be written out, without *.")
            mask = torch.as_tensor(masks[path])
            if mask.dtype != torch.bool or mask.shape != (n_in,):
                raise ParameterError(
                    f"NeuronBrick: the mask of {path!r} must be boolean of shape ({n_in},); got "
                    f"{mask.dtype} of shape {tuple(mask.shape)}."
                )
            self.register_buffer(f"mask_{place}", mask.clone())

    def mask(self, path: str) -> torch.Tensor:
        """Return the neurons of the brick at one map.

        Parameters
        ----------
        path : str
            One of ``paths``.

        Returns
        -------
        Tensor of bool, shape (n_inputs,)
            True for its neurons.

        Raises
        ------
        ParameterError
            If the brick has none there.
        """
        check_choice(path, self.paths, name="path", owner="NeuronBrick.mask")
        return self.get_buffer(f"mask_{self.paths.index(path)}")

    @classmethod
    def _sum_of_effects(cls, bricks: Sequence[Self], weights: Sequence[float]) -> Self:
        """Return the neurons of bricks of positive weight, less those of negative weight."""
        result = bricks[0]._blank()
        for place, path in enumerate(result.paths):
            chosen = torch.zeros_like(bricks[0].mask(path))
            for brick, weight in zip(bricks, weights, strict=True):
                chosen |= brick.mask(path) & (weight > 0)
            for brick, weight in zip(bricks, weights, strict=True):
                chosen &= ~(brick.mask(path) & (weight < 0))
            setattr(result, f"mask_{place}", chosen)
        return result
