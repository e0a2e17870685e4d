"""The training loop: against a loop by hand, reproducible, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from activome.errors import ActivityError, ParameterError, StoreError

torch = pytest.importorskip("torch", reason="torch is not installed")

from activome.networks.training import (  # noqa: E402  # only where torch is installed
    StopTraining,
    TrainConfig,
    Trainer,
    TrainingDiverged,
    log_spaced,
    seed_everything,
)
from activome.networks.transformer import TinyGPT  # noqa: E402


def data(n: int = 100) -> tuple[Any, Any]:
    """Return a linear problem."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=generator)
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5]])


def network(seed: int = 0) -> Any:
    """Return a small network with dropout."""
    with seed_everything(seed):
        return torch.nn.Sequential(
            torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1)
        )


def loss(model: Any, batch: Any, generator: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return the squared error."""
    error = ((model(batch[0]) - batch[1]) ** 2).mean()
    return error, {"root": float(error.detach()) ** 0.5}


def weights(model: Any) -> np.ndarray:
    """Return all weights in one row."""
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


def test_full_batch_sgd_equals_a_loop_by_hand() -> None:
    x, y = data()
    with seed_everything(1):
        ours, theirs = torch.nn.Linear(3, 1), torch.nn.Linear(3, 1)
    theirs.load_state_dict(ours.state_dict())
    config = TrainConfig(steps=20, batch_size=None, lr=0.1, optimizer="sgd", eval_at=1)
    log = Trainer(ours, loss, config).fit((x, y))
    errors = []
    for _ in range(21):
        error = ((theirs(x) - y) ** 2).mean()
        errors.append(error.item())
        theirs.zero_grad()
        error.backward()
        if len(errors) <= 20:
            with torch.no_grad():
                for parameter in theirs.parameters():
                    parameter -= 0.1 * parameter.grad
    np.testing.assert_allclose(log.dataset.loss, errors, rtol=1e-5)
    np.testing.assert_allclose(weights(ours), weights(theirs), rtol=1e-5)
    np.testing.assert_allclose(log.dataset.root, np.sqrt(errors), rtol=1e-5)


def test_one_seed_gives_equal_weights_whatever_is_evaluated() -> None:
    def fit(seed: int, eval_at: Any) -> np.ndarray:
        model = network()
        Trainer(model, loss, TrainConfig(steps=30, seed=seed, eval_at=eval_at)).fit(data())
        return weights(model)

    first = fit(3, 100)
    torch.manual_seed(99)
    np.testing.assert_array_equal(first, fit(3, 1))
    assert not np.array_equal(first, fit(4, 100))


def test_global_state_is_left_alone() -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    Trainer(network(), loss, TrainConfig(steps=2)).fit(data())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_batches_cover_the_data_without_repeats() -> None:
    seen: list[list[float]] = []

    def note(model: Any, batch: Any, generator: Any) -> tuple[Any, Mapping[str, Any]]:
        seen.append(batch[0][:, 0].tolist())
        return loss(model, batch, generator)

    x, y = data(100)
    Trainer(network(), note, TrainConfig(steps=2, batch_size=30)).fit((x, y))
    values = [value for batch in seen for value in batch]
    assert len(seen) == 3
    assert len(set(values)) == 90


def test_metrics_are_taken_without_gradient_in_evaluation_mode() -> None:
    class Metrics:
        dims: dict[str, tuple[str, ...]] = {"weight": ("input",)}  # noqa: RUF012

        def __call__(self, model: Any, step: int) -> dict[str, Any]:
            assert not model.training
            assert not torch.is_grad_enabled()
            return {"weight": model[0].weight[0].numpy().copy(), "step_squared": step**2}

    model = network()
    log = Trainer(model, loss, TrainConfig(steps=7, eval_at=[3]), metrics=Metrics()).fit(data())
    assert log.dataset.step.values.tolist() == [0, 3, 7]
    assert log.dataset.weight.dims == ("step", "input")
    assert log.dataset.step_squared.values.tolist() == [0, 9, 49]
    assert log.seconds > 0
    assert log.first(lambda d: d.step_squared > 5) == 3
    assert log.first(lambda d: d.step_squared > 50) is None


def test_stops_when_told_to() -> None:
    def callback(trainer: Trainer, step: int, values: Mapping[str, Any]) -> None:
        if step == 4:
            raise StopTraining

    config = TrainConfig(steps=50, eval_at=2)
    log = Trainer(network(), loss, config, callbacks=[callback]).fit(data())
    assert log.dataset.step.values.tolist() == [0, 2, 4]
    config = TrainConfig(steps=50, eval_at=lambda step: step == 5, stop=lambda m: m["loss"] < 1e9)
    assert Trainer(network(), loss, config).fit(data()).dataset.step.values.tolist() == [0]


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("warmup:4", [0.25, 0.5, 0.75, 1, 1]),
        ("step:every=2,gamma=0.1", [1, 1, 0.1, 0.1, 0.01]),
        ("cosine", [1, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2, 0]),
        ("cosine:warmup=2", [0.5, 1, 1, 0.5, 0]),
        (lambda step: 2.0 * step, [0, 2, 4, 6, 8]),
    ],
)
def test_schedules(schedule: Any, factors: list[float]) -> None:
    rates: list[float] = []

    def callback(trainer: Trainer, step: int, values: Mapping[str, Any]) -> None:
        rates.append(trainer.scheduler.get_last_lr()[0])

    config = TrainConfig(steps=4, lr=0.01, schedule=schedule, eval_at=1)
    Trainer(network(), loss, config, callbacks=[callback]).fit(data())
    np.testing.assert_allclose(rates, 0.01 * np.array(factors), atol=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", torch.optim.RMSprop])
def test_optimizers_and_samplers_learn(optimizer: Any) -> None:
    x, y = data()

    def sample(generator: Any) -> tuple[Any, Any]:
        chosen = torch.randint(100, (32,), generator=generator)
        return x[chosen], y[chosen]

    config = TrainConfig(steps=150, lr=0.02, optimizer=optimizer, momentum=0.5, grad_clip=5.0)
    losses = Trainer(torch.nn.Linear(3, 1), loss, config).fit(sample).dataset.loss
    assert losses[-1] < 0.5 * losses[0]


def test_refuses() -> None:
    x, y = data()
    refused: list[tuple[dict[str, Any], str]] = [
        ({"steps": 0}, "steps"),
        ({"steps": 1, "lr": -1.0}, "lr"),
        ({"steps": 1, "optimizer": "adamm"}, "Did you mean 'adam"),
        ({"steps": 1, "schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"steps": 1, "schedule": "cosine:warm=3"}, "known: warmup"),
        ({"steps": 1, "schedule": "warmup:soon"}, "needs numbers"),
        ({"steps": 1, "schedule": "warmup:-2"}, "finite numbers"),
    ]
    for fields, message in refused:
        with pytest.raises(ParameterError, match=message):
            Trainer(network(), loss, TrainConfig(**fields))
    config = TrainConfig(steps=3)
    with pytest.raises(ActivityError, match="batch of 64 needs as many samples; got 10"):
        Trainer(network(), loss, config).fit((x[:10], y[:10]))
    with pytest.raises(ActivityError, match="one row per sample"):
        Trainer(network(), loss, config).fit((x, y[:5]))
    with pytest.raises(ActivityError, match="tensor 0 of the data must be finite"):
        Trainer(network(), loss, config).fit((x * float("nan"), y))
    diverging = TrainConfig(steps=400, lr=1e6, optimizer="sgd")
    with pytest.raises(TrainingDiverged, match="at step"):
        Trainer(network(), loss, diverging).fit((x, y))


def test_log_spaced_steps() -> None:
    assert log_spaced(3, 100) == [0, 1, 10, 100]
    with pytest.raises(ParameterError, match="last"):
        log_spaced(3, 0)


def language_model(seed: int = 0) -> Any:
    """Return a small transformer."""
    with seed_everything(seed):
        return TinyGPT(13, 8, d_model=16, n_heads=2, n_layers=1)


def next_token(model: Any, batch: Any, generator: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return the loss of the next token, with noise of its own."""
    logits = model(batch[0][:, :-1]).flatten(0, 1)
    drawn = torch.rand(1, generator=generator).item()
    return torch.nn.functional.cross_entropy(logits, batch[0][:, 1:].flatten()), {"drawn": drawn}


@pytest.mark.parametrize("where", ["memory", "folder"])
@pytest.mark.parametrize("source", ["tensors", "sampler", "dropout"])
def test_resumes_bit_for_bit(where: str, source: str, tmp_path: Any) -> None:
    tokens = torch.randint(13, (50, 9), generator=torch.Generator().manual_seed(5))

    def sample(generator: Any) -> Any:
        return (tokens[torch.randint(50, (16,), generator=generator)],)

    inputs: Any = {"tensors": (tokens,), "sampler": sample, "dropout": data(50)}[source]
    build, objective = (network, loss) if source == "dropout" else (language_model, next_token)
    folder = tmp_path / "kept" if where == "folder" else None
    config = TrainConfig(
        steps=30,
        batch_size=16,
        lr=0.01,
        optimizer="adamw",
        weight_decay=0.1,
        schedule="cosine:warmup=5",
        eval_at=10,
        checkpoint_at=[0, 17],
    )
    whole = build()
    log = Trainer(whole, objective, config, checkpoint_dir=folder).fit(inputs)
    assert list(log.checkpoints) == [0, 17]
    broken = build(1)
    trainer = Trainer(broken, objective, config)
    kept = log.checkpoints[17]
    rest = trainer.resume(kept if folder is None else str(kept.path)).fit(inputs)
    np.testing.assert_array_equal(weights(whole), weights(broken))
    assert rest.dataset.step.values.tolist() == [20, 30]
    np.testing.assert_array_equal(rest.dataset.loss, log.dataset.loss[2:])
    start = log.checkpoints[0].apply(build(2))
    np.testing.assert_array_equal(weights(start), weights(build()))


def test_a_checkpoint_is_not_changed_by_what_follows() -> None:
    config = TrainConfig(steps=8, checkpoint_at=4)
    model = network()
    log = Trainer(model, loss, config).fit(data())
    first = weights(log.checkpoints[4].apply(network()))
    assert list(log.checkpoints) == [0, 4, 8]
    assert not np.array_equal(first, weights(model))
    Trainer(model, loss, config).resume(log.checkpoints[4]).fit(data())
    np.testing.assert_array_equal(weights(log.checkpoints[4].apply(network())), first)


def test_refuses_checkpoints(tmp_path: Any) -> None:
    config = TrainConfig(steps=3, checkpoint_at=[3])
    kept = Trainer(network(), loss, config, checkpoint_dir=tmp_path).fit(data()).checkpoints[3]
    with pytest.raises(ParameterError, match=r"within the 2 steps .* it is at step 3"):
        Trainer(network(), loss, TrainConfig(steps=2)).resume(kept)
    other = torch.nn.Sequential(torch.nn.Linear(3, 9))
    with pytest.raises(ParameterError, match=r"'0.weight' is of shape \(9, 3\) in the network and"):
        Trainer(other, loss, config).resume(kept)
    sgd = TrainConfig(steps=3, optimizer=lambda p: torch.optim.SGD(list(p)[:2], lr=0.1))
    with pytest.raises(ParameterError, match="optimiser must be the one of the checkpoint"):
        Trainer(network(), loss, sgd).resume(kept)
    (tmp_path / "no.pt").write_bytes(b"no checkpoint")
    with pytest.raises(StoreError, match="missing, damaged or no checkpoint"):
        Trainer(network(), loss, config).resume(tmp_path / "no.pt")
    torch.save({"format": 0}, tmp_path / "old.pt")
    with pytest.raises(StoreError, match="format 0"):
        Trainer(network(), loss, config).resume(tmp_path / "old.pt")
