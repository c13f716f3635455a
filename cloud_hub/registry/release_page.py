"""A release as one HTML page that needs nothing else."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from cloud_hub.web.pages import page_template

if TYPE_CHECKING:
    from cloud_hub.registry.release_report import ReleaseReport


def to_html(report: ReleaseReport) -> str:
    """Render a report."""
    return str(_template().render(r=report, v=report.version))


@functools.cache
def _template() -> Any:
    return page_template("cloud_hub.registry", "release.html")
