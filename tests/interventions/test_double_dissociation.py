"""Double dissociation: on a network whose heads have known duties, by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import nn

from activome.errors import ParameterError
from activome.interventions._hooks import n_active
from activome.interventions.double_dissociation import double_dissociation
from activome.interventions.head_scores import head_means, head_scores
from activome.patterns.select_heads import select_heads

N_HEADS = 6


class Duties(nn.Module):
    """Two layers of heads that each copy one number of the last token; duties are in the readout.

    Token ``i < 40`` asks for answer ``i % 5`` of task 0, and only head 1 of layer 0 tells it; token
    ``i >= 40`` asks for answer ``5 + i % 5`` of task 1, and only head 2 of layer 1 tells it.
    """

    tap_sites = {"head_out": ("layers.*#in", {"heads": N_HEADS})}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Identity() for _ in range(2))
        table = torch.zeros(80, 2, N_HEADS, 10)
        for token in range(80):
            if token < 40:
                table[token, 0, 1, token % 5] = 4.0
            else:
                table[token, 1, 2, 5 + token % 5] = 4.0
        noise = torch.Generator().manual_seed(0)
        self.register_buffer("table", table + 0.1 * torch.randn(table.shape, generator=noise))

    def forward(self, ids: Any) -> Any:
        found = 0.0
        for number, layer in enumerate(self.layers):
            heads = layer(self.table[ids][:, :, number].flatten(2))
            found = found + heads.unflatten(2, (N_HEADS, 10)).sum(2)
        return found


def tasks(n: int = 20) -> Any:
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(80, size=(2 * n, 4)))
    ids[:n, -1] = torch.arange(n)
    ids[n:, -1] = 40 + torch.arange(n)
    answers = torch.cat([torch.arange(n) % 5, 5 + torch.arange(n) % 5])
    return {"first": (ids[:n], answers[:n]), "second": (ids[n:], answers[n:])}


def test_known_duties_are_found_and_dissociate() -> None:
    network, given = Duties(), tasks()
    means = head_means(network, given["first"][0], given["second"][0])
    scores = []
    for ids, answers in given.values():
        wrong = torch.where(answers < 5, answers + 5, answers - 5)

        def metric(y: Any, right: Any = answers, wrong: Any = wrong) -> Any:
            rows = torch.arange(len(y))
            return (y[rows, right] - y[rows, wrong]).mean()

        scores.append(head_scores(network, ids, metric, means, "gradient"))
    first, second = scores
    a, b = select_heads(first, second, 1), select_heads(second, first, 1)
    heads = [a, b]
    assert heads == [[(0, 1)], [(1, 2)]]
    found = double_dissociation(network, given, a, b, 20, means)
    assert found.accuracy.sel(removed="none").values.tolist() == [1.0, 1.0]
    drop = found["drop"].sel(removed=["first heads", "second heads"]).values
    assert drop[0, 0] > 0.7
    assert drop[1, 1] > 0.7
    assert drop[0, 1] == drop[1, 0] == 0.0
    assert float(found["index"]) == pytest.approx(drop[0, 0] + drop[1, 1])
    assert float(found.p) == pytest.approx(1 / 21)
    assert float(found.index_low) <= float(found["index"]) <= float(found.index_high)
    np.testing.assert_array_equal(found.random_drop.values, 0.0)
    turned = double_dissociation(network, given, heads[1], heads[0], 5, means)
    assert float(turned["index"]) == pytest.approx(-float(found["index"]))
    assert float(turned.p) == 1.0
    assert n_active() == 0


def test_accuracies_and_intervals_are_those_of_hooks_by_hand() -> None:
    network, given = Duties(), tasks()
    found = double_dissociation(network, given, [(0, 1), (0, 3)], [(1, 2)], 0, "zero")

    def cut(_: Any, args: Any) -> Any:
        value = args[0].clone()
        value[..., 10:20] = 0.0
        value[..., 30:40] = 0.0
        return (value,)

    handle = network.layers[0].register_forward_pre_hook(cut)
    for column, (ids, answers) in enumerate(given.values()):
        right = int((network(ids)[:, -1].argmax(-1) == answers).sum())
        assert float(found.accuracy[1, column]) == right / 20
        ends = binomtest(right, 20).proportion_ci(0.95, method="wilson")
        assert float(found.accuracy_low[1, column]) == pytest.approx(ends.low)
        assert float(found.accuracy_high[1, column]) == pytest.approx(ends.high)
    handle.remove()
    assert np.isnan(float(found.p))
    assert found.sizes["draw"] == 0


def test_random_groups_have_the_layers_of_their_group_and_none_of_its_heads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from activome.interventions._components import Components

    groups: list[Any] = []
    plain = Components.removal

    def spy(self: Any, group: Any, reference: Any) -> Any:
        groups.append(list(group))
        return plain(self, group, reference)

    monkeypatch.setattr(Components, "removal", spy)
    a, b = [(0, 1), (0, 3), (1, 0)], [(1, 2)]
    double_dissociation(Duties(), tasks(), a, b, n_random=8)
    drawn = groups[2:]
    assert len(drawn) == 16
    for i, group in enumerate(drawn):
        assert sorted(place[0] for place in group) == ([0, 0, 1] if i % 2 == 0 else [1])
        assert not set(group) & {*a, *b}
        assert len(set(group)) == len(group)
    assert len({tuple(sorted(group)) for group in drawn[::2]}) > 3


def test_tasks_may_be_functions_of_the_network() -> None:
    network, given = Duties(), tasks()
    means = head_means(network, given["first"][0], given["second"][0])

    def task(name: str) -> Any:
        ids, answers = given[name]
        return lambda model: (model(ids)[:, -1].argmax(-1) == answers).numpy()

    functions = {name: task(name) for name in given}
    options: Any = {"n_random": 3, "reference": means, "match": "any", "random_state": 4}
    wanted = double_dissociation(network, given, [(0, 1)], [(1, 2)], **options)
    found = double_dissociation(network, functions, [(0, 1)], [(1, 2)], **options)
    assert found.identical(wanted)
    with pytest.raises(ParameterError, match="reference must be given"):
        double_dissociation(network, functions, [(0, 1)], [(1, 2)])
    with pytest.raises(ParameterError, match="boolean per trial"):
        double_dissociation(
            network, functions | {"first": lambda model: 0.5}, [(0, 1)], [(1, 2)], **options
        )


def test_refusals() -> None:
    network, given = Duties(), tasks()
    run = double_dissociation
    with pytest.raises(ParameterError, match="two names"):
        run(network, {"first": given["first"]}, [(0, 1)], [(1, 2)])
    with pytest.raises(ParameterError, match="must not share a prompt; 20 are in both"):
        run(network, {"a": given["first"], "b": given["first"]}, [(0, 1)], [(1, 2)])
    with pytest.raises(ParameterError, match=r"both name \[\(0, 1\)\]"):
        run(network, given, [(0, 1)], [(0, 1)])
    with pytest.raises(ParameterError, match="head 6 of layer 0"):
        run(network, given, [(0, 6)], [(1, 2)])
    with pytest.raises(ParameterError, match="each head once"):
        run(network, given, [(0, 1), (0, 1)], [(1, 2)])
    with pytest.raises(ParameterError, match="pairs"):
        run(network, given, [], [(1, 2)])
    with pytest.raises(ParameterError, match="are left"):
        run(network, given, [(0, i) for i in range(4)], [(1, 2)])
    # Without random groups none need be left.
    run(network, given, [(0, i) for i in range(4)], [(1, 2)], n_random=0)
    wrong = given | {"second": (given["second"][0], given["second"][1] - 5)}
    with pytest.raises(ParameterError, match=r"accuracy at 'second' is 0"):
        run(network, wrong, [(0, 1)], [(1, 2)])
    short = given | {"second": (given["second"][0], given["second"][1][:-1])}
    with pytest.raises(ParameterError, match="one token id per prompt"):
        run(network, short, [(0, 1)], [(1, 2)])
    with pytest.raises(ParameterError, match="prompts, answers"):
        run(network, given | {"second": 3}, [(0, 1)], [(1, 2)])
    for options in ({"n_random": -1}, {"match": "size"}, {"level": 1.0}, {"min_accuracy": 2.0}):
        with pytest.raises(ParameterError, match=next(iter(options))):
            run(network, given, [(0, 1)], [(1, 2)], **options)
    assert n_active() == 0
