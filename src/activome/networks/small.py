"""Small networks that train on one core: convolutional stacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from activome._checks import check_choice, check_integer
from activome.errors import ParameterError

__all__ = ["SmallCNN"]


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
