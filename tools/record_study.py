"""Write what full studies printed into ``systems.toml``: ``record_study.py results/*.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tomlkit

from activome._files import write_text

ROOT = Path(__file__).resolve().parent.parent


def sentence(claim: dict[str, Any]) -> str:
    """Say what was measured for a claim that did not hold, or why it was not run."""
    if claim["holds"] is None:
        return f"{claim['name']}: not run ({claim['note']})"
    measured = claim["measured"]
    shown = f"{measured:.3g}" if isinstance(measured, float) else str(measured)
    return f"{claim['name']}: measured {shown}, wanted {claim['threshold']}"


def main() -> int:
    """Update one row per file given; 1 when a file is not of a full study."""
    path = ROOT / "src" / "activome" / "systems.toml"
    document = tomlkit.parse(path.read_text("utf-8"))
    rows = {row["slug"]: row for row in document.get("system", [])}
    for name in sys.argv[1:]:
        record = json.loads(Path(name).read_text("utf-8"))
        if record["size"] != "full" or record["system"] not in rows:
            print(f"{name}: not a full study of a system in systems.toml")
            return 1
        claims = record["claims"]
        row = rows[record["system"]]
        row["claims"] = len(claims)
        row["held"] = sum(claim["holds"] is True for claim in claims)
        failed = tomlkit.array()
        failed.extend(sentence(claim) for claim in claims if claim["holds"] is not True)
        row["not_held"] = failed.multiline(bool(failed))
    write_text(path, tomlkit.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
