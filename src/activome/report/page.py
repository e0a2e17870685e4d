"""The HTML of a report: one file without scripts, without outside hosts, everything escaped."""

from __future__ import annotations

import base64
from importlib.resources import files
from typing import Any

import jinja2

from activome._checks import human_bytes
from activome.report._cache import Cache
from activome.report.registry import SECTIONS

__all__ = ["embed_picture", "page_environment", "render_page"]

_LONGEST = 400
_MARKS = {
    "found": "●", "nothing": "○", "not applicable": "–", "described": "■", "problems": "▲",
}  # fmt: skip
_HERO = ("activity", 0)
_FULL_WIDTH = 1748


def render_page(record: dict[str, Any], cache: Cache) -> str:
    """Render the record of a report.

    Parameters
    ----------
    record : dict
        As in ``report.json``.
    cache : Cache
        Holds the pictures.

    Returns
    -------
    str
        A page with its style and pictures inside.
    """
    environment = page_environment()

    def picture(name: str) -> dict[str, str]:
        return embed_picture(cache.figure(name).read_bytes())

    sections = [
        {"entry": entry, "cost": record["cost"][entry.name], **record["sections"][entry.name]}
        for entry in SECTIONS
        if entry.name in record["sections"]
    ]
    pictures = record["sections"][_HERO[0]]["figures"]
    return environment.get_template("report.html").render(
        record=record,
        sections=sections,
        hero=pictures[_HERO[1]] if pictures else None,
        picture=picture,
        marks=_MARKS,
        seconds=sum(cost["wall_seconds"] for cost in record["cost"].values()),
        peak=max(cost["peak_memory_bytes"] for cost in record["cost"].values()),
    )


def page_environment() -> jinja2.Environment:
    """Return the templates of pages, with everything that is filled in escaped.

    Returns
    -------
    jinja2.Environment
        With the filters ``cut``, ``p``, ``bytes`` and ``duration``.
    """
    folder = files("activome.report") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(
            {item.name: item.read_text(encoding="utf-8") for item in folder.iterdir()
             if item.name.endswith((".html", ".css"))}
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"cut": _cut, "p": _p, "bytes": human_bytes, "duration": _duration}
    return environment


def embed_picture(png: bytes) -> dict[str, str]:
    """Return a picture as it stands in a page.

    Parameters
    ----------
    png : bytes
        The picture.

    Returns
    -------
    dict of str to str
        ``data`` in base64, and ``share``: its width as a percentage of that of the page.
    """
    # Width and height stand in the first chunk of a PNG.
    width = int.from_bytes(png[16:20], "big")
    share = f"{min(100.0, 100.0 * width / _FULL_WIDTH):.1f}"
    return {"data": base64.b64encode(png).decode("ascii"), "share": share}


def _cut(text: Any, length: int = _LONGEST) -> str:
    """Return text of bounded length; names in files may have a million characters."""
    whole = str(text)
    return whole if len(whole) <= length else f"{whole[: length - 1]}…"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "p < 1e-12" if value < 1e-12 else f"p = {value:.2g}"


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.3g} s"
