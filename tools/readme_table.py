"""Write the table of systems into the README, or check that it is the one of ``systems.toml``."""

from __future__ import annotations

import sys
from pathlib import Path

from activome._files import write_text
from activome._systems import System, systems

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- systems: begin -->", "<!-- systems: end -->"


def cited(system: System) -> str:
    """Return the paper in short: the first author, and the year."""
    authors = system.paper.partition(', "')[0]
    first = authors.replace(" and ", ", ").split(", ")[0]
    surname = " ".join(part for part in first.split() if not part.endswith("."))
    several = " and " in authors or ", " in authors
    return f"{surname}{' et al.' if several else ''} {system.year}"


def row(system: System) -> str:
    """Return the row of one system."""
    held = f"{system.held} of {system.claims} hold" if system.claims else "not measured"
    # Why a claim was not run stands on the system's page.
    others = [
        text.partition(" (")[0] if ": not run (" in text else text for text in system.not_held
    ]
    link = f"[{system.slug}](docs/systems/{system.slug}.md)"
    said = "<br>".join((f"**{system.status}**: {held}", *others)).replace("|", "\\|")
    return f"| {system.number} | {link} | {system.name} | {cited(system)} | {said} |"


def table() -> str:
    """Return the whole table."""
    head = ["| no. | name | what | paper | claims of the full study |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(row(system) for system in systems())])


def main() -> int:
    """Write or check; 1 when a check fails."""
    path = ROOT / "README.md"
    text = path.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if "--check" not in sys.argv:
        write_text(path, wanted)
        return 0
    same = text == wanted
    print(
        "the README's table is that of systems.toml"
        if same
        else "the README's table is old: run python tools/readme_table.py"
    )
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
