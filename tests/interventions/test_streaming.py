"""Streams: equal to what is recorded at once, resumed byte for byte, refused in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tiny_networks import VOCABULARY, CellNetwork, tiny_bert, tiny_llama, tokens

import activome
from activome.activity.schema import check
from activome.errors import ParameterError, ResourceError, StoreError
from activome.interventions._hooks import n_active
from activome.interventions.recording import record
from activome.interventions.selectors import Sel
from activome.interventions.taps import Taps
from activome.networks.small import SmallCNN


class Letters:
    """A tokenizer that names each token by its number."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) % VOCABULARY for letter in text]

    def convert_ids_to_tokens(self, number: int) -> str:
        return f"t{number}"


def lists(n: int = 40, seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, VOCABULARY, k).tolist() for k in rng.integers(2, 12, n)]


def files(folder: Path) -> dict[str, bytes]:
    found = folder.rglob("*")
    return {str(f.relative_to(folder)): f.read_bytes() for f in found if f.is_file()}


def test_a_stream_equals_a_recording_label_by_label(tmp_path: Path) -> None:
    model, samples = tiny_llama(), lists()
    whole = record(model, samples, "resid_post[*]", tokenizer=Letters(), max_tokens=50)
    stored = record(
        model,
        samples,
        "resid_post[*]",
        tokenizer=Letters(),
        max_tokens=50,
        to=tmp_path / "run.zarr",
        source="tiny",
    )
    assert stored.dims == whole.dims
    assert stored.shape == whole.shape
    assert stored.attrs["source"] == "tiny"
    keep = whole["valid"].values
    np.testing.assert_array_equal(stored["valid"].values, keep)
    for name in ("token", "token_id"):
        np.testing.assert_array_equal(stored[name].values[keep], whole[name].values[keep])
    for name in ("trial", "time", "unit", "layer", "feature"):
        np.testing.assert_array_equal(stored[name].values, whole[name].values)
    # Batches are cut otherwise: products of matrices of other sizes differ in their last bits.
    np.testing.assert_allclose(stored.values[keep], whole.values[keep], rtol=1e-4, atol=1e-5)
    assert np.isnan(stored.values[~keep]).all()
    again = activome.load(tmp_path / "run.zarr")
    assert isinstance(again, xr.DataArray)
    assert again.load().identical(stored.load())
    assert [p for p in check(again) if p.severity != "suggestion"] == []
    assert n_active() == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_samples_of_one_length_are_stored_bit_by_bit(tmp_path: Path, dtype: str) -> None:
    model, ids = tiny_bert(), tokens(12, 8)
    whole = record(model, ids, "mlp_out[1]", max_tokens=32)
    stored = record(model, ids, "mlp_out[1]", max_tokens=32, dtype=dtype, to=tmp_path / "a.zarr")
    assert "valid" not in stored.coords
    np.testing.assert_array_equal(stored.values, whole.values.astype(dtype))


@pytest.mark.parametrize(
    ("model", "inputs", "site", "options"),
    [
        (SmallCNN((4,), 3, image_size=8, kernel_size=3), torch.rand(5, 1, 8, 8), "head#in", {}),
        (CellNetwork(), torch.rand(5, 6, 3), "cell#out", {}),
        (tiny_llama(), tokens(5), "model.layers.1#out", {"reduce": "mean"}),
        (tiny_llama(), tokens(5), "model.layers.1#out", {"at": Sel(pos="last")}),
        (tiny_llama(), tokens(5), "model.layers.1#out", {"at": Sel(pos=[1, 4])}),
    ],
    ids=["cnn", "rnn", "mean", "last", "positions"],
)
def test_other_networks_and_parts_are_stored_as_they_are_recorded(
    tmp_path: Path, model: Any, inputs: Any, site: str, options: dict[str, Any]
) -> None:
    model.eval()
    name = f"module:{site}"
    whole = record(model, inputs, name, **options)
    stored = record(model, inputs, name, to=tmp_path / "a.zarr", **options)
    assert stored.dims == whole.dims
    np.testing.assert_array_equal(stored.values, whole.values)
    if "time" in whole.dims:
        np.testing.assert_array_equal(stored["time"].values, whole["time"].values)


class _KilledError(Exception):
    pass


def _dying(after: int) -> Any:
    def progress(task: str, done: int, total: int) -> None:
        if done >= after:
            raise _KilledError

    return progress


@pytest.mark.parametrize("after", [1, 17, 39])
def test_a_stream_that_was_killed_goes_on_at_the_last_whole_chunk(
    tmp_path: Path, after: int
) -> None:
    model, n_passes = tiny_llama(), 0
    inputs = [lists(5, seed) for seed in range(8)]
    options: dict[str, Any] = {"tokenizer": Letters(), "chunk_bytes": 12_000}
    taps = Taps(model)
    whole = taps.stream(inputs, "resid_post[*]", to=tmp_path / "whole.zarr", **options)
    with pytest.raises(_KilledError):
        taps.stream(
            inputs, "resid_post[*]", to=tmp_path / "cut.zarr", progress=_dying(after), **options
        )
    with pytest.raises(StoreError, match="resume it with"):
        activome.load(tmp_path / "cut.zarr")

    def count(*_: Any) -> None:
        nonlocal n_passes
        n_passes += 1

    handle = model.register_forward_hook(count)
    found = taps.stream(inputs, "resid_post[*]", to=tmp_path / "cut.zarr", resume=True, **options)
    handle.remove()
    assert n_passes < 8 or after == 1
    assert found.load().identical(whole.load())
    assert files(tmp_path / "cut.zarr") == files(tmp_path / "whole.zarr")


def test_a_complete_stream_is_not_run_again(tmp_path: Path) -> None:
    model, samples = tiny_llama(), lists(6)
    record(model, samples, "logits", to=tmp_path / "a.zarr")
    before = files(tmp_path / "a.zarr")
    with pytest.raises(StoreError, match="there is a store at"):
        record(model, samples, "logits", to=tmp_path / "a.zarr")
    record(model, samples, "logits", to=tmp_path / "a.zarr", resume=True)
    assert files(tmp_path / "a.zarr") == before


def test_other_inputs_weights_and_sites_are_no_resumption(tmp_path: Path) -> None:
    model, path = tiny_llama(), tmp_path / "a.zarr"
    taps = Taps(model)
    with pytest.raises(_KilledError):
        taps.stream([tokens(), tokens(seed=1)], "resid_post[0]", to=path, progress=_dying(1))
    message = "begun with another activity"
    with pytest.raises(StoreError, match=message):
        taps.stream([tokens(), tokens(seed=2)], "resid_post[0]", to=path, resume=True)
    with pytest.raises(StoreError, match=message):
        taps.stream([tokens(), tokens(seed=1)], "resid_post[1]", to=path, resume=True)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    with pytest.raises(StoreError, match=message):
        taps.stream([tokens(), tokens(seed=1)], "resid_post[0]", to=path, resume=True)


def test_batches_of_an_iterator_with_room_for_the_longest(tmp_path: Path) -> None:
    taps = Taps(tiny_llama())

    def parts() -> Iterator[Any]:
        yield [[1, 2, 3]]
        yield [[1, 2, 3, 4, 5], [6, 7]]

    found = taps.stream(parts(), "embed", to=tmp_path / "a.zarr", n_positions=5)
    assert found["valid"].values.sum(1).tolist() == [3, 5, 2]
    with pytest.raises(ParameterError, match="Give n_positions"):
        taps.stream(parts(), "embed", to=tmp_path / "b.zarr")
    assert n_active() == 0


def test_left_padding_is_not_valid(tmp_path: Path) -> None:
    ids, mask = tokens(2, 5), torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    found = Taps(tiny_llama()).stream(
        [{"input_ids": ids, "attention_mask": mask}], "embed", to=tmp_path / "a.zarr"
    )
    np.testing.assert_array_equal(found["valid"].values, mask.numpy().astype(bool))


def test_samples_that_are_left_with_one_position_keep_their_axis(tmp_path: Path) -> None:
    taps, at = Taps(tiny_llama()), Sel(pos="all_but_first")
    found = taps.stream([[[1, 2, 3]], [[4, 5]]], "embed", to=tmp_path / "a.zarr", at=at)
    assert found["time"].values.tolist() == [1.0, 2.0]
    assert found["valid"].values.tolist() == [[True, True], [True, False]]
    with pytest.raises(ParameterError, match="no position is chosen in a batch of 1 samples"):
        taps.stream([[[1, 2, 3]], [[4]]], "embed", to=tmp_path / "b.zarr", at=at)


def test_several_sites_lie_side_by_side(tmp_path: Path) -> None:
    found = record(tiny_llama(), tokens(), ["mlp_out[*]", "resid_pre[2]"], to=tmp_path / "a.zarr")
    assert found.sizes["unit"] == 4 * 32
    assert found["site"].values[[0, 95, 96]].tolist() == ["mlp_out", "mlp_out", "resid_pre"]
    assert found["layer"].values[[0, 95, 96]].tolist() == [0, 2, 2]


def test_the_output_layer_is_run_only_where_somebody_looks() -> None:
    model, widths = tiny_llama(), []
    model.lm_head.register_forward_hook(lambda m, args, out: widths.append(out.shape[1]))
    record(model, tokens(), "resid_post[*]")
    record(model, tokens(), "logits")
    record(model, tokens(), "module:lm_head#in")
    with Taps(model).record("logits"):
        record(model, tokens(), "resid_post[*]")
    assert widths == [1, 7, 7, 7]


def test_refusals(tmp_path: Path) -> None:
    model = tiny_llama()
    taps = Taps(model)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight *= 1e7
    with pytest.raises(ParameterError, match=r"resid_post\[1\] holds .* cannot. Use dtype"):
        taps.stream([tokens()], "resid_post[1]", to=tmp_path / "a.zarr", dtype="float16")
    assert not (tmp_path / "a.zarr").exists()
    with pytest.raises(ParameterError, match="unknown dtype 'bfloat16'"):
        taps.stream([tokens()], "embed", to=tmp_path / "a.zarr", dtype="bfloat16")
    with pytest.raises(ParameterError, match="at least one batch"):
        taps.stream([], "embed", to=tmp_path / "a.zarr")
    with pytest.raises(ParameterError, match="no site is called 'embedd'"):
        taps.stream([tokens()], "embedd", to=tmp_path / "a.zarr")
    with pytest.raises(ResourceError, match="the recording would take"):
        taps.stream([tokens()], "embed", to=tmp_path / "a.zarr", max_bytes=100)
    assert n_active() == 0
