"""Small networks that train on one core: stacks of linear maps or convolutions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from activome._checks import check_choice, check_integer
from activome.errors import ParameterError

__all__ = ["MLP", "SmallCNN"]


class MLP(nn.Module):
    """Stack of linear maps with a nonlinearity after all but the last.

    Parameters
    ----------
    d_in : int
        Size of the input; further axes are flattened.
    hidden : sequence of int, default=(100, 100)
        Units of each hidden layer; may be empty.
    d_out : int, default=10
        Number of logits.
    activation : {"relu", "tanh", "gelu", "silu"}, default="relu"
        Nonlinearity.
    batch_norm : bool, default=False
        Whether each hidden layer is normalised over the batch before the nonlinearity.
    bias : bool, default=True
        Whether the linear maps have a bias.

    Raises
    ------
    ParameterError
        If a size is not a positive integer, or the activation is unknown.

    Examples
    --------
    >>> import torch
    >>> network = MLP(4, (8, 3), 2)
    >>> tuple(network(torch.zeros(5, 4)).shape), network.units()
    ((5, 2), ['hidden[0]', 'hidden[1]'])
    """

    tap_sites: ClassVar[Mapping[str, Any]] = {
        "pre": "layers.*#out",
        "hidden": "nonlinear.*#out",
        "logits": "head#out",
    }

    def __init__(
        self,
        d_in: int,
        hidden: Sequence[int] = (100, 100),
        d_out: int = 10,
        *,
        activation: str = "relu",
        batch_norm: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_choice(activation, _ACTIVATIONS, name="activation", owner="MLP")
        check_integer(d_in, name="d_in", owner="MLP", low=1)
        check_integer(d_out, name="d_out", owner="MLP", low=1)
        widths = [check_integer(n, name="hidden", owner="MLP", low=1) for n in hidden]
        sizes = [d_in, *widths]
        self.layers = nn.ModuleList(
            nn.Linear(a, b, bias=bias) for a, b in itertools.pairwise(sizes)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(n) if batch_norm else nn.Identity() for n in widths
        )
        self.nonlinear = nn.ModuleList(_ACTIVATIONS[activation]() for _ in widths)
        self.head = nn.Linear(sizes[-1], d_out, bias=bias)

    def units(self) -> list[str]:
        """Return the sites of the hidden units, in order.

        Returns
        -------
        list of str
            Names as ``Taps`` takes them.
        """
        return [f"hidden[{number}]" for number in range(len(self.nonlinear))]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Parameters
        ----------
        inputs : Tensor of float32, shape (n_samples, ...)
            Input.

        Returns
        -------
        Tensor of float32, shape (n_samples, d_out)
            Logits.
        """
        x = inputs.flatten(1)
        for layer, norm, nonlinear in zip(self.layers, self.norms, self.nonlinear, strict=True):
            x = nonlinear(norm(layer(x)))
        logits: torch.Tensor = self.head(x)
        return logits


_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class SmallCNN(nn.Module):
    """Stack of convolutions with rectifiers, for images of a few pixels.

    Convolutions are padded by half their kernel, so that size falls by the stride alone. The head
    turns the last map into logits: "linear" flattens it into a linear layer; "mean" takes
    ``d_out`` further maps (a 1 x 1 convolution) and averages each over space, so that every stage
    is a convolution.

    Parameters
    ----------
    channels : sequence of int, default=(16, 32)
        Maps of each convolution.
    d_out : int, default=10
        Number of logits.
    in_channels : int, default=1
        Maps of the input.
    image_size : int, default=28
        Height and width of the input in pixels; only the linear head depends on it.
    kernel_size : int or sequence of int, default=5
        Odd kernel of each convolution.
    stride : int or sequence of int, default=2
        Stride of each convolution.
    head : {"linear", "mean"}, default="linear"
        How maps become logits.

    Raises
    ------
    ParameterError
        If a size is not a positive integer, a kernel is even, or a list has another length than
        ``channels``.

    Examples
    --------
    >>> import torch
    >>> network = SmallCNN((4, 8), 10, image_size=8, kernel_size=3, stride=(1, 2), head="mean")
    >>> [tuple(a.shape) for a in network.activations(torch.zeros(2, 1, 8, 8)).values()]
    [(2, 4, 8, 8), (2, 8, 4, 4), (2, 10, 4, 4)]
    """

    def __init__(
        self,
        channels: Sequence[int] = (16, 32),
        d_out: int = 10,
        *,
        in_channels: int = 1,
        image_size: int = 28,
        kernel_size: int | Sequence[int] = 5,
        stride: int | Sequence[int] = 2,
        head: str = "linear",
    ) -> None:
        super().__init__()
        check_choice(head, ("linear", "mean"), name="head", owner="SmallCNN")
        widths = [
            check_integer(n, name="channels", owner="SmallCNN", low=1)
            for n in (in_channels, *channels)
        ]
        check_integer(d_out, name="d_out", owner="SmallCNN", low=1)
        kernels = _per_layer(kernel_size, len(widths) - 1, "kernel_size")
        strides = _per_layer(stride, len(widths) - 1, "stride")
        if any(kernel % 2 == 0 for kernel in kernels):
            raise ParameterError(f"SmallCNN: kernel_size must be odd; got {kernel_size}.")
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, kernel, step, padding=kernel // 2)
            for a, b, kernel, step in zip(widths[:-1], widths[1:], kernels, strides, strict=True)
        )
        size = check_integer(image_size, name="image_size", owner="SmallCNN", low=1)
        for step in strides:
            size = -(-size // step)
        self.head: nn.Module = (
            nn.Conv2d(widths[-1], d_out, 1)
            if head == "mean"
            else nn.Linear(widths[-1] * size * size, d_out)
        )

    def activations(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what each stage gives.

        Parameters
        ----------
        images : Tensor of float32, shape (n_images, in_channels, height, width)
            Input.

        Returns
        -------
        dict of str to Tensor
            "layer1", "layer2" ...: the rectified maps (n_images, channels, height, width); last
            "head": the maps that are averaged, or the logits of a linear head.
        """
        found: dict[str, torch.Tensor] = {}
        x = images
        for number, convolution in enumerate(self.convolutions, start=1):
            x = torch.relu(convolution(x))
            found[f"layer{number}"] = x
        found["head"] = self.head(x if isinstance(self.head, nn.Conv2d) else x.flatten(1))
        return found

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Parameters
        ----------
        images : Tensor of float32, shape (n_images, in_channels, height, width)
            Input.

        Returns
        -------
        Tensor of float32, shape (n_images, d_out)
            Logits.
        """
        last = self.activations(images)["head"]
        return last.mean((2, 3)) if last.ndim == 4 else last


def _per_layer(value: int | Sequence[int], n_layers: int, name: str) -> list[int]:
    values = [value] * n_layers if isinstance(value, int) else list(value)
    if len(values) != n_layers:
        raise ParameterError(
            f"SmallCNN: {name} must be one number, or one for each of the {n_layers} convolutions; "
            f"got {len(values)}."
        )
    return [check_integer(n, name=name, owner="SmallCNN", low=1) for n in values]
