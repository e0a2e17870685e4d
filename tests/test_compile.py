"""Compiled kernels: what is cached on disk goes with the files it was made from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_INNER = """from activome._compile import kernel

@kernel()
def inner(x):
    return x + {added}
"""
_OUTER = """from activome._compile import kernel
from kernels_inner import inner

@kernel()
def outer(x):
    return inner(x) * 2
"""


def call(folder: Path) -> tuple[int, int]:
    """Return outer(1) of a new process, and how many kernels it found in the cache."""
    code = "from kernels_outer import outer; print(outer(1), sum(outer.stats.cache_hits.values()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    found, n_hits = done.stdout.split()
    return int(found), int(n_hits)


def test_a_kernel_is_compiled_anew_when_one_that_it_calls_has_changed(tmp_path: Path) -> None:
    (tmp_path / "kernels_outer.py").write_text(_OUTER)
    (tmp_path / "kernels_inner.py").write_text(_INNER.format(added=1))
    assert call(tmp_path) == (4, 0)
    assert call(tmp_path) == (4, 1)
    (tmp_path / "kernels_inner.py").write_text(_INNER.format(added=10))
    assert call(tmp_path) == (22, 0)
