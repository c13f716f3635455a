"""What MkDocs calls while it builds the site: see ``mkdocs.yml``."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from handbook import commands, elsewhere, failures, http_api, metrics

ROOT = Path(__file__).parent.parent
MADE = {
    "reference/EDGE.md": commands.edge,
    "reference/EDGE_CONVERT.md": commands.edge_convert,
    "reference/EDGE_HUB.md": commands.edge_hub,
    "reference/ERRORS.md": failures.page,
    "reference/HTTP_API.md": http_api.page,
    "reference/METRICS.md": metrics.page,
}
"""Pages that are made from the code."""


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are made, those from outside ``docs/``, and the code that pages link to."""
    for place, make in MADE.items():
        files.append(File.generated(config, place, content=make()))
    for home, place in elsewhere.PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / home)))
    for source in sorted(_linked(files)):
        place = elsewhere.SOURCES + source
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Have the links of a page hold where the site has it."""
    place = page.file.src_uri
    if place in MADE:
        return markdown
    return elsewhere.with_links_of_the_site(markdown, place, _kind)


def on_nav(nav: Any, *, config: Any, files: Files) -> Any:
    """Refuse a page that one only finds by searching."""
    missing = sorted(page.file.src_uri for page in _outside(nav, files))
    if missing:
        from mkdocs.exceptions import PluginError

        raise PluginError(f"mkdocs.yml: expected every page in nav, missing: {', '.join(missing)}")
    return nav


def _outside(nav: Any, files: Files) -> Iterator[Any]:
    placed = {page.file.src_uri for page in nav.pages}
    for file in files.documentation_pages():
        decision = posixpath.dirname(file.src_uri) == "adr"
        if file.src_uri not in placed and not decision and file.page is not None:
            yield file.page


def _linked(files: Files) -> set[str]:
    found: set[str] = set()
    for file in files.documentation_pages():
        if file.src_uri not in MADE:
            text = file.content_string
            place = file.src_uri
            found |= elsewhere.sources_in(elsewhere.with_links_of_the_site(text, place, _kind))
    return found


def _kind(path: str) -> str:
    there = ROOT / path
    return "folder" if there.is_dir() else "file" if there.is_file() else "gone"
