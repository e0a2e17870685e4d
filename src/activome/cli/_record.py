"""Command ``record``: the activity of a model on a text, written to a store."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from activome.cli._models import model_of
from activome.cli._screen import Bar
from activome.cli._sizes import memory_bytes
from activome.errors import ParameterError, ReadError, ResourceError

__all__ = ["record"]

# A pass holds its own tensors beside what is recorded; of one token of a small model, about this.
# What torch and transformers take when they are loaded.
_LIBRARIES = 600 * 2**20
_BYTES_PER_TOKEN = 1 << 16
_COPIES = 5
_MOST_TOKENS = 2048
_PROBE = 8


class Stored(StrEnum):
    """Types in which values are stored."""

    float16 = "float16"
    float32 = "float32"
    float64 = "float64"


class Reduction(StrEnum):
    """What becomes of the positions of a sample."""

    mean = "mean"
    max = "max"
    last = "last"


def record(
    model: Annotated[
        str,
        typer.Argument(
            help="smollm2, minilm, a folder with config.json and safetensors, a GGUF file, or "
            "python:module:function."
        ),
    ],
    text: Annotated[
        Path | None, typer.Option(help="Text file; each line that is not empty is a sample.")
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(help="Token ids instead: .npy of whole numbers, or text, one sample a line."),
    ] = None,
    sites: Annotated[
        list[str] | None,
        typer.Option(help="What to record, such as 'mlp_out[*]' or 'module:layers.*#out'; repeat."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Store to write.")] = Path(
        "run.zarr"
    ),
    context: Annotated[
        int, typer.Option(min=1, help="Most tokens of a sample; longer ones are cut in pieces.")
    ] = 256,
    whole: Annotated[
        bool, typer.Option("--whole", help="Take the text file as one text, across its lines.")
    ] = False,
    skip_first: Annotated[
        bool,
        typer.Option(
            "--skip-first",
            help="Leave out the first token of each sample; in many models it dwarfs all others.",
        ),
    ] = False,
    dtype: Annotated[Stored, typer.Option(help="Type of the values.")] = Stored.float32,
    reduce: Annotated[
        Reduction | None, typer.Option(help="Reduce over the tokens of each sample.")
    ] = None,
    max_memory: Annotated[
        str, typer.Option(help="Most memory, such as 500MB or 4GB; a bare number is GiB.")
    ] = "2GiB",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Do not resume; a store that is there is replaced.")
    ] = False,
    list_sites: Annotated[
        bool, typer.Option("--list-sites", help="Print the sites of the model, and record nothing.")
    ] = False,
) -> None:
    """Record the activity of a language model on a text; `activome report` reads what it writes."""
    limit = memory_bytes(max_memory, owner="record")
    if not list_sites and (text is None) == (tokens is None):
        raise ParameterError("record: give --text FILE or --tokens FILE, one of the two.")
    for file in (text, tokens):
        if file is not None and not file.is_file():
            raise ReadError(f"record: there is no file {str(file)!r}.")
    loaded = model_of(model)
    if list_sites:
        _print_sites(loaded.model)
        return
    samples = _samples(loaded, text, tokens, whole=whole)
    samples = [ids[i : i + context] for ids in samples for i in range(0, len(ids), context)]
    samples = [ids for ids in samples if len(ids) > skip_first]
    if not samples:
        raise ReadError(f"record: {text or tokens} holds no token to record.")
    _check_tokens(loaded.model, samples, text or tokens)
    wanted = sites or ["resid_post[*]"]
    n_tokens = _batch_tokens(loaded.model, samples, wanted, limit)
    if fresh:
        _remove(output)
    from activome.interventions.recording import record as record_sites
    from activome.interventions.selectors import Sel

    source = loaded.source if loaded.checksum else loaded.name
    with Bar() as progress:
        found = record_sites(
            loaded.model,
            samples,
            wanted,
            at=Sel(pos="all_but_first") if skip_first else None,
            tokenizer=loaded.tokenizer,
            reduce=None if reduce is None else reduce.value,
            dtype=dtype.value,
            max_tokens=n_tokens,
            max_bytes=limit,
            to=output,
            resume=not fresh,
            source=f"{source} on {(text or tokens or Path()).name}",
            progress=progress,
        )
    sizes = ", ".join(f"{n} {dim}s" for dim, n in found.sizes.items())
    typer.echo(f"wrote {output}: {sizes}, {found.dtype}; look at it with: activome report {output}")


def _print_sites(model: Any) -> None:
    from activome.interventions.sites import SiteTable

    table = SiteTable(model)
    for name, found in table.named.items():
        layers = [site.layer for site in found if site.layer is not None]
        note = "" if found[0].is_editable else "  (read only)"
        typer.echo(f"{name}[{layers[0]}:{layers[-1] + 1}]{note}" if layers else f"{name}{note}")
    if not table.named:
        for site in table.all():
            typer.echo(site.label)


def _samples(
    loaded: Any, text: Path | None, tokens: Path | None, *, whole: bool
) -> list[list[int]]:
    if tokens is not None:
        return _token_lists(tokens)
    if text is None:
        return []
    if loaded.tokenizer is None:
        raise ParameterError(
            f"record: {loaded.name} has no tokenizer, so it reads no text. Put its tokenizer.json "
            "beside its weights, or give token ids with --tokens."
        )
    try:
        content = text.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ReadError(f"record: {text} must be text in UTF-8; {error}.") from error
    pieces = [content] if whole else content.splitlines()
    encode = getattr(loaded.tokenizer, "encode", loaded.tokenizer)
    options = {"verbose": False} if hasattr(loaded.tokenizer, "convert_ids_to_tokens") else {}
    found = (encode(piece, **options) for piece in pieces if piece.strip())
    return [list(getattr(ids, "ids", ids)) for ids in found]


def _token_lists(path: Path) -> list[list[int]]:
    import numpy as np

    wanted = "whole numbers from 0, as .npy with one or two axes, or as text with one sample a line"
    try:
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
            if array.ndim not in (1, 2) or array.dtype.kind not in "iu":
                raise ValueError(f"it holds {array.dtype} of shape {array.shape}")
            found: list[list[int]] = np.atleast_2d(array).astype(np.int64).tolist()
        else:
            lines = path.read_text(encoding="utf-8").splitlines()
            found = [[int(word) for word in line.split()] for line in lines if line.strip()]
    except (ValueError, EOFError) as error:
        raise ReadError(f"record: {path} must hold token ids: {wanted}; {error}.") from error
    return found


def _check_tokens(model: Any, samples: list[list[int]], path: Any) -> None:
    find = getattr(model, "get_input_embeddings", None)
    table = find() if callable(find) else None
    n_rows = getattr(table, "num_embeddings", None)
    low, high = min(map(min, samples)), max(map(max, samples))
    if low < 0 or (n_rows is not None and high >= n_rows):
        raise ParameterError(
            f"record: token ids must be in 0 to {'...' if n_rows is None else n_rows - 1}; {path} "
            f"has {low if low < 0 else high}. Use the ids of this model's tokenizer."
        )
    room = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    longest = max(map(len, samples))
    if isinstance(room, int) and longest > room:
        raise ParameterError(
            f"record: the model reads {room} tokens at most, and a sample has {longest}. Give "
            f"--context {room} or less."
        )


def _batch_tokens(model: Any, samples: list[list[int]], sites: list[str], limit: int) -> int:
    """Return how many tokens go through the model at once, so that memory holds them."""
    from activome._checks import human_bytes
    from activome.interventions.recording import record as record_sites

    found = record_sites(model, [samples[0][:_PROBE]], sites)
    n_bytes = sum(part.nbytes for part in found.values()) / len(samples[0][:_PROBE])
    # Not what this process holds: it may have done other things before.
    used = _LIBRARIES + sum(part.nbytes for part in (*model.parameters(), *model.buffers()))
    fits = int((limit - used) / (_BYTES_PER_TOKEN + _COPIES * n_bytes))
    longest = max(map(len, samples))
    if fits < longest:
        need = used + longest * (_BYTES_PER_TOKEN + _COPIES * n_bytes)
        raise ResourceError(
            f"record: a sample of {longest} tokens needs {human_bytes(need)}, {human_bytes(used)} "
            f"of it for the model; the limit is {human_bytes(limit)}. Give a larger --max-memory, "
            "fewer --sites, or a shorter --context."
        )
    # A power of two, so that a run that is taken up again cuts the same batches.
    return max(longest, min(_MOST_TOKENS, 1 << (fits.bit_length() - 1)))


def _remove(output: Path) -> None:
    from activome.activity.store import store_status

    if not output.exists():
        return
    status = store_status(output)
    if status.kind is None or status.writer is not None:
        raise ParameterError(
            f"record: {output} is no store of activome, or is being written; it is left as it is. "
            "Choose another --output."
        )
    shutil.rmtree(output)
