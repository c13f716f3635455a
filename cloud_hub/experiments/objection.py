"""What past experiments say against a version that a person wants to promote."""

from __future__ import annotations

from cloud_hub.experiments.store import ExperimentStore


def objection(store: ExperimentStore, model: str, version: str) -> str:
    """Say which experiment took a version back, if the newest one that tried it did.

    Args:
        store: of the experiments.
        model: name of the line.
        version: one of its versions.

    Returns:
        A sentence with the experiment's reason, or nothing.
    """
    for record in reversed(store.records(model)):
        if any(arm.version == version for arm in record.spec.tried):
            aborted = record.status == "aborted"
            return f"{record.id} took it back: {record.reason}" if aborted else ""
    return ""
