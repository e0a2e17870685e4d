"""A layer of units whose synapses have weights and delays, several for each pair."""

from __future__ import annotations

import copy
import math
from typing import Literal, Self

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from activome._checks import check_choice, check_integer, check_memory, check_number
from activome.errors import ActivityError, ParameterError

__all__ = ["HeterogeneousDelayLayer"]

_START_SPREAD, _START_BIAS = 0.02, -2.0


class HeterogeneousDelayLayer(nn.Module):
    """Sum events over space and delays: each unit waits for its own motif in space and time.

    Evidence of class c at pixel (y, x) and bin t is ``b_c`` plus the sum over polarity p, delay d
    and offset (dy, dx) of ``weight[c, p, d, dy, dx] * events[p, t - d, y - dy, x - dx]``. Delays
    line up the spikes of a motif so that they arrive together. With two polarities the layer also
    sees the stream with polarities swapped and takes the larger evidence, as natural contrast has
    no sign.

    Parameters
    ----------
    n_classes : int
        Units at each place.
    n_polarities : int, default=2
        Channels of the events.
    n_delays : int, default=21
        Delays from 0 on, one per bin.
    kernel_size : int, default=17
        Odd width of the patch, pixels.
    stride : int, default=1
        Pixels from place to place.
    polarity_symmetric : bool, default=True
        Take the larger evidence of both signs of contrast; needs two polarities.
    mask : {"cone", "disk"}, optional
        Keep synapses within a circle: of the width of the patch, or of a radius that grows with
        the delay (from 1 pixel for the shortest).
    bias : bool, default=True
        Whether there is a bias.
    padding : {"valid", "same"}, default="valid"
        Places whose whole patch is on the sensor, or all of them with silence outside.

    Attributes
    ----------
    weight : torch.nn.Parameter
        Shape (n_classes, n_polarities, n_delays, kernel_size, kernel_size); index d is the delay
        of d bins, index i the offset ``i - kernel_size // 2``.
    bias : torch.nn.Parameter or None
        Shape (n_classes,).
    kept : torch.Tensor of bool
        Which synapses there are, in the shape of ``weight``.

    Raises
    ------
    ParameterError
        If a parameter is outside its range, or symmetry is wanted of other than two polarities.

    Notes
    -----
    Dense cost: n_delays kernel_size^2 multiply-adds per polarity, class, place and bin. The larger
    of both signs is computed as ``K_e * S + |K_o * D|`` with the sum and difference of polarities
    and of kernels: half the work. Weights start as N(0, 0.02), biases at -2 (our choice).

    References
    ----------
    .. [1] A. Grimaldi and L. U. Perrinet, "Learning heterogeneous delays in a layer of spiking
       neurons for fast motion detection", 2023.

    Examples
    --------
    >>> layer = HeterogeneousDelayLayer(1, n_delays=4, kernel_size=5, bias=False, padding="same")
    >>> _ = layer.weight.data.zero_()
    >>> layer.weight.data[0, 1, 3, 2, 4] = 1.0  # polarity 1, delay 3, dy = 0, dx = 2
    >>> events = torch.zeros(1, 2, 10, 16, 16)
    >>> events[0, 1, 5, 10, 10] = 1.0
    >>> layer(events).detach().nonzero().tolist()  # movie, class, bin, y, x
    [[0, 0, 8, 10, 12]]
    """

    kept: torch.Tensor

    def __init__(
        self,
        n_classes: int,
        n_polarities: int = 2,
        n_delays: int = 21,
        kernel_size: int = 17,
        stride: int = 1,
        *,
        polarity_symmetric: bool = True,
        mask: Literal["cone", "disk"] | None = None,
        bias: bool = True,
        padding: Literal["valid", "same"] = "valid",
    ) -> None:
        super().__init__()
        owner = "HeterogeneousDelayLayer"
        self.n_classes = check_integer(n_classes, name="n_classes", owner=owner, low=1)
        self.n_polarities = check_integer(n_polarities, name="n_polarities", owner=owner, low=1)
        self.n_delays = check_integer(n_delays, name="n_delays", owner=owner, low=1)
        self.kernel_size = check_integer(kernel_size, name="kernel_size", owner=owner, low=1)
        self.stride = check_integer(stride, name="stride", owner=owner, low=1)
        check_choice(padding, ("valid", "same"), name="padding", owner=owner)
        if self.kernel_size % 2 == 0:
            raise ParameterError(f"{owner}: kernel_size must be odd; got {kernel_size}.")
        if polarity_symmetric and n_polarities != 2:
            raise ParameterError(
                f"{owner}: symmetry needs two polarities; there are {n_polarities}. Set "
                "polarity_symmetric=False."
            )
        self.polarity_symmetric, self.padding = polarity_symmetric, padding
        shape = (n_classes, n_polarities, n_delays, kernel_size, kernel_size)
        self.weight = nn.Parameter(_START_SPREAD * torch.randn(shape))
        self.bias = nn.Parameter(torch.full((n_classes,), _START_BIAS)) if bias else None
        self.register_buffer("kept", _mask(mask, n_delays, kernel_size).expand(shape).clone())

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        """Return the evidence of every class at every place and bin.

        Parameters
        ----------
        events : torch.Tensor
            Float (batch, polarity, time, y, x): 1 where an event fell.

        Returns
        -------
        torch.Tensor
            Evidence (batch, class, time, y', x'); bin t depends on bins up to t alone.

        Raises
        ------
        ActivityError
            If the shape does not fit the layer, or the patch is larger than the frame.
        """
        side = self.kernel_size
        if events.ndim != 5 or events.shape[1] != self.n_polarities:
            raise ActivityError(
                "HeterogeneousDelayLayer.forward: events must have shape (batch, "
                f"{self.n_polarities}, time, y, x); got {tuple(events.shape)}."
            )
        if self.padding == "valid" and side > min(events.shape[3:]):
            raise ActivityError(
                f"HeterogeneousDelayLayer.forward: the patch of {side} pixels must fit into the "
                f"frame of {tuple(events.shape[3:])}. Lower kernel_size."
            )
        weight = self.weight * self.kept
        if not self.polarity_symmetric:
            evidence = self._sum(events, weight)
        else:
            both, difference = events.sum(1, keepdim=True), events[:, 1:] - events[:, :1]
            even = (weight[:, 1:] + weight[:, :1]) / 2
            odd = (weight[:, 1:] - weight[:, :1]) / 2
            evidence = self._sum(both, even) + self._sum(difference, odd).abs()
        if self.bias is not None:
            evidence = evidence + self.bias[:, None, None, None]
        return evidence

    def _sum(self, events: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        room = self.kernel_size // 2 if self.padding == "same" else 0
        # Silence before the first bin only: the answer never waits for what comes.
        padded = functional.pad(events, (room, room, room, room, self.n_delays - 1, 0))
        # conv3d correlates: delay and offset run backwards in it.
        return functional.conv3d(
            padded, weight.flip((2, 3, 4)), stride=(1, self.stride, self.stride)
        )

    def places(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows and columns of the sensor the outputs belong to.

        Parameters
        ----------
        shape : tuple of int (n_rows, n_columns)
            Size of the sensor.

        Returns
        -------
        tuple of ndarray of int64, shapes (n_output_rows,) and (n_output_columns,)
            Pixels.
        """
        room = 0 if self.padding == "same" else self.kernel_size // 2
        rows, columns = (np.arange(room, n - room, self.stride) for n in shape)
        return rows, columns

    def synapses(self, threshold: float = 0.0) -> pd.DataFrame:
        """List the synapses of a unit of each class.

        Parameters
        ----------
        threshold : float in [0, inf), default=0.0
            Leave out those whose weight is not above it in size.

        Returns
        -------
        pandas.DataFrame
            Columns class, polarity, delay (bins), dy, dx (pixels) and weight.
        """
        check_number(threshold, name="threshold", owner="synapses", low=0.0, include_low=True)
        weight = (self.weight * self.kept).detach().cpu().numpy()
        index = np.nonzero(np.abs(weight) > threshold)
        middle = self.kernel_size // 2
        return pd.DataFrame(
            {
                "class": index[0],
                "polarity": index[1],
                "delay": index[2],
                "dy": index[3] - middle,
                "dx": index[4] - middle,
                "weight": weight[index],
            }
        )

    def fan_out(self, shape: tuple[int, int], *, dt: float = 1e-3) -> pd.DataFrame:
        """List every synapse from pixels to outputs, for ``delay_events``.

        Parameters
        ----------
        shape : tuple of int (n_rows, n_columns)
            Size of the sensor.
        dt : float in (0, inf), default=1e-3
            Bin, s.

        Returns
        -------
        pandas.DataFrame
            Columns source, ``(polarity * n_rows + y) * n_columns + x``; target,
            ``(class * n_output_rows + y') * n_output_columns + x'``; delay (s) and weight. Both
            signs of contrast are not in it: for a symmetric layer take the larger of the sums over
            the stream and over the stream with polarities swapped.

        Raises
        ------
        ActivityError
            If the patch is larger than the sensor.
        ParameterError
            If ``dt`` is not positive.
        ResourceError
            If the list would take more than 2 GiB.
        """
        check_number(dt, name="dt", owner="fan_out", low=0.0)
        if self.padding == "valid" and self.kernel_size > min(shape):
            raise ActivityError(
                f"HeterogeneousDelayLayer.fan_out: the patch of {self.kernel_size} pixels must fit "
                f"onto the sensor of {tuple(shape)}. Lower kernel_size."
            )
        table = self.synapses()
        rows, columns = self.places(shape)
        n_places = rows.size * columns.size
        check_memory(
            100.0 * len(table) * n_places,
            owner="HeterogeneousDelayLayer.fan_out",
            what=f"{len(table) * n_places} synapses",
            cure="Prune the layer first.",
        )
        place_y, place_x = (a.ravel() for a in np.meshgrid(rows, columns, indexing="ij"))
        y = place_y[None, :] - table["dy"].to_numpy()[:, None]
        x = place_x[None, :] - table["dx"].to_numpy()[:, None]
        held = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
        polarity = table["polarity"].to_numpy()[:, None]
        source = (polarity * shape[0] + y) * shape[1] + x
        target = table["class"].to_numpy()[:, None] * n_places + np.arange(n_places)
        delay = np.broadcast_to(table["delay"].to_numpy()[:, None] * dt, held.shape)
        weight = np.broadcast_to(table["weight"].to_numpy(np.float64)[:, None], held.shape)
        return pd.DataFrame(
            {
                "source": source[held],
                "target": target[held],
                "delay": delay[held],
                "weight": weight[held],
            }
        )

    def prune(self, fraction: float) -> Self:
        """Return a layer with the strongest synapses alone.

        Parameters
        ----------
        fraction : float in (0, 1]
            Share of the synapses to keep: ``ceil(fraction * n)`` of largest size, the first ones
            of equal size.

        Returns
        -------
        HeterogeneousDelayLayer
            A copy; the others are gone from its ``kept`` and do not come back by training.

        Raises
        ------
        ParameterError
            If the share is out of range.
        """
        check_number(fraction, name="fraction", owner="prune", low=0.0, high=1.0, include_high=True)
        layer = copy.deepcopy(self)
        held = self.kept.flatten().nonzero()[:, 0]
        n = math.ceil(round(fraction * held.numel(), 9))
        size = self.weight.detach().flatten()[held].abs()
        chosen = held[torch.argsort(size, descending=True, stable=True)[:n]]
        kept = torch.zeros_like(self.kept).flatten()
        kept[chosen] = True
        layer.kept = kept.reshape(self.kept.shape)
        return layer

    def shorten(self, n_delays: int) -> Self:
        """Return a layer with the shortest delays alone.

        Parameters
        ----------
        n_delays : int
            Delays to keep, from 0 on.

        Returns
        -------
        HeterogeneousDelayLayer
            A copy with fewer delays.

        Raises
        ------
        ParameterError
            If there are not so many.
        """
        n = check_integer(n_delays, name="n_delays", owner="shorten", low=1, high=self.n_delays)
        layer = copy.deepcopy(self)
        layer.n_delays = n
        layer.weight = nn.Parameter(self.weight.detach()[:, :, :n].clone())
        layer.kept = self.kept[:, :, :n].clone()
        return layer


def _mask(mask: str | None, n_delays: int, side: int) -> torch.Tensor:
    """Return which synapses are within the circle, bool (n_delays, side, side)."""
    if mask is None:
        return torch.ones(n_delays, side, side, dtype=torch.bool)
    check_choice(mask, ("cone", "disk"), name="mask", owner="HeterogeneousDelayLayer")
    offset = torch.arange(side) - side // 2
    distance = torch.hypot(*(o.double() for o in torch.meshgrid(offset, offset, indexing="ij")))
    radius = torch.full((n_delays,), side / 2, dtype=torch.float64)
    if mask == "cone":
        radius = torch.linspace(1.0, side / 2, n_delays, dtype=torch.float64)
    return distance <= radius[:, None, None]
