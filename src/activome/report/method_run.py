"""Run one estimator on one recording: its result, what it learned, and how it was made, on disk."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activome._checks import DEFAULT_MEMORY_LIMIT, nearest_names
from activome._files import read_json, remove_tree, write_json
from activome._methods import Method
from activome._progress import Progress, silent
from activome._random import RandomState, integer_seed
from activome.activity.persist import load_estimator, save_estimator
from activome.activity.schema import Activity
from activome.activity.store import StoreWriter, is_complete, write_store
from activome.errors import ActivityError, ParameterError, StoreError
from activome.report._method_ways import (
    OWNER,
    as_activity,
    choose_output,
    estimator_class,
    find_row,
    fit_and_apply,
)
from activome.report.method_source import MethodSource, open_source
from activome.report.section import plain_values

__all__ = ["MethodRun", "run_method"]

_ACTIVITY, _ESTIMATOR, _RECORD = "activity.zarr", "estimator.npz", "run.json"
_PARTS = 8


@dataclass(frozen=True)
class MethodRun:
    """What a run wrote.

    Attributes
    ----------
    activity : pathlib.Path or None
        Store of the result; None for a method that only learns.
    estimator : pathlib.Path
        The fitted estimator, as ``load_estimator`` reads it.
    json : pathlib.Path
        Parameters, versions, checksum of the source, cost.
    record : dict
        What the JSON file holds.
    is_reused : bool
        Whether all of it was there already.
    """

    activity: Path | None
    estimator: Path
    json: Path
    record: dict[str, Any]
    is_reused: bool


def run_method(
    method: str,
    source: Any = None,
    output: str | os.PathLike[str] = "result.zarr",
    *,
    parameters: dict[str, Any] | None = None,
    label: str | None = None,
    output_of: str | None = None,
    bin_width: float | None = None,
    blocks: bool = False,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    overwrite: bool = False,
    random_state: RandomState = 0,
    progress: Progress = silent,
) -> MethodRun:
    """Fit an estimator of activome to a recording, and write what it gives and what it learned.

    Parameters
    ----------
    method : str
        Name of an estimator, such as "SemiNMF".
    source : path-like, Activity, Events or None
        A file of any format ``activome.load`` reads, data, the name of a recording that ships, or
        None for that of motor cortex.
    output : path-like, default="result.zarr"
        Store of the result. Beside it, named after its stem, are ``_estimator.npz`` and
        ``_run.json``.
    parameters : dict, optional
        Arguments of the estimator.
    label : str, optional
        Label column: the target of a method that has one, or the conditions of one that maps RDMs.
    output_of : {"transform", "predict_proba", "decision_function", "score_samples", "predict"}
        What the estimator is asked for, by default the first of these that it has.
    bin_width : float, optional
        Width of bins in s, for a source that holds events.
    blocks : bool, default=False
        Read the source block by block, for methods that are solved from sums: neither it nor the
        result need then fit in memory.
    memory_limit : int, default=2 GiB
        Bytes that data may take.
    overwrite : bool, default=False
        Replace the result of another run.
    random_state : int, Generator or None, default=0
        Seed, for estimators that have one and were not given it.
    progress : Progress, default=silent
        Told of fitting, of each block and of what is written.

    Returns
    -------
    MethodRun
        Where everything is.

    Raises
    ------
    ParameterError
        If the method, a parameter, the label or the output is unknown, or the method needs more
        than a recording, or is not solved from sums where blocks are asked for.
    ActivityError
        If the recording does not hold what the method needs.
    StoreError
        If the result of another run is in the way.

    Notes
    -----
    Everything is written into a folder beside the result and moved into place when whole, the JSON
    file last. With ``blocks`` a run that was cut during the transform goes on where it stopped;
    one that was cut during the fit begins the fit again. The same run again reads nothing but the
    source. RDMs are Euclidean, between patterns per value of the label; networks hold the
    correlations above chance (``functional_network``); tensors are the recording as it stands.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np
    >>> import activome
    >>> noise = activome.make(np.random.default_rng(0).normal(size=(50, 4)), sampling_rate=10.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = run_method("PrincipalComponents", noise, pathlib.Path(folder) / "pc.zarr",
    ...                       parameters={"n_components": 2})
    ...     activome.load(done.activity).sizes["unit"]
    2
    """
    row = find_row(method)
    estimator = _make(row, parameters or {}, random_state)
    choose_output(estimator, output_of)
    if blocks and not hasattr(estimator, "summarise"):
        raise ParameterError(
            f"{OWNER}: {row.name} is not solved from sums, so that it needs the whole recording in "
            "memory. Leave out --blocks, and raise --max-memory where it is large."
        )
    paths = _Paths(Path(output))
    paths.refuse_source(source)
    opened = open_source(
        source,
        owner=OWNER,
        bin_width=bin_width,
        lazy=blocks,
        memory_limit=memory_limit,
        cure="Raise --max-memory, or give --blocks where the method is solved from sums.",
    )
    description = _describe(row, estimator, opened, label, output_of, blocks)
    key = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
    found = paths.finished(key)
    if found is not None:
        return MethodRun(paths.result(found), paths.estimator, paths.json, found, True)
    paths.refuse_others(overwrite)
    paths.prepare(key)
    began = time.perf_counter(), time.process_time()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            given = (opened.activity, paths, label, output_of)
            if blocks:
                output_name = _by_blocks(estimator, *given, memory_limit, progress)
            else:
                output_name = _at_once(row, estimator, *given, progress)
    except BaseException:
        paths.drop_unless_fitted()
        raise
    record = description | {
        "key": key,
        "output": output_name,
        "has_activity": (paths.partial / _ACTIVITY).exists(),
        "warnings": sorted({str(item.message) for item in caught}),
        "wall_seconds": time.perf_counter() - began[0],
        "cpu_seconds": time.process_time() - began[1],
    }
    paths.publish(record)
    return MethodRun(paths.result(record), paths.estimator, paths.json, record, False)


def _make(row: Method, parameters: dict[str, Any], random_state: RandomState) -> Any:
    cls = estimator_class(row)
    known = cls._get_param_names()
    for name in parameters:
        if name not in known:
            raise ParameterError(
                f"{OWNER}: {row.name} has no parameter {name!r}; {nearest_names(name, known)}"
            )
    chosen = dict(parameters)
    if "random_state" in known:
        chosen.setdefault("random_state", integer_seed(random_state))
    return cls(**chosen)


def _describe(
    row: Method,
    estimator: Any,
    source: MethodSource,
    label: str | None,
    output_of: str | None,
    blocks: bool,
) -> dict[str, Any]:
    from activome.report._versions import versions

    return {
        "method": row.name,
        "module": row.module,
        "parameters": {k: _plain(v) for k, v in estimator.get_params(deep=False).items()},
        "label": label,
        "output_of": output_of,
        "blocks": blocks,
        "source": source.record(),
        "versions": versions(),
    }


def _plain(value: Any) -> Any:
    plain = plain_values(value)
    return (
        plain if isinstance(plain, (bool, int, float, str, list, dict, type(None))) else repr(value)
    )


def _at_once(
    row: Method,
    estimator: Any,
    activity: Activity,
    paths: _Paths,
    label: str | None,
    output_of: str | None,
    progress: Progress,
) -> str:
    progress(f"fitting {row.name}", 0, 0)
    fit = fit_and_apply(row, estimator, activity, label, output_of)
    progress(f"fitting {row.name}", 1, 1)
    save_estimator(estimator, paths.partial / _ESTIMATOR)
    if fit.activity is not None:
        write_store(fit.activity, paths.partial / _ACTIVITY, overwrite=True, progress=progress)
    return fit.output


def _by_blocks(
    estimator: Any,
    activity: Activity,
    paths: _Paths,
    label: str | None,
    output_of: str | None,
    memory_limit: int,
    progress: Progress,
) -> str:
    from activome.activity.blocks import fit_blocks

    if label is not None:
        raise ParameterError(f"{OWNER}: a fit by blocks learns without a label; leave it out.")
    if (paths.partial / _ESTIMATOR).exists():
        estimator = load_estimator(paths.partial / _ESTIMATOR)
    else:
        fit_blocks(estimator, activity, memory=memory_limit, progress=progress)
        save_estimator(estimator, paths.partial / _ESTIMATOR)
    name = choose_output(estimator, output_of)
    if name is None:
        return "nothing but learned attributes"
    _apply_blocks(estimator, name, activity, paths.partial / _ACTIVITY, memory_limit, progress)
    return name


def _apply_blocks(
    estimator: Any,
    name: str,
    activity: Activity,
    target: Path,
    memory_limit: int,
    progress: Progress,
) -> None:
    lead = next((dim for dim in ("trial", "time") if dim in activity.dims), None)
    if lead is None:
        raise ActivityError(f"{OWNER}: blocks need trials or times; got dims {activity.dims}.")
    n_rows = activity.sizes[lead]
    # The block, its copies in the method, the result and a slab of the store are held at once.
    step = max(1, int(memory_limit // _PARTS // max(1, activity.nbytes // n_rows)))
    call = getattr(estimator, name)
    owner = type(estimator).__name__

    def piece(start: int) -> Activity:
        part = activity.isel({lead: slice(start, start + step)}).load()
        return as_activity(call(part), part, owner)

    first = piece(0)
    if is_complete(target):
        return
    with StoreWriter(target, first, dim=lead, length=n_rows, resume=True) as writer:
        start = writer.n_written
        progress("transforming", start, n_rows)
        while start < n_rows:
            writer.append(first if start == 0 else piece(start))
            start = writer.n_written
            progress("transforming", start, n_rows)


class _Paths:
    """The result, what lies beside it, and the folder in which all of it is made."""

    def __init__(self, output: Path) -> None:
        if output.suffix != ".zarr":
            raise ParameterError(
                f"{OWNER}: the result is a store, whose name must end in .zarr; got "
                f"{str(output)!r}."
            )
        self.activity = output
        self.estimator = output.with_name(f"{output.stem}_{_ESTIMATOR}")
        self.json = output.with_name(f"{output.stem}_{_RECORD}")
        self.partial = output.with_name(f"{output.stem}_partial")

    def result(self, record: dict[str, Any]) -> Path | None:
        """Return where the result is, None where the method only learned."""
        return self.activity if record["has_activity"] else None

    def finished(self, key: str) -> dict[str, Any] | None:
        """Return the record of this very run where all of it is in place."""
        found = _read(self.json)
        if found is None or found.get("key") != key or not self.estimator.is_file():
            return None
        return found if not found["has_activity"] or is_complete(self.activity) else None

    def refuse_source(self, source: Any) -> None:
        """Refuse to write over the recording itself."""
        is_path = isinstance(source, (str, os.PathLike))
        if is_path and Path(source).resolve() == self.activity.resolve():
            raise ParameterError(
                f"{OWNER}: the result must not replace its source; choose another -o."
            )

    def refuse_others(self, overwrite: bool) -> None:
        """Refuse to replace what another run, or somebody else, has put there."""
        for path in (self.activity, self.estimator, self.json):
            if path.exists() and not overwrite:
                raise StoreError(
                    f"{OWNER}: {path} is there already, of another run. Give --overwrite to "
                    "replace it, or another -o."
                )
        is_store = (self.activity / "zarr.json").is_file()
        if self.activity.exists() and not is_store:
            raise StoreError(f"{OWNER}: {self.activity} is no store; it is left as it is.")

    def prepare(self, key: str) -> None:
        """Make the folder of parts, or take up that of this very run."""
        begun = _read(self.partial / _RECORD)
        if begun is None or begun.get("key") != key:
            remove_tree(self.partial)
        self.partial.mkdir(parents=True, exist_ok=True)
        write_json(self.partial / _RECORD, {"key": key})

    def drop_unless_fitted(self) -> None:
        """Remove the parts where there is nothing that another run could go on with."""
        if not (self.partial / _ESTIMATOR).exists():
            remove_tree(self.partial)

    def publish(self, record: dict[str, Any]) -> None:
        """Move the parts into place; the record goes last, and says that all of it is there."""
        self.json.unlink(missing_ok=True)
        remove_tree(self.activity)
        os.replace(self.partial / _ESTIMATOR, self.estimator)
        if record["has_activity"]:
            os.replace(self.partial / _ACTIVITY, self.activity)
        write_json(self.json, plain_values(record))
        remove_tree(self.partial)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
