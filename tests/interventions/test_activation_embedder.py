"""Texts as codes: which tokens count, in which order, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from scipy import sparse  # noqa: E402  # only where torch is installed

from activome.errors import ActivityError, ParameterError  # noqa: E402
from activome.interventions import ActivationEmbedder  # noqa: E402
from activome.networks import TinyGPT, seed_everything  # noqa: E402
from activome.patterns import SparseAutoencoder, TaskSelector  # noqa: E402


class Letters:
    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


def network(n_layers: int = 3) -> Any:
    with seed_everything(0):
        return TinyGPT(vocab=128, context=32, d_model=8, n_heads=2, n_layers=n_layers).eval()


def states(model: Any, text: str, layer: int) -> Any:
    """Return the output of a block for every token, by a hook of torch's own."""
    kept = []
    handle = model.blocks[layer].register_forward_hook(lambda _m, _i, out: kept.append(out))
    with torch.no_grad():
        model(torch.tensor([Letters().encode(text)]))
    handle.remove()
    return kept[0][0].numpy()


TEXTS = ["a text", "one that is longer", "short", "equal!", "zz"]


def test_equals_a_loop_over_texts() -> None:
    model = network()
    for layer, place in ((-2, 1), (0, 0), (2, 2)):
        found = ActivationEmbedder(model, Letters(), layer).transform(TEXTS)
        expected = np.stack([states(model, text, place)[1:].mean(axis=0) for text in TEXTS])
        np.testing.assert_allclose(found, expected, atol=1e-6)
    with_first = ActivationEmbedder(model, Letters(), skip_first=False, pool="max")
    expected = np.stack([states(model, text, 1).max(axis=0) for text in TEXTS])
    np.testing.assert_allclose(with_first.transform(TEXTS), expected, atol=1e-6)


def test_padding_does_not_count() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.LlamaConfig(
        vocab_size=128,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    embedder = ActivationEmbedder(model, Letters())
    together = embedder.transform(TEXTS)
    apart = np.concatenate([embedder.transform([text]) for text in TEXTS])
    np.testing.assert_allclose(together, apart, atol=1e-6)
    tokens = embedder.record(TEXTS)
    assert tokens.dims == ("trial", "time", "unit")
    assert tokens["valid"].values.sum(axis=1).tolist() == [len(text) - 1 for text in TEXTS]


def test_codes_are_means_of_token_codes() -> None:
    model = network()
    sae = SparseAutoencoder(16, k=3, n_steps=30, batch_size=16, random_state=0)
    embedder = ActivationEmbedder(model, Letters(), sae=sae).fit(TEXTS)
    assert not hasattr(sae, "components_")
    found = embedder.transform(TEXTS)
    assert isinstance(found, sparse.csr_array)
    assert found.data.min() > 0
    rows = states(model, TEXTS[1], 1)[1:].astype(np.float32)
    expected = embedder.sae_.sparse_code(rows).toarray().mean(axis=0)
    np.testing.assert_allclose(found[[1]].toarray()[0], expected, atol=1e-5)
    fewer = embedder.set_params(k=1).transform(TEXTS)
    assert fewer.nnz < found.nnz
    # One that is fitted stays as it is, also in a pipeline.
    ready = ActivationEmbedder(model, Letters(), sae=embedder.sae_).fit(TEXTS[:2])
    assert ready.sae_ is embedder.sae_
    np.testing.assert_array_equal(ready.transform(TEXTS).toarray(), found.toarray())


def test_order_is_kept_over_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = ActivationEmbedder(network(), Letters())
    whole = embedder.transform(TEXTS)
    monkeypatch.setattr("activome.interventions.activation_embedder._GROUP", 2)
    done: list[int] = []
    embedder.set_params(progress=lambda _what, n, _total: done.append(n))
    np.testing.assert_allclose(embedder.transform(TEXTS), whole, atol=1e-6)
    assert done[-1] == len(TEXTS)


def test_a_selector_reads_texts_through_it() -> None:
    embedder = ActivationEmbedder(network(), Letters(), max_length=4)
    selector = TaskSelector("cosine", 2, embedder=embedder).fit(["abcd", "abce"])
    assert selector.select(["abcdxyz", "1234", "abce!!"]).size == 2
    # Cut to the same tokens the texts are the same.
    first, second = embedder.transform(["abcdxyz", "abcd"])
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": 3}, r"one of the 3 blocks, -3 to 2; got 3"),
        ({"layer": -4}, "blocks"),
        ({"layer": 1.0}, "layer must be an integer"),
        ({"pool": "sum"}, "unknown pool"),
        ({"k": 0}, "k must be"),
        ({"max_length": 0}, "max_length must be"),
        ({"max_tokens": 0}, "max_tokens must be"),
        ({"k": 2}, "k goes with an encoder"),
    ],
)
def test_parameters_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ActivationEmbedder(network(), Letters(), **arguments).transform(TEXTS)


def test_texts_are_refused() -> None:
    embedder = ActivationEmbedder(network(), Letters())
    numbers: Any = [1, 2]
    with pytest.raises(ActivityError, match="at least one text"):
        embedder.transform([])
    with pytest.raises(ActivityError, match=r"text 1, '', has 0\. Leave it out"):
        embedder.transform(["ab", ""])
    with pytest.raises(ActivityError, match="or set skip_first=False"):
        embedder.transform(["a"])
    with pytest.raises(ActivityError, match="a sequence of str"):
        embedder.transform("one text")
    with pytest.raises(ActivityError, match="a sequence of str"):
        embedder.record(numbers)
    with pytest.raises(ActivityError, match=r"at most the 32 tokens .* text 1 has 33"):
        embedder.transform(["ab", "c" * 33])
    unfitted = ActivationEmbedder(network(), Letters(), sae=SparseAutoencoder())
    with pytest.raises(ActivityError, match="the encoder must be fitted"):
        unfitted.transform(TEXTS)


def test_too_many_active_components_and_nan_are_refused() -> None:
    model = network()
    sae = SparseAutoencoder(4, k=1, n_steps=10, batch_size=16, random_state=0)
    embedder = ActivationEmbedder(model, Letters(), sae=sae).fit(TEXTS)
    with pytest.raises(ParameterError, match="k must be an integer at least 1 and at most 4"):
        embedder.set_params(k=5).transform(TEXTS)
    with torch.no_grad():
        model.blocks[0].attention.output.weight[0, 0] = float("nan")
    with pytest.raises(ActivityError, match="finite"):
        ActivationEmbedder(model, Letters()).transform(TEXTS)
