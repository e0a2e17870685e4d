"""The site: pages by hand, one page per system, and the reference from the docstrings."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))

from api_pages import write_pages  # noqa: E402

project = "activome"
author = "The activome developers"
copyright = "2026, the activome developers"  # noqa: A001
version = release = import_module("activome").__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
]
html_theme = "furo"
html_title = "activome"
html_static_path = ["_static"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# What scikit-learn documents for the methods that are inherited refers to pages of its own site.
suppress_warnings = ["ref.ref"]

write_pages(HERE)
