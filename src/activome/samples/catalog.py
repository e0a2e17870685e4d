"""All real recordings by name: those that ship, and loaders for those that the user has."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from activome._checks import check_choice, nearest_names
from activome.errors import ParameterError
from activome.samples import fisbe, rdm92, shipped, sources_eeg, sources_populations

__all__ = ["describe", "load", "names", "provenance", "shipped_activity"]

_SHIPPED: dict[str, Callable[..., Any]] = {
    "motor_cortex": shipped.motor_cortex,
    "visual_gratings": shipped.visual_gratings,
    "motor_imagery_eeg": shipped.motor_imagery_eeg,
    "rdm92": rdm92.load_rdm92,
}
_ELSEWHERE: dict[str, Callable[..., Any]] = {
    "aeon_trials": sources_eeg.aeon_trials,
    "eegmat": sources_eeg.eegmat,
    "eegmmidb_run": sources_eeg.eegmmidb_run,
    "fisbe_eval": fisbe.fisbe_eval,
    "fmri_rois": sources_populations.fmri_rois,
    "grasshopper_spikes": sources_populations.grasshopper_spikes,
    "hippocampus": sources_populations.hippocampus,
    "muse_cueing": sources_eeg.muse_cueing,
    "muse_trials": sources_eeg.muse_trials,
    "neuropixels_movie": sources_populations.neuropixels_movie,
    "resting_fmri": sources_populations.resting_fmri,
    "somatosensory_cortex": sources_populations.somatosensory_cortex,
    "speech_ecog": sources_populations.speech_ecog,
}


def names(which: Literal["all", "shipped", "elsewhere"] = "all") -> list[str]:
    """List the recordings that ``load`` knows.

    Parameters
    ----------
    which : {"all", "shipped", "elsewhere"}, default="all"
        All, those inside the package, or those that need another package or a folder.

    Returns
    -------
    list of str
        Names; the shipped ones first.

    Raises
    ------
    ParameterError
        If ``which`` is unknown.

    Examples
    --------
    >>> names("shipped")
    ['motor_cortex', 'visual_gratings', 'motor_imagery_eeg', 'rdm92']
    """
    tables = {
        "all": _SHIPPED | _ELSEWHERE,
        "shipped": _SHIPPED,
        "elsewhere": _ELSEWHERE,
    }
    return list(tables[check_choice(which, tables, name="which", owner="samples.names")])


def load(name: str, **options: Any) -> Any:
    """Load a real recording by name.

    Parameters
    ----------
    name : str
        One of ``names()``.
    **options : Any
        Arguments of the loader of that recording, such as ``form="trials"`` for motor_imagery_eeg,
        or ``folder`` for those that do not ship.

    Returns
    -------
    Any
        For most an Activity; the loader's own documentation tells.

    Raises
    ------
    ParameterError
        If the name is unknown, or an option is not one of the loader's.

    Examples
    --------
    >>> load("visual_gratings").sizes["unit"]
    1000
    """
    owner = "samples.load"
    loaders = _SHIPPED | _ELSEWHERE
    loader = loaders[check_choice(name, loaders, name="recording", owner=owner)]
    code = loader.__code__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    for option in options:
        if option not in known:
            raise ParameterError(
                f"{owner}: {name!r} has no option {option!r}; {nearest_names(option, known)}"
            )
    return loader(**options)


def describe() -> list[dict[str, Any]]:
    """Tell what each recording is, in a line, and whether it ships.

    Returns
    -------
    list of dict
        With ``name``, ``ships`` and ``summary``; the shipped ones first.

    Examples
    --------
    >>> describe()[0]["name"], describe()[0]["ships"]
    ('motor_cortex', True)
    """
    rows = []
    for name, loader in (_SHIPPED | _ELSEWHERE).items():
        what = (inspect.getdoc(loader) or "").partition("\n")[0].removeprefix("Load ")
        summary = what[:1].upper() + what[1:]
        rows.append({"name": name, "ships": name in _SHIPPED, "summary": summary})
    return rows


def provenance(name: str) -> str:
    """Return where a shipped recording comes from, what was changed, and its licence.

    Parameters
    ----------
    name : str
        One of ``names("shipped")``.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    ParameterError
        If no shipped recording has the name.

    Examples
    --------
    >>> "MIT License" in provenance("motor_cortex")
    True
    """
    check_choice(name, _SHIPPED, name="recording", owner="samples.provenance")
    path = resources.files("activome.samples").joinpath("data", f"{name}.md")
    return path.read_text(encoding="utf-8")


def shipped_activity(source: Any) -> Any | None:
    """Return the shipped recording that a source names, where it is no file.

    Parameters
    ----------
    source : Any
        What a user gave as a recording.

    Returns
    -------
    xarray.DataArray or None
        The Activity, or None where the source is a path.

    Raises
    ------
    ParameterError
        If it is a bare word, and there is neither a file nor a shipped recording of that name.

    Examples
    --------
    >>> shipped_activity("visual_gratings").sizes["unit"]
    1000
    >>> shipped_activity("my_recording.nwb") is None
    True
    """
    if not isinstance(source, str) or os.path.lexists(source):
        return None
    loaders = {name: loader for name, loader in _SHIPPED.items() if name != "rdm92"}
    if source in loaders:
        return loaders[source]()
    if source in _ELSEWHERE:
        raise ParameterError(
            f"{source!r} does not ship. activome.samples.load({source!r}) in Python reads it from "
            "where you have it, or says what it needs."
        )
    if Path(source).suffix or Path(source).name != source:
        return None
    raise ParameterError(
        f"{source!r} is neither a file nor a recording that ships; {nearest_names(source, loaders)}"
    )
