"""Check that no file is more than one thing: at most 400 lines."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 400


def main() -> int:
    """Print every file over the limit; 1 when there are any."""
    long = []
    for folder in ("src", "tests", "benchmarks", "tools"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            n_lines = len(path.read_text("utf-8").splitlines())
            if n_lines > LIMIT:
                long.append(f"{path.relative_to(ROOT)}: {n_lines} lines, at most {LIMIT}")
    print("\n".join(long) or f"no file passes {LIMIT} lines")
    return int(bool(long))


if __name__ == "__main__":
    sys.exit(main())
