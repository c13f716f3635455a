"""Style sheet, scripts and images of pages: a fixed table of files, with their digests in URLs.

They hold nothing of a hub, so strangers may have them: the sign-in page needs them. A file whose
URL has its digest never changes and is kept by browsers for good.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import Request, Response

from cloud_hub.api.auth import PUBLIC
from cloud_hub.api.router import HubRouter
from cloud_hub.errors import NotFound

router = HubRouter(include_in_schema=False)

_HERE: Final = Path(__file__).parent
_SCRIPT, _STYLE, _IMAGE = "text/javascript", "text/css", "image/svg+xml"
FILES: Final = {
    "hub.css": ("static/hub.css", _STYLE),
    "charts.css": ("charts.css", _STYLE),
    "hub.js": ("static/hub.js", _SCRIPT),
    "docs.js": ("static/docs.js", _SCRIPT),
    "icon.svg": ("static/icon.svg", _IMAGE),
    "htmx.js": ("vendor/htmx/htmx.min.js", _SCRIPT),
    "idiomorph.js": ("vendor/idiomorph/idiomorph-ext.min.js", _SCRIPT),
    "swagger-ui.js": ("vendor/swagger-ui/swagger-ui-bundle.js", _SCRIPT),
    "swagger-ui.css": ("vendor/swagger-ui/swagger-ui.css", _STYLE),
}
"""By name in URLs: the file below this folder, and its type."""

FOR_GOOD: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """A file as it is sent; ``digest`` is the begin of the SHA-256 of its bytes."""

    raw: bytes
    compressed: bytes
    digest: str
    media_type: str


@functools.cache
def asset(name: str) -> Asset:
    """Return a file of the table, read once; raises NotFound."""
    if name not in FILES:
        raise NotFound(f"{name}: no such file of a page")
    path, media_type = FILES[name]
    raw = (_HERE / path).read_bytes()
    # Without a time in its header: every worker gives the same bytes.
    compressed = gzip.compress(raw, mtime=0)
    return Asset(raw, compressed, hashlib.sha256(raw).hexdigest()[:16], media_type)


def asset_url(name: str) -> str:
    """Return where a page finds a file."""
    return f"/assets/{asset(name).digest}/{name}"


@router.get("/assets/{digest}/{name}", dependencies=PUBLIC)
def send_asset(request: Request, digest: str, name: str) -> Response:
    """Answer with a file, compressed where the browser takes that."""
    file = asset(name)
    # A page of an older hub asks for what is no more: it gets what is there, for now.
    headers = {
        "Cache-Control": FOR_GOOD if digest == file.digest else "no-cache",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    body = file.raw
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body, headers["Content-Encoding"] = file.compressed, "gzip"
    return Response(body, media_type=file.media_type, headers=headers)
