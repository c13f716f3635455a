"""JSON documents of experiments: as the database keeps them and as routes send them.

Services pass dataclasses; here they become JSON and come back. A document that an older hub wrote
may lack fields; fields that are not known are ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Final

from cloud_hub.experiments.record import Acknowledgement, ExperimentRecord, ExperimentState
from cloud_hub.experiments.verdict.figures import Figures, ShadowFigures
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from edge_sdk.contract.codec import from_plain, to_plain
from edge_sdk.contract.errors import ContractError

if TYPE_CHECKING:
    from cloud_hub.experiments.report_sections import Report

log = logging.getLogger(__name__)

Document = Mapping[str, object]
Seen = Figures | ExperimentSpec | Acknowledgement
"""What an entry of the history, or of the audit log, is about."""

WITHOUT_FIGURES: Final = ("started", "resumed")
"""Events whose entry holds the declaration, or what was acknowledged, in place of figures."""


def seen_document(seen: Seen) -> Document:
    """Return what an entry is about as JSON, without sections that a strategy does not have.

    An end of an interval that is nowhere stays, as ``null``.
    """
    if isinstance(seen, Figures):
        return {name: value for name, value in asdict(seen).items() if value is not None}
    document: Document = to_plain(seen)
    return document


def read_figures(document: Document, event: str = "look") -> Figures:
    """Return the figures of an entry of the history; empty for an event that has none.

    Figures that cannot be read are logged and empty: an experiment that ended long ago must not
    keep the hub from watching those that run.
    """
    if event in WITHOUT_FIGURES:
        return Figures()
    try:
        return from_plain(Figures, document, "figures")
    except ContractError as error:
        log.warning("stored figures of an experiment cannot be read and are left out: %s", error)
        return Figures()


def state_document(state: ExperimentState) -> Document:
    """Return the state as JSON; only ``winner`` is there while there is none."""
    # Unset fields are left out, as in the documents of older hubs.
    plain = asdict(state).items()
    return {name: value for name, value in plain if value is not None or name == "winner"}


def read_state(document: Document) -> ExperimentState:
    """Return the state that a document holds."""
    return from_plain(ExperimentState, document, "state")


def columns(fields: Mapping[str, object]) -> dict[str, object]:
    """Return fields of a record as columns: figures, spec and state become JSON."""
    plain = dict(fields)
    for name, value in fields.items():
        if isinstance(value, ExperimentState):
            plain[name] = state_document(value)
        elif isinstance(value, Figures | ExperimentSpec):
            plain[name] = seen_document(value)
    return plain


def record_document(record: ExperimentRecord) -> Document:
    """Return a record as JSON."""
    return columns(vars(record))


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
