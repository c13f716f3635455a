"""Building packs: votes, candidate rows, batch predictions, one signed file.

Privacy: devices vote for keys, not for inputs. A key is used only if enough voters asked for it who
were vouched for one by one (all devices of one token of many uses are one voter), and only if the
hub has its input anyway (from the catalogue or from rows that devices shared). Predictions stay in
SQL tables (:mod:`cloud_hub.packs.predictions`), so that only new ones are computed. A row on which
the answering model fails is left out, which the audit says once.
"""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.fit import columns_for, rows_for
from cloud_hub.datasets.records import CATALOGUE
from cloud_hub.deferred.libraries import sqlite_utils
from cloud_hub.engine.apart import WorkApart
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.packs.answering import answered_elsewhere, answered_here
from cloud_hub.packs.predictions import Answer, Answered, Predictions, Row, Rows
from cloud_hub.packs.publishing import ANSWERS, pack_file, publish_pack
from cloud_hub.registry.per_model import for_each
from cloud_hub.storage.private_files import private_file
from edge_sdk.contract.key import KEY_BYTES
from edge_sdk.errors import PackError
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.schema import InputSchema
from edge_sdk.packs.reader import Pack
from edge_sdk.packs.writer import write_pack

if TYPE_CHECKING:
    from cloud_hub.data.dataset import Dataset
    from cloud_hub.database.audit import Audit
    from cloud_hub.datasets.service import Datasets
    from cloud_hub.engine.engine import Engine
    from cloud_hub.inference.service import InferenceService
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.sections import PackPolicy
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.service import Telemetry
    from edge_sdk.contract.manifest import OutputSpec
    from edge_sdk.contract.plan import Plan
    from edge_sdk.model.release import Release

log = logging.getLogger(__name__)

ACTOR: Final = "hub"

MOST_NAMES: Final = 20
"""Keys of rows without an answer that the audit names."""


@dataclass(frozen=True)
class PackRecord:
    """A pack that was built.

    Attributes:
        model: name of the line.
        version: that the pack is for.
        answered_by: model and version that computed the answers.
        entries: number of answers.
        length: bytes of the file.
        sha256: of the file.
        built_at: Unix seconds.
        delta: bytes that a device downloads which holds the pack before; 0 if that is the whole.
    """

    model: str
    version: str
    answered_by: str
    entries: int
    length: int
    sha256: str
    built_at: float
    delta: int


@dataclass(frozen=True)
class _Ahead:
    """Rows that are answered elsewhere by ``source`` for the release of a digest."""

    work: WorkApart[Answered]
    source: str
    digest: str
    rows: Rows


class Packs:
    """Packs of all models.

    Args:
        data: folder of the hub.
        audit: where packs are noted.
        registry: versions, policies and the signed repository.
        datasets: catalogues.
        plans: which name packs.
        telemetry: votes and shared rows of devices.
        serving: computes answers.
    """

    def __init__(
        self,
        data: Path,
        audit: Audit,
        registry: Registry,
        datasets: Datasets,
        plans: Plans,
        telemetry: Telemetry,
        serving: InferenceService,
    ) -> None:
        self._path = data / "predictions.db"
        self._audit = audit
        self._registry = registry
        self._datasets = datasets
        self._plans = plans
        self._telemetry = telemetry
        self._serving = serving
        self._looked: dict[str, float] = {}
        self._engine: Engine | None = None
        self._ahead: dict[str, _Ahead] = {}

    def build_with(self, engine: Engine) -> None:
        """Have rows answered by an engine from now on, if it computes elsewhere."""
        self._engine = engine if engine.elsewhere else None

    def _database(self) -> sqlite_utils.Database:
        private_file(self._path)
        return sqlite_utils.Database(self._path)

    def tick(self, now: float) -> None:
        """Build what is due."""
        for_each(self._registry.models(), lambda model: self._build_if_due(model, now))

    def _build_if_due(self, model: str, now: float) -> None:
        policy = self._registry.policy(model).packs
        plan = self._plans.current(model)
        if policy.every_seconds <= 0 or plan is None or plan.experiment is not None:
            return
        if model in self._ahead:
            self._take_ahead(model, now)
        elif now - self._looked.get(model, 0.0) >= policy.every_seconds:
            self._looked[model] = now
            if not self._begin_ahead(model, plan, policy):
                self.build(model, now)

    def _begin_ahead(self, model: str, plan: Plan, policy: PackPolicy) -> bool:
        """Begin to have new rows answered elsewhere; return whether there are any.

        A tick never waits for nodes: a later one builds the pack.
        """
        engine = self._engine
        if engine is None:
            return False
        release = self._registry.release(model, plan.serving.version)
        rows = self._wanted_rows(model, release, policy)
        cloud = self._serving.cloud_release(model) or release
        source = _source(cloud)
        with self._database() as db:
            new = _new(Predictions(db, model, f"{source} {release.digest}"), rows)
        if not new:
            return False
        work = WorkApart(
            lambda going: answered_elsewhere(engine, cloud, release.manifest, new, going), "packs"
        )
        self._ahead[model] = _Ahead(work, source, release.digest, new)
        return True

    def _take_ahead(self, model: str, now: float) -> None:
        """Store what was answered elsewhere, once it is, and build the pack."""
        ahead = self._ahead[model]
        if not ahead.work.done(0):
            return
        del self._ahead[model]
        with self._database() as db:
            predictions = Predictions(db, model, f"{ahead.source} {ahead.digest}")
            self._keep(predictions, model, ahead.source, ahead.rows, ahead.work.result())
        self.build(model, now)

    def records(self, model: str) -> list[PackRecord]:
        """Return the packs that were built for a model, oldest first."""
        with self._database() as db:
            if "packs" not in db.table_names():
                return []
            rows = db["packs"].rows_where("model = ?", [model], order_by="built_at")
            return [PackRecord(**row) for row in rows]

    def build(self, model: str, now: float) -> PackRecord | None:
        """Build and publish a pack for what serves, unless it would be the one that is in force.

        Args:
            model: name of the line.
            now: Unix seconds.

        Returns:
            The pack, or ``None`` if nobody asks for anything, or nothing changed.

        Raises:
            Invalid: the model that answers fails on every row of several.
        """
        plan = self._plans.current(model)
        if plan is None:
            return None
        policy = self._registry.policy(model).packs
        release = self._registry.release(model, plan.serving.version)
        rows = self._wanted_rows(model, release, policy)
        if not rows:
            return None
        cloud = self._serving.cloud_release(model) or release
        source = _source(cloud)
        with self._database() as db:
            # Both releases: another of either may answer otherwise.
            predictions = Predictions(db, model, f"{source} {release.digest}")
            rows = self._answered_rows(predictions, model, release, cloud, source, rows)
            if not rows or self._is_out(plan, source, sorted(rows), policy, now):
                return None
            answers = predictions.answers()
        outputs = _outputs(release, [answers[key] for key in rows])
        record = self._publish(model, plan, release, source, rows, outputs, policy, now)
        self._audit.record(ACTOR, "pack", model, vars(record))
        log.info("%s: pack of %d answers by %s published", model, record.entries, source)
        return record

    def _wanted_rows(self, model: str, release: Release, policy: PackPolicy) -> dict[bytes, Row]:
        """Return the rows behind the voted keys, as far as the hub has them."""
        voted = set(
            self._telemetry.voted_keys(
                model, minimum_devices=policy.minimum_devices, most=policy.entries
            )
        )
        if not voted:
            return {}
        known = self._datasets.rows(model, CATALOGUE)
        wanted = {} if known is None else _voted_rows(release, known, voted)
        if len(wanted) < len(voted):  # all that devices ever shared is much to read for nothing
            shared = self._telemetry.samples(model)
            wanted |= {} if shared is None else _voted_rows(release, shared, voted)
        return wanted

    def _is_out(
        self, plan: Plan, source: str, keys: list[bytes], policy: PackPolicy, now: float
    ) -> bool:
        """Return true if devices have a pack with these very answers that does not expire soon."""
        pack = plan.serving.pack
        if pack is None:
            return False
        try:
            published = pack_file(self._registry.repository, plan.model, pack)
            with published as file, Pack.open(file, now=now) as out:
                header, out_keys = out.header, out.keys().tobytes()  # copies: the map is closed
        except (NotFound, PackError):
            return False
        # The next one is due in the middle of its life, long before devices stop using it.
        lasts = header.expires is None or header.expires - now > policy.expires_seconds / 2
        same = (header.manifest, header.answered_by) == (plan.serving.manifest, source)
        return lasts and same and out_keys == b"".join(keys)

    def _answered_rows(
        self,
        predictions: Predictions,
        model: str,
        release: Release,
        cloud: Release,
        source: str,
        rows: dict[bytes, Row],
    ) -> dict[bytes, Row]:
        """Have new rows answered; return ``rows`` without those that ``cloud`` fails on.

        Raises:
            Invalid: it fails on every row of several: the fault is its own.
        """
        new = _new(predictions, rows)
        if new:
            answered = answered_here(self._serving.answers, cloud, release.manifest, new)
            self._keep(predictions, model, source, new, answered)
        known = predictions.answered()
        return {key: row for key, row in rows.items() if key in known}

    def _keep(
        self, predictions: Predictions, model: str, source: str, new: Rows, answered: Answered
    ) -> None:
        """Store answers; raises Invalid if there are none to several rows, and none before."""
        if not answered.answers and len(new) > 1 and not predictions.answered():
            raise Invalid(next(iter(answered.refused.values())))
        # First told: a hub that dies in between tells it twice, not never.
        self._note_refused(model, source, answered.refused)
        predictions.add(new, answered)

    def _note_refused(self, model: str, source: str, refused: dict[bytes, str]) -> None:
        if not refused:
            return
        keys = sorted(key.hex() for key in refused)
        log.warning(
            "%s: %d rows are left out of packs, %s cannot answer them; the audit names them",
            *(model, len(keys), source),
        )
        reason = next(iter(refused.values()))
        detail = {"by": source, "rows": len(keys), "keys": keys[:MOST_NAMES], "reason": reason}
        self._audit.record(ACTOR, "pack rows left out", model, detail)

    def _publish(
        self,
        model: str,
        plan: Plan,
        release: Release,
        source: str,
        rows: dict[bytes, Row],
        outputs: dict[str, NDArray[Any]],
        policy: PackPolicy,
        now: float,
    ) -> PackRecord:
        keys = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, KEY_BYTES)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "new.pack"
            header = write_pack(
                path,
                release,
                keys,
                with_labels(release, outputs),
                answered_by=source,
                expires=int(now + policy.expires_seconds),
            )
            published = publish_pack(self._registry, self._plans, model, path, ANSWERS)
        file = published.pack.file
        # Somebody may have promoted another version while the answers were computed.
        serving = replace(plan.serving, pack=published.pack)
        self._plans.change(
            model,
            lambda p: replace(p, serving=serving) if _serves_the_same(p, plan) else p,
            actor=ACTOR,
            reason=f"pack of {header.count} answers by {source}",
        )
        record = PackRecord(
            model,
            plan.serving.version,
            source,
            header.count,
            file.length,
            file.sha256,
            time.time(),
            published.delta,
        )
        with self._database() as db:
            table: Any = db["packs"]
            table.insert(vars(record), pk="sha256", replace=True)
        return record


def _source(cloud: Release) -> str:
    return f"{cloud.manifest.model} {cloud.manifest.version}"


def _new(predictions: Predictions, rows: dict[bytes, Row]) -> dict[bytes, Row]:
    """Return the rows that were not answered yet, nor failed on."""
    tried = predictions.answered() | predictions.refused()
    return {key: row for key, row in rows.items() if key not in tried}


def _voted_rows(release: Release, data: Dataset, voted: set[bytes]) -> dict[bytes, Row]:
    """Return the rows that somebody asked for, by key, as plain values in the model's order."""
    found: dict[bytes, int] = {}
    for i, key in enumerate(keys_of(release, data)):
        if key is not None and key in voted:
            found[key] = i
    if not found:
        return {}
    manifest = release.manifest
    some = data.take(np.fromiter(found.values(), np.int64, len(found)))
    rows = rows_for(some, manifest.signature.columns, manifest.version)
    return dict(zip(found, rows, strict=True))


def keys_of(release: Release, data: Dataset) -> list[bytes | None]:
    """Return the key of each row [N], as a device that runs ``release`` computes it.

    A row without one has a missing value where the model takes some.
    """
    manifest = release.manifest
    signature = manifest.signature
    missing = manifest.training.get("missing") == "allowed"
    values = columns_for(data, signature.columns, manifest.version)
    feed = InputSchema(signature, missing=missing).batch(values)
    canonicaliser = Canonicaliser(signature)
    return [canonicaliser.feed_key(feed, i) for i in range(len(data))]


def _outputs(release: Release, answers: list[Answer]) -> dict[str, NDArray[Any]]:
    """Return answers as arrays [N, ...] by name of the output, in the order of the manifest."""
    specs = [spec for spec in release.manifest.signature.outputs if spec.name in answers[0]]
    return {s.name: _as_declared(s, [answer[s.name] for answer in answers]) for s in specs}


def _as_declared(spec: OutputSpec, answers: list[Any]) -> NDArray[Any]:
    """Return answers [N, ...] in the device model's shape; those of a cloud model may be [N]."""
    array = np.array(answers, dtype=spec.dtype)
    row = tuple(1 if n is None else n for n in spec.shape[1:])
    return array.reshape(-1, *row) if array.size == len(array) == len(array) * prod(row) else array


def with_labels(release: Release, outputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return outputs with the index of the label, where probabilities do not imply it."""
    manifest = release.manifest
    label = manifest.signature.output("label")
    probabilities = manifest.signature.output("probabilities")
    if label is None or probabilities is None or manifest.training.get("label") == "argmax":
        return outputs
    index = outputs[probabilities.name].argmax(axis=1).astype(np.int32)
    return {**outputs, label.name: index}


def _serves_the_same(plan: Plan, before: Plan) -> bool:
    """Return true if the plan still serves the release that the pack was built for."""
    return plan.serving.manifest == before.serving.manifest
