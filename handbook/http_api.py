"""The reference of the hub's HTTP API, from the description that the hub itself gives."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from cloud_hub.api.declared import EXTENSION

OPENING: Final = """\
<!-- Made from the code by handbook/http_api.py. -->

# The hub's HTTP API

Every route that a hub answers, with whom it lets in: `anybody`; a `device` with its credential; or
a person or program whose token has at least the role named ([people and roles](../PEOPLE.md)).
Send the token as `Authorization: Bearer …`. A hub that runs has the same as `/openapi.json`, and
as a page at `/docs`. Refusals are `{"error": "…"}` with a status of [these errors](ERRORS.md).
"""


def page() -> str:
    """Return the page."""
    return "\n".join([OPENING, *_sections(_description())])


def _description() -> Mapping[str, Any]:
    """Return the OpenAPI document of a hub that is made for this, and serves nobody."""
    from cloud_hub.app import create_app
    from cloud_hub.hub import initialise, open_hub
    from cloud_hub.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "hub", tick_seconds=0)
        initialise(settings)
        hub = open_hub(settings)
        try:
            described: Mapping[str, Any] = create_app(hub).openapi()
        finally:
            hub.close()
    return described


def _sections(described: Mapping[str, Any]) -> Iterator[str]:
    paths = sorted(described["paths"].items(), key=lambda item: (_subject(item[0]), item[0]))
    for subject, routes in groupby(paths, key=lambda item: _subject(item[0])):
        yield from (f"## {subject}", "", "| request | for | does |", "|---|---|---|")
        for path, methods in routes:
            for method, about in methods.items():
                yield f"| `{method.upper()} {path}` | {about.get(EXTENSION, '')} | {_does(about)} |"
        yield ""


def _subject(path: str) -> str:
    """Return what a route is about: ``models: triggers``, ``devices`` and the like."""
    words = [word for word in path.split("/") if word and not word.startswith("{")]
    if not words or words[0] != "v1":
        return "outside /v1"
    return f"models: {words[2]}" if words[1] == "models" and len(words) > 2 else words[1]


def _does(about: Mapping[str, Any]) -> str:
    text = about.get("description") or about.get("summary") or ""
    first = text.split("\n\n")[0]
    return " ".join(first.split()).replace("``", "`").replace("|", "\\|").replace("<", "&lt;")
