"""JSON of a report, as the route sends it."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING

from cloud_hub.experiments.documents import Document, record_document
from cloud_hub.experiments.verdict.figures import ShadowFigures

if TYPE_CHECKING:
    from cloud_hub.experiments.report_sections import Report


def report_document(report: Report) -> Document:
    """Return a report as JSON."""
    sections = {f.name: getattr(report, f.name) for f in fields(report)}
    beside = report.beside
    kind = "shadow" if isinstance(beside, ShadowFigures) else "interleave"
    sections |= {
        "experiment": record_document(report.experiment),
        "beside": {} if beside is None else {"kind": kind, **asdict(beside)},
        "devices": {
            arm: {**row, "shares": report.shares[arm]} for arm, row in report.devices.items()
        },
    }
    del sections["shares"]
    return {name: _plain(value) for name, value in sections.items()}


def _plain(value: object) -> object:
    """Dataclasses in a section as JSON; what is there already stays."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
