"""Language models: from a folder, a GGUF file or an installed package, and from no hub."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activome._checks import check_choice, nearest_names
from activome._extras import require
from activome.errors import ParameterError, ReadError
from activome.networks import _gguf_llama
from activome.networks._gguf_header import read_header
from activome.networks._gguf_tokenizer import tokenizer_of
from activome.networks._model_cache import cached, sha256_of
from activome.networks.model_assets import ASSETS, asset_path

__all__ = ["LanguageModel", "load_language_model"]

_OWNER = "load_language_model"
# Raised when what the cached folder holds changes, so that older ones are made again.
_LAYOUT = "models-1"


@dataclass(frozen=True)
class LanguageModel:
    """A network that reads tokens, with what made it.

    Attributes
    ----------
    model : torch.nn.Module
        In evaluation mode, on the CPU.
    tokenizer : transformers.PreTrainedTokenizerFast or None
        None where the folder of the model has no tokenizer.json.
    name : str
        Short name, such as "smollm2".
    checksum : str
        SHA-256 of the file that holds the weights (of their checksums, where it is several).

    Examples
    --------
    >>> LanguageModel(None, None, "tiny", "0" * 64).source
    'tiny sha256:000000000000'
    """

    model: Any
    tokenizer: Any
    name: str
    checksum: str

    @property
    def source(self) -> str:
        """Name and start of the checksum, for the attribute ``source`` of recordings."""
        return f"{self.name} sha256:{self.checksum[:12]}"


def load_language_model(
    source: str | os.PathLike[str], *, dtype: str = "float32", attention: str | None = None
) -> LanguageModel:
    """Load a language model and its tokenizer, without a network connection.

    Parameters
    ----------
    source : str or path
        ``"smollm2"`` or ``"minilm"`` (the packages that ``activome assets`` installs); a folder
        with config.json and weights as safetensors, and with tokenizer.json where texts are to be
        read; or a GGUF file of the Llama family.
    dtype : {"float32", "bfloat16", "float64"}, default="float32"
        Type of the weights. Patching and attribution need float32.
    attention : {"eager", "sdpa"}, optional
        Kernel of attention, by default the one transformers chooses; attention patterns can be
        recorded with "eager" alone.

    Returns
    -------
    LanguageModel
        With ``model``, ``tokenizer``, ``name`` and ``checksum``.

    Raises
    ------
    ParameterError
        If the source is no known name, folder or GGUF file, or an option is unknown.
    ReadError
        If a file is damaged, claims what its size cannot hold, or is of an unknown architecture.
    MissingExtraError
        If the package of a named model, or one that reads it, is not installed.
    ResourceError
        If the disk has no room for the weights of a GGUF file.

    Notes
    -----
    Weights of a GGUF file are expanded to float32 once and kept in the user's cache folder (or the
    one that ACTIVOME_CACHE names) under the checksum of the file; after that a load takes about a
    second. No code that comes with a model is run, and nothing is unpickled: a PyTorch file is read
    with ``weights_only=True``.

    Examples
    --------
    >>> try:
    ...     load_language_model("smollm3")
    ... except Exception as error:
    ...     print(str(error).partition(";")[0])
    load_language_model: 'smollm3' is no folder, no GGUF file and no known model
    """
    check_choice(dtype, ("float32", "bfloat16", "float64"), name="dtype", owner=_OWNER)
    if attention is not None:
        check_choice(attention, ("eager", "sdpa"), name="attention", owner=_OWNER)
    path, name = _locate(source)
    options: dict[str, Any] = {"dtype": dtype, "attention": attention}
    if path.is_dir():
        model, tokenizer = _from_folder(path, **options)
        return LanguageModel(model, tokenizer, name, _checksum(path))
    checksum = sha256_of(path)
    # The header is read on every load: a file that does not fit its size never meets a cache.
    header = read_header(path, owner=_OWNER)
    config = _gguf_llama.config_of(header, owner=_OWNER)

    def build(folder: Path) -> None:
        _write_folder(folder, header, config)

    beside = _tokenizer_beside(path)
    key = checksum if beside is None else f"{checksum}-{sha256_of(beside)[:12]}"
    n_bytes = _gguf_llama.expanded_bytes(header)
    folder = cached(f"{_LAYOUT}/{key}", build, n_bytes, owner=_OWNER)
    model, tokenizer = _from_folder(folder, **options)
    return LanguageModel(model, tokenizer, name, checksum)


def _locate(source: str | os.PathLike[str]) -> tuple[Path, str]:
    if source in ASSETS:
        return asset_path(str(source), owner=_OWNER), str(source)
    path = Path(source)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ParameterError(
                f"{_OWNER}: the folder {path} must hold a config.json; it does not."
            )
        return path, path.resolve().name
    if path.is_file():
        if path.suffix in (".pt", ".pth", ".bin", ".safetensors"):
            raise ParameterError(
                f"{_OWNER}: {path} holds weights alone; give the folder that holds it together "
                "with config.json."
            )
        return path, path.stem
    raise ParameterError(
        f"{_OWNER}: {str(source)!r} is no folder, no GGUF file and no known model; "
        f"{nearest_names(str(source), ASSETS)}"
    )


def _tokenizer_beside(path: Path) -> Path | None:
    found = path.with_name("tokenizer.json")
    return found if found.is_file() else None


def _write_folder(folder: Path, header: Any, config: dict[str, Any]) -> None:
    transformers = require("transformers", extra="llm", owner=_OWNER)
    beside = _tokenizer_beside(header.path)
    if beside is not None:
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(beside))
    else:
        tokenizer = tokenizer_of(header, config["vocab_size"], owner=_OWNER)
    known = {
        f"{key}_token_id": getattr(tokenizer, f"{key}_token_id") for key in ("bos", "eos", "pad")
    }
    full = transformers.LlamaConfig(**config, **known)
    full.architectures = ["LlamaForCausalLM"]
    full.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _gguf_llama.write_safetensors(folder / "model.safetensors", header, config, owner=_OWNER)


def _from_folder(folder: Path, *, dtype: str, attention: str | None) -> tuple[Any, Any]:
    transformers = require("transformers", extra="llm", owner=_OWNER)
    import torch

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with _quiet(transformers), _reading(folder):
        config = transformers.AutoConfig.from_pretrained(folder, **options)
        kinds = getattr(config, "architectures", None) or [""]
        is_causal = any("CausalLM" in kind or "LMHead" in kind for kind in kinds)
        loader = transformers.AutoModelForCausalLM if is_causal else transformers.AutoModel
        kernel = {} if attention is None else {"attn_implementation": attention}
        pickled = _pickled(folder)
        if pickled is None:
            model = loader.from_pretrained(
                folder,
                config=config,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                **kernel,
                **options,
            )
        else:
            model = loader.from_config(config, trust_remote_code=False, **kernel)
            with warnings.catch_warnings():
                # A file that holds no weights is refused; remarks of torch add nothing.
                warnings.simplefilter("ignore")
                state = torch.load(pickled, map_location="cpu", weights_only=True)
            model.load_state_dict(state)
            model = model.to(getattr(torch, dtype))
        tokenizer = None
        if (folder / "tokenizer.json").is_file():
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
    return model.eval(), tokenizer


def _pickled(folder: Path) -> Path | None:
    """Return the one file of weights that PyTorch wrote, where there are no safetensors."""
    if any(folder.glob("*.safetensors")):
        return None
    found = sorted(path for path in folder.iterdir() if path.suffix in (".pt", ".pth", ".bin"))
    if len(found) != 1:
        raise ReadError(
            f"{_OWNER}: {folder} must hold weights as safetensors, or in one file of PyTorch; "
            f"{len(found)} are there."
        )
    return found[0]


def _checksum(folder: Path) -> str:
    import hashlib

    files = sorted(folder.glob("*.safetensors")) or [path for path in [_pickled(folder)] if path]
    sums = [sha256_of(file) for file in files]
    return sums[0] if len(sums) == 1 else hashlib.sha256(" ".join(sums).encode()).hexdigest()


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Silence the bars and remarks of transformers, and leave its settings as they were."""
    logging = transformers.utils.logging
    level, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bar:
            logging.enable_progress_bar()


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Turn what the readers of a folder raise on damaged files into one error that names it."""
    import pickle

    safetensors = require("safetensors", extra="llm", owner=_OWNER)
    failures = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError)
    try:
        yield
    except (*failures, pickle.UnpicklingError, safetensors.SafetensorError) as error:
        if isinstance(error, ReadError):
            raise
        first = str(error).strip().partition("\n")[0]
        raise ReadError(
            f"{_OWNER}: {folder} must hold a model that transformers knows, whole; it could not be "
            f"loaded: {first} Get it again."
        ) from error
