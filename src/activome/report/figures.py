"""Figures: one style, drawn without a window, readable in grey, on a white card."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from activome.report.section import Figure

__all__ = [
    "ACCENT",
    "ENSEMBLE_COLOURS",
    "INK",
    "MUTED",
    "NULL",
    "RASTER",
    "SIGNED",
    "canvas",
    "finish",
    "plain_ticks",
    "short",
    "shrink",
    "style",
]

Array = np.ndarray[Any, Any]

INK = "#1b2733"
MUTED = "#5d6b7a"
NULL = "#b9c2cc"
ACCENT = "#00588f"
# Okabe and Ito's colours in an order in which neighbours differ in lightness as well as in hue.
ENSEMBLE_COLOURS = (
    "#00588f", "#e69f00", "#007a5a", "#c0649b", "#56b4e9", "#a84300", "#b8a800", "#4a4a4a",
)  # fmt: skip
RASTER = LinearSegmentedColormap.from_list(
    "raster", ["#ffffff", "#dfe9f3", "#9dbdd9", "#4a86b8", "#12507f", "#06243d"]
)
# Lightness falls from low to high, so that the sign survives a grey print.
SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#ffe9c7", "#f7f3ea", "#eef2f5", "#7fb0d3", "#1f659c", "#082f54"]
)
_WIDTH = 9.2
_DPI = 190
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 7.0,
    "lines.linewidth": 1.2,
    "image.interpolation": "nearest",
    # Names from files are text, never formulas.
    "text.parse_math": False,
    "axes.unicode_minus": True,
}


@contextmanager
def style() -> Iterator[None]:
    """Set the style of figures for a block.

    Yields
    ------
    None
        While the style holds.
    """
    with mpl.rc_context(_STYLE):
        yield


def canvas(height: float, *, width: float = _WIDTH) -> Canvas:
    """Return an empty figure.

    Parameters
    ----------
    height : float
        In inches.
    width : float, default=9.2
        In inches.

    Returns
    -------
    matplotlib.figure.Figure
        With a layout that keeps labels apart.
    """
    figure = Canvas(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def finish(figure: Canvas, name: str, *, alt: str, caption: str) -> Figure:
    """Draw a figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What was drawn.
    name : str
        File name without its suffix.
    alt, caption : str
        What it shows, and what to look at.

    Returns
    -------
    Figure
        As PNG, the same bytes for the same drawing.
    """
    from PIL import Image

    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=_DPI, metadata={"Software": None})
    picture = Image.open(raw).convert("RGB")
    # 256 colours of its own: a third of the size, and no difference to the eye.
    small = picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    out = io.BytesIO()
    small.save(out, format="png", optimize=True)
    return Figure(name, out.getvalue(), alt, caption)


def plain_ticks(axis: Any) -> None:
    """Label the decades of a logarithmic axis with plain numbers.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        One of the two axes of a panel; formulas are switched off in this style.
    """
    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def shrink(values: Array, n_rows: int, n_columns: int) -> Array:
    """Average a matrix down to at most some rows and columns.

    Parameters
    ----------
    values : ndarray, shape (n, m)
        A matrix.
    n_rows, n_columns : int
        Most rows and columns.

    Returns
    -------
    ndarray of float64, shape (min(n, n_rows), min(m, n_columns))
        Means of neighbours.

    Examples
    --------
    >>> shrink(np.array([[1.0, 3.0, 5.0, 7.0]]), 1, 2).tolist()
    [[2.0, 6.0]]
    """
    out = np.asarray(values, dtype=np.float64)
    for axis, most in enumerate((n_rows, n_columns)):
        n = out.shape[axis]
        if n > most:
            starts = np.linspace(0, n, most, endpoint=False).astype(int)
            lengths = np.diff(np.append(starts, n))
            shape = [-1 if k == axis else 1 for k in range(2)]
            out = np.add.reduceat(out, starts, axis=axis) / lengths.reshape(shape)
    return out


def short(name: Any, length: int = 18) -> str:
    """Return a name that fits beside an axis.

    Parameters
    ----------
    name : Any
        A name.
    length : int, default=18
        Most characters.

    Returns
    -------
    str
        Printable characters; cut in the middle where it is longer.

    Examples
    --------
    >>> short("a rather long name of a unit", 12)
    'a rath…unit'
    """
    text = str(name)[: 4 * length] + (str(name)[-length:] if len(str(name)) > 4 * length else "")
    text = "".join(c if c.isprintable() else "�" for c in text)
    if len(text) <= length:
        return text
    return f"{text[: length // 2]}…{text[-(length // 2 - 2) :]}"
