"""What MkDocs calls while it builds the site: see ``mkdocs.yml``."""

from __future__ import annotations

import re
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

WEIGHTS = {
    "start/": 4,
    "guides/": 4,
    "concepts/": 2,
    "reference/": 0.2,
    "project/": 0.1,
    "STATISTICAL": 0.2,
}
"""How much a page counts in searches, by the beginning of its path; else 1.

Who searches wants to be told what to do first, and long tables have every word.
"""

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):(?=<)")


def on_config(config: Any) -> Any:
    """Give a page that ``nav`` does not name a place, so that one finds it without searching."""
    named = set(re.findall(r"'([^']+\.md)'", repr(config.nav)))
    pages = [path.name for path in sorted((ROOT / "docs").glob("*.md"))]
    more = [page for page in pages if page not in named]
    if more:
        config.nav.append({"More": more})
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are made, those from elsewhere, and the code that pages link to."""
    for place, make in MADE.items():
        files.append(File.generated(config, place, content=make()))
    for home, place in elsewhere.PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / home)))
    for source in sorted(_linked(files)):
        place = elsewhere.SOURCES + source
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Have the links of a page hold where the site has it, and weigh it for searches."""
    place = page.file.src_uri
    weight = next((weight for begin, weight in WEIGHTS.items() if place.startswith(begin)), 1)
    page.meta.setdefault("search", {"boost": weight})
    if place in MADE:
        return markdown
    return elsewhere.with_links_of_the_site(markdown, place, _kind)


def on_page_content(html: str, **_: Any) -> str:
    """Leave the roles of Sphinx out, which docstrings have for readers of the code."""
    return _ROLE.sub("", html)


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
