"""A small network that reads a population: mix units, convolve over time, average, decide."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from activome._checks import check_integer, check_number

__all__ = ["PopulationNet"]


class PopulationNet(nn.Module):
    """Read-in over units, convolutions over time, and a linear output on their mean over time.

    The read-in belongs to the units of one animal; what follows, the trunk, knows only the
    read-in's ``embed`` channels and can be moved to other units.

    Parameters
    ----------
    n_units : int
        Units.
    n_classes : int
        Classes.
    embed : int, default=24
        Channels after the read-in.
    channels : sequence of int, default=(32, 32)
        Channels of the convolutions.
    kernel : int, default=3
        Their odd width, in time bins; padded by half of it, so that any number of bins will do.
    dropout : float in [0, 1), default=0.3
        Share of units, and of features, that is left out in training.

    Raises
    ------
    ParameterError
        If a size is not a positive integer, the kernel is even, or ``dropout`` is outside [0, 1).

    Examples
    --------
    >>> import torch
    >>> network = PopulationNet(50, 4)
    >>> network(torch.zeros(2, 50, 10)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        n_units: int,
        n_classes: int,
        *,
        embed: int = 24,
        channels: Sequence[int] = (32, 32),
        kernel: int = 3,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        owner = "PopulationNet"
        sizes = [("n_units", n_units), ("n_classes", n_classes), ("embed", embed)]
        for name, size in (*sizes, *(("channels", width) for width in channels)):
            check_integer(size, name=name, owner=owner, low=1)
        half = check_integer(kernel, name="kernel", owner=owner, low=1) // 2
        check_integer(kernel % 2, name="kernel % 2 (it must be odd)", owner=owner, low=1)
        check_number(dropout, name="dropout", owner=owner, low=0.0, high=1.0, include_low=True)
        self.drop_units = nn.Dropout(dropout)
        self.readin = nn.Conv1d(n_units, embed, 1)
        widths = [embed, *channels]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv1d(before, after, kernel, padding=half), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.drop_features = nn.Dropout(dropout)
        self.output = nn.Linear(widths[-1], n_classes)

    def features(self, responses: torch.Tensor) -> torch.Tensor:
        """Return what the output sees.

        Parameters
        ----------
        responses : Tensor, shape (n_trials, n_units, n_times)
            Responses.

        Returns
        -------
        Tensor, shape (n_trials, n_features)
            Mean over time of the last convolution.
        """
        hidden: torch.Tensor = self.trunk(self.readin(self.drop_units(responses)))
        return hidden.mean(dim=2)

    def forward(self, responses: torch.Tensor) -> torch.Tensor:
        """Return one logit per class.

        Parameters
        ----------
        responses : Tensor, shape (n_trials, n_units, n_times)
            Responses.

        Returns
        -------
        Tensor, shape (n_trials, n_classes)
            Logits.
        """
        logits: torch.Tensor = self.output(self.drop_features(self.features(responses)))
        return logits
