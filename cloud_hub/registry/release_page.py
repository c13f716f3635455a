"""A release as one HTML page that needs nothing else."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from cloud_hub.web.pages import page_template

if TYPE_CHECKING:
    from cloud_hub.registry.release_report import ReleaseReport
    from cloud_hub.rush.store import RushMark


def to_html(report: ReleaseReport, mark: RushMark | None = None) -> str:
    """Render a report.

    Args:
        report: of the release.
        mark: of a version that was trained on a rare day.
    """
    return str(_template().render(r=report, v=report.version, mark=mark))


@functools.cache
def _template() -> Any:
    return page_template("cloud_hub.registry", "release.html")
