"""What a hub knows of one version, as files of an archive."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.database.documents import as_document, as_documents
from cloud_hub.registry.roles import RELEASES
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.manifest import GOLDEN, MANIFEST

if TYPE_CHECKING:
    from cloud_hub.database.audit import AuditEntry
    from cloud_hub.hub import Hub

AUDIT: Final = 50_000
"""Entries of the audit, the newest."""

HISTORY: Final = 50_000
"""Figures of drift, the newest."""

DOCUMENTS: Final = (".json", ".md")
"""Files of a release that are documents; models, weights and rows are named by their digests."""


def gathered(hub: Hub, model: str, version: str) -> tuple[dict[str, bytes], list[str]]:
    """Return the files of an archive, and sentences on what was left out.

    Args:
        hub: that knows the version.
        model: name of the line.
        version: of it.

    Raises:
        NotFound: there is no such version.
    """
    record = hub.registry.version(model, version)
    entries = hub.audit.entries(model, AUDIT)
    # Where nothing serves, nothing was watched.
    serves = hub.plans.current(model) is not None
    drift = hub.monitoring.history(model, limit=HISTORY) if serves else []
    limits = [
        "Model files, weights and golden rows are not inside: the manifest has their digests."
    ]
    if len(entries) == AUDIT:
        limits.append(f"The audit is cut to its newest {AUDIT:,} entries.")
    if len(drift) == HISTORY:
        limits.append(f"Drift is cut to its newest {HISTORY:,} figures.")
    files = {
        **_release(hub, model, version),
        **_chain(hub),
        "data.json": _json(_data(hub, model, version)),
        "evaluation.json": _json(_evaluation(hub, model, version)),
        "decisions.json": _json(_decisions(hub, model, entries)),
        "audit.json": _json([asdict(entry) for entry in entries]),
        "incidents.json": _json(_incidents(hub, model, entries)),
        "drift.json": _json(as_documents(drift)),
        "names.json": _json({"version": asdict(record), **hub.aliases.names(model).document()}),
    }
    return files, limits


def _release(hub: Hub, model: str, version: str) -> dict[str, bytes]:
    release = hub.registry.release(model, version)
    names = [n for n in release.manifest.files if n.endswith(DOCUMENTS) and n != GOLDEN]
    return {f"release/{n}": (release.folder / n).read_bytes() for n in (*names, MANIFEST)}


def _chain(hub: Hub) -> dict[str, bytes]:
    """Return every root, and what it delegates to down to the list of releases."""
    files = hub.repository.files
    with hub.repository.locked():  # or a publisher could change what belongs together in between
        roots = range(1, files.version("root") + 1)
        chain = {f"signatures/{n}.root.json": files.raw(f"{n}.root.json") for n in roots}
        for role in ("targets", RELEASES):
            name = f"{files.version(role)}.{role}.json"
            chain[f"signatures/{role}.json"] = files.raw(name)
    return chain


def _data(hub: Hub, model: str, version: str) -> Any:
    manifest = hub.registry.release(model, version).manifest
    used = hub.datasets.uses(model, version).get(version, {})
    refs = sorted({ref for refs in used.values() for ref in refs})
    return {
        "lineage": to_plain(manifest.lineage),
        "uses": used,
        "datasets": [as_document(hub.datasets.get(model, ref)) for ref in refs],
    }


def _evaluation(hub: Hub, model: str, version: str) -> Any:
    report = hub.registry.report(model, version)
    certificate = hub.registry.release(model, version).certificate()
    runs = [run for run in hub.runs.records(model) if run.version == version]
    return {
        "release": as_document(report),
        "groups": [to_plain(group) for group in certificate.groups],
        "gate": [{"run": run.id, "gate": run.gate, "reason": run.reason} for run in runs],
    }


def _decisions(hub: Hub, model: str, entries: list[AuditEntry]) -> Any:
    plans = [asdict(entry) for entry in entries if entry.action == "plan"]
    experiments = [
        {
            **as_document(record),
            "history": as_documents(hub.experiments.store.history(record.id)),
        }
        for record in hub.experiments.records(model)
    ]
    return {
        "plans": plans,
        "experiments": experiments,
        "runs": as_documents(hub.runs.records(model)),
        "approvals": as_documents(hub.approvals.list(model)),
    }


def _incidents(hub: Hub, model: str, entries: list[AuditEntry]) -> Any:
    severe = [
        {**asdict(entry), "severity": severity}
        for entry in entries
        if (severity := _severity(entry)) != "info"
    ]
    alarms = hub.monitoring.alarms(model, open_only=False)
    return {
        "monitoring": as_documents(alarms),
        "alarms": as_documents(hub.alarms.all(model, past=1_000)),
        "events": severe,
    }


def _severity(entry: AuditEntry) -> str:
    from cloud_hub.database.event_kinds import classified

    return classified(entry.actor, entry.action, entry.detail).severity


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
