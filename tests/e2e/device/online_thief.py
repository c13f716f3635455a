"""Whoever has the online key signs as high and as long as they can."""

from __future__ import annotations

import datetime
import json

from tuf.api.metadata import MetaFile, Snapshot, TargetFile, Timestamp

from cloud_hub.registry.repository import Repository, signed
from edge_sdk.contract.plan import Plan
from edge_sdk.contract.version import SIGNED_AT

HIGH = 2**31
FAR = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


def steal_and_use_once(repository: Repository, model: str, *, days_ahead: int) -> None:
    """Versions of 2³¹ that expire in 2100, plan 2⁵³ - 1, signed so many days ahead of now."""
    files, key = repository.files, [repository.signer("online")]
    path = f"plans/{model}.json"
    plans = files.newest("plans").signed
    folder, _, name = path.rpartition("/")
    digest = plans.targets[path].hashes["sha256"]
    document = json.loads(repository.read_target(f"{folder}/{digest}.{name}"))
    raw = Plan.from_json(json.dumps(document | {"serial": 2**53 - 1}).encode()).to_json()
    target = TargetFile.from_data(path, raw)
    repository.put_target(path, target, lambda _: raw)
    plans.version, plans.expires, plans.targets[path] = HIGH, FAR, target
    listed = {role: files.version(role) for role in ("targets", "releases")} | {"plans": HIGH}
    meta = {f"{role}.json": MetaFile(version) for role, version in listed.items()}
    timestamp = Timestamp(HIGH, expires=FAR, snapshot_meta=MetaFile(HIGH))
    timestamp.unrecognized_fields[SIGNED_AT] = int(repository.clock() + days_ahead * 86_400)
    files.write(f"{HIGH}.plans.json", signed(plans, key))
    files.write(f"{HIGH}.snapshot.json", signed(Snapshot(HIGH, expires=FAR, meta=meta), key))
    files.write("timestamp.json", signed(timestamp, key))
