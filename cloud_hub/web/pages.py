"""Templates of pages, and how they write times and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from cloud_hub.web.numbers import (
    ago_text,
    byte_text,
    number_text,
    p_text,
    share_text,
    span_text,
    time_text,
)
from cloud_hub.web.wording import (
    ShownFigure,
    change_text,
    check_name,
    figure,
    plain_name,
    signal_name,
    value_text,
    words_of,
)


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
    ``number``, ``bytes``, ``span`` and ``p`` write numbers; ``words``, ``value``, ``change`` and
    ``figures`` tell what code has names for, ``check``, ``signal`` and ``plain`` its names;
    ``part`` is for names in URLs.

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
        when=time_text, ago=ago_text, share=share_text, number=number_text, bytes=byte_text,
        span=span_text, p=p_text, part=part, figures=_figures, check=check_name,
        signal=signal_name, plain=plain_name, words=words_of, value=value_text, change=change_text,
    )  # fmt: skip
    return environment


def _figures(document: Mapping[str, Any]) -> list[ShownFigure]:
    """The figures of a document in the order of their names."""
    return [figure(name, value) for name, value in sorted(document.items())]


def part(name: object) -> str:
    """Return a name as one part of a path, or a value of a query: no character of it
    means anything.
    """
    return quote(str(name), safe="")
