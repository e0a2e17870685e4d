"""Damaged and hostile files: a typed refusal that names the file, or data of a sound structure."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from damage import FORMATS, cuts, flips, hostile, sound

from activome.activity.events import Events
from activome.activity.readers import load
from activome.activity.schema import Activity, ensure
from activome.errors import ReadError, ResourceError

# Formats whose checksums cover every value: damage is refused, or has not touched the data.
CHECKED = ("activity.npz", "events.npz", "image.nii.gz", "packed.mat")


def _outcome(path: Path) -> Activity | Events | str:
    """What loading gives: the data, or the message of the refusal."""
    with warnings.catch_warnings():
        # What readers say about a file that they can still read is theirs to say.
        warnings.simplefilter("ignore")
        try:
            return load(path)
        except (ReadError, ResourceError) as error:
            return str(error)


def _is_sound(data: Activity | Events) -> bool:
    if isinstance(data, Events):
        inside = bool(((data.unit >= 0) & (data.unit < data.n_units)).all())
        return inside and bool((np.diff(data.t) >= 0).all())
    ensure(data, owner="test")
    # Lazy or not, every value that the shape declares can be had.
    return bool(np.asarray(data.values).shape == data.shape)


def _same(one: Activity | Events, other: Activity | Events) -> bool:
    return bool(one.equals(other))  # type: ignore[arg-type]  # both are of the type of the sound file


@pytest.mark.parametrize("name", FORMATS)
def test_a_cut_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    path = sound(name, tmp_path)
    whole, size = load(path), path.stat().st_size
    # Text, words and frames end anywhere without a sign: what is left then reads as a shorter file.
    silent = path.suffix in (".csv", ".vhdr", ".dat", ".raw", ".fif")
    n_refused = 0
    for label, data in list(cuts(path)):
        path.write_bytes(data)
        outcome = _outcome(path)
        if isinstance(outcome, str):
            assert path.name in outcome, label
            n_refused += 1
        else:
            assert silent or _same(outcome, whole), f"{label} of {size} bytes was read in silence"
            assert _is_sound(outcome), label
    assert n_refused >= (1 if silent else 20)


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_a_flipped_byte_is_refused_or_leaves_sound_data(
    name: str, part: int, tmp_path: Path
) -> None:
    path = sound(name, tmp_path)
    whole = load(path)
    n_tried = 0
    for label, data in list(flips(path))[part::3]:
        path.write_bytes(data)
        outcome = _outcome(path)
        n_tried += 1
        if isinstance(outcome, str):
            assert path.name in outcome, label
        else:
            assert _is_sound(outcome), label
            if name in CHECKED:
                assert _same(outcome, whole), f"{label} changed the data in silence"
    assert n_tried >= 8


def test_hostile_files_are_refused_before_they_do_harm(tmp_path: Path) -> None:
    load(sound("plain.npy", tmp_path))
    n_tried = 0
    for name, data in hostile(tmp_path):
        path = tmp_path / f"hostile_{name}"
        path.write_bytes(data)
        # Tracing a million rows of text takes half a minute; their size is that of the file.
        is_traced = len(data) < 1_000_000
        peak = 0
        if is_traced:
            tracemalloc.start()
        try:
            outcome = _outcome(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert isinstance(outcome, str), f"{name} was read: {outcome!r}"
        assert path.name in outcome, name
        assert peak < 200e6, f"{name} took {peak:.0f} bytes"
        path.unlink()
        n_tried += 1
    assert n_tried >= 60
    assert not (tmp_path / "executed").exists()
    assert not list(tmp_path.parent.glob("escape*"))


def test_no_reader_imports_pickle() -> None:
    import activome.activity.readers as room

    folder = Path(room.__file__).parent
    texts = {file.name: file.read_text("utf-8") for file in folder.glob("*.py")}
    assert len(texts) > 15
    assert not [
        n for n, text in texts.items() if "import pickle" in text or "allow_pickle=True" in text
    ]
