"""Files of the repository outside ``docs/`` that the site shows, and links between all of them.

Pages are written so that their links hold where somebody reads them beside the code. In the site
a page may lie elsewhere, so every link is followed in the repository first, and then written anew.
A pure module: what is there is an argument.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Final

PAGES: Final[Mapping[str, str]] = {
    "ARCHITECTURE.md": "project/ARCHITECTURE.md",
    "CHANGELOG.md": "project/CHANGELOG.md",
    "CONTRIBUTING.md": "project/CONTRIBUTING.md",
    "SECURITY.md": "project/SECURITY.md",
    "benchmarks/BYTES.md": "project/BYTES.md",
    "benchmarks/COLD_START.md": "project/MEASURED_COLD_START.md",
    "benchmarks/RESULTS.md": "project/RESULTS.md",
    "benchmarks/STATISTICS.md": "project/STATISTICS.md",
    "benchmarks/cold_start.svg": "project/cold_start.svg",
    "converters/README.md": "reference/CONVERT.md",
    "native/README.md": "guides/COMPILED_FORESTS.md",
    "packs/README.md": "guides/PACKS_ELSEWHERE.md",
    "packs/c/README.md": "guides/PACKS_IN_C.md",
    "packs/js/README.md": "guides/PACKS_IN_JAVASCRIPT.md",
}
"""Path in the repository → path in the site."""

SOURCES: Final = "source/"
"""Folder of the site with the files of the repository that some page links to."""

_LINK = re.compile(r"(?P<text>!?\[[^\]]*\])\((?P<target>[^)\s:#]+)(?P<part>#[^)\s]*)?\)")
_FENCE = re.compile(r"(```.*?```)", re.DOTALL)


def home_of(page: str) -> str:
    """Return where a page of the site has its text in the repository, as a path.

    Args:
        page: path in the site, such as ``project/RESULTS.md``.
    """
    back = {site: home for home, site in PAGES.items()}
    return back.get(page, f"docs/{page}")


def with_links_of_the_site(text: str, page: str, kind: Callable[[str], str]) -> str:
    """Return a page whose relative links hold in the site.

    A link to a file of the code leads to a copy of it below :data:`SOURCES`; of a link to a folder
    without a page the words stay.

    Args:
        text: Markdown.
        page: path of the page in the site.
        kind: says of a path in the repository whether it is a ``file``, a ``folder`` or ``gone``.
    """
    folder = posixpath.dirname(home_of(page))

    def follow(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link["target"]))
        place = place_of(target, kind(target))
        if place is None:
            return link["text"].strip("[]")
        near = posixpath.relpath(place, posixpath.dirname(page) or ".")
        return f"{link['text']}({near}{link['part'] or ''})"

    parts = _FENCE.split(text)
    return "".join(part if n % 2 else _LINK.sub(follow, part) for n, part in enumerate(parts))


def place_of(target: str, kind: str) -> str | None:
    """Return where the site has a file of the repository; ``None`` for a folder without a page.

    Args:
        target: path in the repository.
        kind: ``file``, ``folder`` or ``gone``.
    """
    if kind == "folder":
        inside = f"{target}/README.md"
        return PAGES.get(inside) or ("adr/README.md" if target == "docs/adr" else None)
    if target in PAGES:
        return PAGES[target]
    if target == "README.md":
        return "index.md"
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    # What is not there stays as it is, so that the strict build complains of it.
    return SOURCES + target if kind == "file" else target


def sources_in(text: str) -> set[str]:
    """Return the paths in the repository of the copied files that a page of the site links to.

    Args:
        text: Markdown, with the site's links.
    """
    found = re.findall(rf"\]\((?:\.\./)*{SOURCES}([^)#]+)", text)
    return set(found)
