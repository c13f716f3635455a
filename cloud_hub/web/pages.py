"""Templates of pages, and how they write times and numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote


def page_template(package: str, name: str, **filters: Callable[..., str]) -> Any:
    """Return a template of Jinja for a page that needs nothing else; ``page.css`` is there to
    include.

    Args:
        package: that it lies in, such as ``cloud_hub.registry``.
        name: of the template's file.
        **filters: more than those that all pages have; see :func:`page_environment`.
    """
    environment = page_environment(package, ".")
    environment.filters.update(filters)
    return environment.get_template(name)


def page_environment(package: str, folder: str = "templates") -> Any:
    """Return the templates of a package, and below them those that all pages share.

    Everything is escaped that is not marked as safe. Filters: ``when``, ``ago``, ``share``,
    ``number``, ``bytes``, and ``part`` for names in URLs.

    Args:
        package: such as ``cloud_hub.pages``.
        folder: of the templates in it.
    """
    # Only pages need it: a hub that serves devices does not load a template engine.
    import jinja2

    homes = [(package, folder), ("cloud_hub.web", "."), ("cloud_hub.web", "templates")]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(*home) for home in homes]),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        when=_when, ago=_ago, share=_share, number=_number, bytes=_bytes, part=part
    )
    return environment


def _when(at: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at)) if at else ""


def _ago(at: float | None, now: float) -> str:
    """``at`` as the time from then to ``now``, in its largest unit."""
    if not at:
        return "never"
    seconds = max(now - at, 0.0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, int) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value + 0.0:.4g}"


def _bytes(value: float | None) -> str:
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1_000:
            return f"{value:.3g} {unit}"
        value /= 1_000
    return f"{value:.3g} TB"


def part(name: object) -> str:
    """Return a name as one part of a path, or a value of a query: no character of it
    means anything.
    """
    return quote(str(name), safe="")
