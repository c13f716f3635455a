"""A release as one HTML page that needs nothing else."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloud_hub.registry.release_report import ReleaseReport


def to_html(report: ReleaseReport) -> str:
    """Render a report."""
    return str(_template().render(r=report, v=report.version))


@functools.cache
def _template() -> Any:
    # Only pages need it: a hub that serves devices does not load a template engine.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cloud_hub.registry", "."), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(when=_when, share=_share, number=_number)
    return environment.get_template("release.html")


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
