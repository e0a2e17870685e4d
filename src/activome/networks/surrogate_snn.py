"""A classifier of leaky spiking cells that learns through surrogate gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from activome._checks import check_choice, check_integer, check_number
from activome._random import RandomState, integer_seed
from activome.networks._spike_classifier import (
    SpikeClassifier,
    check_training,
    in_batches,
    timed,
    train,
)
from activome.networks._step_inputs import ENCODINGS, Encoding, check_unit_interval, encode
from activome.networks.operation_count import OperationCount
from activome.networks.spiking.surrogate_gradient import (
    Order,
    ResetMode,
    SurrogateSpike,
    lif_forward,
)
from activome.networks.spiking.torch_cells import LeakyReadout
from activome.networks.training import seed_everything

__all__ = ["SurrogateSNN"]

Array = np.ndarray[Any, Any]


class SurrogateSNN(SpikeClassifier):
    """Classify with layers of leaky integrate-and-fire cells, trained through time.

    Per step ``v <- beta v + W x + b``, a spike where ``v >= threshold``, and a reset. Forward the
    step is exact; backward a smooth slope stands in for it. The output is a leaky sum of hidden
    spikes that does not fire, averaged over the steps, and the loss its cross entropy.

    Parameters
    ----------
    hidden : sequence of int, default=(128,)
        Cells of each hidden layer, at least one.
    n_steps : int, default=10
        Steps per sample.
    beta : float in (0, 1), default=0.9
        Share of a voltage that is kept per step, in the output too.
    threshold : float in (0, inf), default=1.0
        Voltage at which a cell fires.
    surrogate : {"fast_sigmoid", "arctan", "triangle"}, default="fast_sigmoid"
        Slope in place of the step, as in ``SurrogateSpike``.
    slope : float in (0, inf), default=25.0
        How fast it falls, per unit of voltage.
    encoding : {"current", "poisson", "latency"}, default="current"
        The input as a constant current; as spikes with chance x in every step; or as one spike,
        the earlier the larger x, and none below 0.01. The last two need x in [0, 1].
    reset : {"subtract", "zero"}, default="subtract"
        Whether a spike lowers the voltage by the threshold, or sets it to 0.
    reset_order : {"immediate", "delayed"}, default="immediate"
        Whether it does so at once, or after the decay of the next step.
    detach_reset : bool, default=True
        Whether gradients pass by the reset instead of through it.
    n_epochs : int, default=12
        Passes over the samples.
    lr : float, default=1e-3
        Learning rate of Adam.
    schedule : {"constant", "cosine"}, default="constant"
        Whether the learning rate stays, or falls to 0 over the training like half a cosine.
    dropout : float in [0, 1), default=0.0
        Chance that a hidden cell is left out for a sample in training, in all steps alike; spikes
        of the others count ``1 / (1 - dropout)``.
    batch_size : int, default=64
        Samples per step of the training; all of them where there are fewer.
    device : str, default="cpu"
        Where to train, a device of torch.
    random_state : int, Generator or None, default=0
        Seed of weights, order of samples, and spikes drawn.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        Classes.
    weights_ : dict of str to ndarray of float32, each of its own shape
        Weights of the network.
    loss_curve_ : ndarray of float64, shape (n_logged,)
        Training loss: of the first batch, and the mean of each pass.
    seed_ : int
        Seed of what is drawn after training.

    Raises
    ------
    ActivityError
        If values are not finite, or outside [0, 1] where spikes code them, or there are fewer than
        two classes.
    ParameterError
        If a parameter is outside its range.

    Notes
    -----
    Gradients run by hand through all steps at once where the reset is detached. Where input spikes
    are drawn, training draws new ones in every pass; afterwards those of a sample depend on the
    seed and the sample alone, so that its class is the same whichever others are shown.

    References
    ----------
    .. [1] A. Tavanaei, M. Ghodrati, S. R. Kheradpisheh, T. Masquelier and A. Maida, "Deep learning
       in spiking neural networks", 2019.
    .. [2] E. O. Neftci, H. Mostafa and F. Zenke, "Surrogate gradient learning in spiking neural
       networks", 2019.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> X = np.repeat(np.eye(2), 5, axis=1)[y] * rng.uniform(0.5, 1.0, (60, 10))
    >>> model = SurrogateSNN((8,), n_epochs=20, batch_size=10, lr=0.01).fit(X, y)
    >>> model.score(X, y), model.spikes(X)["hidden[0]"].shape
    (1.0, (60, 10, 8))
    """

    def __init__(
        self,
        hidden: Sequence[int] = (128,),
        n_steps: int = 10,
        *,
        beta: float = 0.9,
        threshold: float = 1.0,
        surrogate: str = "fast_sigmoid",
        slope: float = 25.0,
        encoding: Encoding = "current",
        reset: ResetMode = "subtract",
        reset_order: Order = "immediate",
        detach_reset: bool = True,
        n_epochs: int = 12,
        lr: float = 1e-3,
        schedule: Literal["constant", "cosine"] = "constant",
        dropout: float = 0.0,
        batch_size: int = 64,
        device: str = "cpu",
        random_state: RandomState = 0,
    ) -> None:
        self.hidden = hidden
        self.n_steps = n_steps
        self.beta = beta
        self.threshold = threshold
        self.surrogate = surrogate
        self.slope = slope
        self.encoding = encoding
        self.reset = reset
        self.reset_order = reset_order
        self.detach_reset = detach_reset
        self.n_epochs = n_epochs
        self.lr = lr
        self.schedule = schedule
        self.dropout = dropout
        self.batch_size = batch_size
        self.device = device
        self.random_state = random_state

    def _check_inputs(self, values: Array, owner: str) -> None:
        self._check_parameters()
        if self.encoding != "current":
            check_unit_interval(values, owner=owner)

    def _check_parameters(self) -> None:
        owner = "SurrogateSNN"
        check_training(self, owner)
        check_integer(len(self.hidden), name="number of hidden layers", owner=owner, low=1)
        check_integer(self.n_steps, name="n_steps", owner=owner, low=1)
        check_number(self.beta, name="beta", owner=owner, low=0.0, high=1.0)
        check_number(self.threshold, name="threshold", owner=owner, low=0.0)
        check_number(self.dropout, name="dropout", owner=owner, low=0.0, high=1.0, include_low=True)
        SurrogateSpike(self.surrogate, self.slope)
        choices: tuple[tuple[str, tuple[str, ...]], ...] = (
            ("encoding", ENCODINGS), ("reset", ("subtract", "zero")),
            ("reset_order", ("immediate", "delayed")),
        )  # fmt: skip
        for name, known in choices:
            check_choice(getattr(self, name), known, name=name, owner=owner)

    def _learn(self, values: Array, codes: Array) -> None:
        self.seed_ = integer_seed(self.random_state)
        with seed_everything(self.seed_):
            network = self._network()

        def loss(model: Any, batch: Any, generator: torch.Generator) -> Any:
            logits = model(*self._inputs(batch[0], generator))
            return nn.functional.cross_entropy(logits, batch[1]), {}

        log = train(
            network,
            loss,
            self._tensors(values, codes),
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            schedule=self.schedule,
            seed=self.seed_,
            device=self.device,
        )
        self.loss_curve_ = np.asarray(log.dataset["loss"].values)
        self.weights_ = {k: v.cpu().numpy() for k, v in network.state_dict().items()}

    def _network(self) -> _LeakyStack:
        sizes = (self.n_features_in_, *self.hidden, self.classes_.size)
        cells = {"alpha": self.beta, "threshold": self.threshold, "reset_mode": self.reset,
                 "order": self.reset_order, "detach_reset": self.detach_reset,
                 "surrogate": SurrogateSpike(self.surrogate, self.slope)}  # fmt: skip
        return _LeakyStack(sizes, self.beta, self.dropout, cells)

    def _inputs(self, values: Tensor, source: torch.Generator | int) -> tuple[Tensor, int]:
        """Return the current of a sample, or its spikes in every step, and the number of steps."""
        if self.encoding == "current":
            return values, self.n_steps
        return encode(values, self.encoding, self.n_steps, source), self.n_steps

    def _run(self, values: Array, read: Any) -> list[Any]:
        """Return what ``read(input, hidden spikes, logits)`` makes of every block of samples."""
        with seed_everything(0):
            # In float64, results do not depend on the number of threads.
            network = self._network().double().eval()
        network.load_state_dict({k: torch.from_numpy(w.copy()) for k, w in self.weights_.items()})

        def run(block: Tensor) -> Any:
            inputs = self._inputs(block, self.seed_)
            layers: list[Tensor] = []
            return read(inputs[0], layers, network(*inputs, layers))

        widest = max(self.n_features_in_, *self.hidden)
        return in_batches(run, values, self.n_steps * widest)

    def _logits(self, values: Array) -> Array:
        return np.concatenate(self._run(values, lambda _, __, logits: logits.numpy()))

    def _rasters(self, values: Array) -> dict[str, Array]:
        def read(inputs: Tensor, layers: list[Tensor], _: Tensor) -> dict[str, Array]:
            named = {f"hidden[{k}]": z for k, z in enumerate(layers)}
            named |= {} if self.encoding == "current" else {"input": inputs}
            return {name: z.transpose(0, 1).numpy().astype(bool) for name, z in named.items()}

        blocks = self._run(values, read)
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    def _operations(self, values: Array) -> OperationCount:
        def read(inputs: Tensor, layers: list[Tensor], _: Tensor) -> list[Array]:
            spiking = layers if self.encoding == "current" else [inputs, *layers]
            return [z.sum(dim=(0, 1)).numpy() for z in spiking]

        blocks, seconds = timed(lambda: self._run(values, read))
        counts = [np.sum(parts, axis=0) / len(values) for parts in zip(*blocks, strict=True)]
        names = [f"hidden[{k}]" for k in range(len(self.hidden))]
        targets = [*self.hidden[1:], self.classes_.size]
        analog = self.n_features_in_ * self.hidden[0]
        if self.encoding != "current":
            names, targets, analog = ["input", *names], [self.hidden[0], *targets], 0
        return OperationCount(
            multiply_accumulate=float(analog),
            accumulate=float(sum(n.sum() * out for n, out in zip(counts, targets, strict=True))),
            spikes_per_unit=dict(zip(names, counts, strict=True)),
            steps=self.n_steps,
            seconds=seconds / len(values),
            leak_multiply=float(self.n_steps * (sum(self.hidden) + self.classes_.size)),
        )


class _LeakyStack(nn.Module):
    """Linear maps with leaky cells behind them, and a leaky output that does not fire."""

    def __init__(
        self, sizes: Sequence[int], beta: float, dropout: float, cells: dict[str, Any]
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes[:-1]))
        self.readout = LeakyReadout(sizes[-2], sizes[-1], tau=-1.0 / math.log(beta))
        self._dropout, self._cells = dropout, cells

    def forward(self, inputs: Tensor, n_steps: int, spikes: list[Tensor] | None = None) -> Tensor:
        """Return logits; a constant input (n_samples, n_inputs) meets its weights once."""
        z = inputs
        for layer in self.layers:
            current = layer(z)
            if current.ndim == 2:
                current = current.expand(n_steps, *current.shape)
            z = lif_forward(current, **self._cells)
            if spikes is not None:
                spikes.append(z)
            if self.training and self._dropout:
                # One draw for all steps: a cell that came and went would only be noisy.
                z = z * nn.functional.dropout(torch.ones_like(z[0]), self._dropout)
        logits: Tensor = self.readout(z.transpose(0, 1))
        return logits
