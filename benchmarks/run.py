"""Run every benchmark file in turn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run the files beside this one with the arguments given; 1 when a result differed."""
    here = Path(__file__).resolve().parent
    files = sorted(set(here.glob("[!_]*.py")) - {here / "harness.py", here / "run.py"})
    codes = [
        subprocess.run([sys.executable, str(file), *sys.argv[1:]]).returncode for file in files
    ]
    return int(any(codes))


if __name__ == "__main__":
    raise SystemExit(main())
