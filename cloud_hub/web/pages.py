"""Pages that need nothing else: their templates, and how they write times and numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def page_template(package: str, name: str, **filters: Callable[..., str]) -> Any:
    """Return a template of Jinja that lies in ``package``; ``page.css`` is there to include.

    Args:
        package: such as ``cloud_hub.registry``.
        name: of the template's file.
        **filters: more than those that all pages have: ``when``, ``share`` and ``number``.
    """
    # Only pages need it: a hub that serves devices does not load a template engine.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package, "."), jinja2.PackageLoader("cloud_hub.web", ".")]
        ),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(when=_when, share=_share, number=_number, **filters)
    return environment.get_template(name)


def _when(at: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at)) if at else ""


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, int) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value + 0.0:.4g}"
