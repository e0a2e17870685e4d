"""Write the pages of the site that follow from the code: the reference and the list of systems."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import activome
from activome._files import write_text
from activome._systems import systems

ROOT = Path(__file__).resolve().parent.parent
# Scikit-learn gives every estimator these; its own manual has them.
_INHERITED = (
    "get_metadata_routing", "set_output", "set_fit_request", "set_transform_request",
    "set_inverse_transform_request", "set_predict_request", "set_predict_proba_request",
    "set_score_request", "set_partial_fit_request",
)  # fmt: skip


def rooms() -> list[str]:
    """Return the rooms that have public names."""
    found = [info.name for info in pkgutil.iter_modules(activome.__path__) if info.ispkg]
    return [room for room in found if importlib.import_module(f"activome.{room}").__all__]


def room_page(room: str) -> str:
    """Return the reference page of one room: every public name, from where it is defined."""
    package = importlib.import_module(f"activome.{room}")
    lines = [f"# {room}", "", (package.__doc__ or "").strip(), ""]
    for name in sorted(package.__all__):
        member = getattr(package, name)
        home = getattr(member, "__module__", package.__name__)
        if not home.startswith("activome."):
            # Another package's own, under the name that it has here.
            continue
        if inspect.isclass(member):
            hidden = f":exclude-members: {', '.join(_INHERITED)}"
            directive, options = "autoclass", [":members:", ":inherited-members: Module", hidden]
        elif callable(member):
            directive, options = "autofunction", []
        else:
            continue
        lines += ["```{eval-rst}", f".. {directive}:: {home}.{name}"]
        lines += [f"   {option}" for option in options] + ["```", ""]
    return "\n".join(lines)


def systems_page() -> str:
    """Return the list of systems, with what their studies found."""
    lines = ["# Systems", ""]
    lines += ["Each page tells what the full size of the study measured.", ""]
    lines += ["| no. | system | paper | full study |", "|---|---|---|---|"]
    for s in systems():
        held = f"{s.held} of {s.claims} claims held" if s.claims else "not measured"
        lines.append(f"| {s.number} | [{s.name}](../systems/{s.slug}.md) | {s.paper} | {held} |")
    return "\n".join([*lines, ""])


def write_pages(docs: Path) -> None:
    """Write every page below ``docs/api``."""
    for room in rooms():
        write_text(docs / "api" / f"{room}.md", room_page(room))
    write_text(docs / "api" / "systems.md", systems_page())
    names = "\n".join(rooms())
    text = f"# Reference\n\n```{{toctree}}\n:maxdepth: 1\n\nerrors\n{names}\n```\n"
    write_text(docs / "api" / "index.md", text)
    lines = ["# errors", "", "Every refusal is one of these; each is also the built-in a caller"]
    lines += [
        "would expect.",
        "",
        "```{eval-rst}",
        ".. automodule:: activome.errors",
        "   :members:",
    ]
    lines += ["   :show-inheritance:", "```", ""]
    write_text(docs / "api" / "errors.md", "\n".join(lines))


if __name__ == "__main__":
    write_pages(ROOT / "docs")
    sys.exit(0)
