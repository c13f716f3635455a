"""The hub's services, wired together. Nothing here decides anything."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from cloud_hub.alerts.opening import alert_parts, opened_alerts
from cloud_hub.aliases.service import Aliases
from cloud_hub.api.rate_limits import RateLimits
from cloud_hub.api.token_files import new_tokens
from cloud_hub.batch.catalogue import Catalogue
from cloud_hub.batch.generations import Generations
from cloud_hub.batch.lookup import Lookups
from cloud_hub.batch.service import Batches
from cloud_hub.batch.spreading.device_packs import opened_packs
from cloud_hub.batch.stores.opening import open_store
from cloud_hub.batch.workers import BatchWorkers
from cloud_hub.cost.opening import opened_costs
from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import is_sqlite
from cloud_hub.database.leader import open_leadership
from cloud_hub.database.migrate import open_engine
from cloud_hub.datasets.service import Datasets
from cloud_hub.datasets.validation import DatasetValidation
from cloud_hub.engine.opening import engine_of
from cloud_hub.errors import Conflict
from cloud_hub.experiments.claims import ExperimentClaims
from cloud_hub.experiments.service import Experiments
from cloud_hub.experiments.store import objection
from cloud_hub.features.entities import StoredEntities
from cloud_hub.features.history_store import FeatureHistory
from cloud_hub.features.service import Features
from cloud_hub.features.session_giving import SessionGiving
from cloud_hub.features.sets import FeatureSets
from cloud_hub.features.skew_watch import SkewWatch
from cloud_hub.flags.service import Flags
from cloud_hub.fleet.service import Fleet
from cloud_hub.forms.service import Forms
from cloud_hub.forms.store import FormStore
from cloud_hub.inference.service import InferenceService
from cloud_hub.isolation.workers import Workers
from cloud_hub.loop import STOP_SECONDS, Loop
from cloud_hub.monitoring.service import Monitoring
from cloud_hub.observability.readiness import Readiness
from cloud_hub.packs.service import Packs
from cloud_hub.people.opening import open_people
from cloud_hub.personalise.automatic import AutomaticPriors
from cloud_hub.personalise.claims import MadePriors
from cloud_hub.personalise.learned.learning import Learning
from cloud_hub.personalise.service import Personalise
from cloud_hub.plans.service import Plans
from cloud_hub.policy.service import Policies
from cloud_hub.polls.asked import AskedDevices
from cloud_hub.polls.documents import SignedDocuments
from cloud_hub.polls.pace import SyncPace
from cloud_hub.polls.shedding import Load
from cloud_hub.polls.small_targets import SmallTargets
from cloud_hub.polls.together import Together
from cloud_hub.polls.waiters import Waiters
from cloud_hub.refusals.service import RefusedReleases
from cloud_hub.registry.blobs import BlobStore
from cloud_hub.registry.keys.service import Keys
from cloud_hub.registry.keys.watch import KeyWatch
from cloud_hub.registry.opening import able_to_sign, check_initialised, open_repository
from cloud_hub.registry.service import Registry
from cloud_hub.runs.code.service import Pipelines
from cloud_hub.runs.entry_point import problem
from cloud_hub.runs.gate_uses import GateUses
from cloud_hub.runs.offline import OfflineGate
from cloud_hub.runs.past import PastRuns, RunChanges
from cloud_hub.runs.rare_days import NormalComparison, RunDays
from cloud_hub.runs.rows import RunRows
from cloud_hub.runs.service import Runs
from cloud_hub.runs.steps.store import StepStore
from cloud_hub.runs.store import RunStore, cause_of
from cloud_hub.runs.training import TrainingRunner
from cloud_hub.rush.service import Rush
from cloud_hub.rush.store import RushStore
from cloud_hub.settings import Settings
from cloud_hub.storage.private_files import make_private, private_folder
from cloud_hub.storage.self_test import self_test
from cloud_hub.storage.stores import open_stores
from cloud_hub.telemetry.intake.ingest import Ingest
from cloud_hub.telemetry.service import Telemetry
from cloud_hub.triggers.history import Histories
from cloud_hub.triggers.service import Triggers
from cloud_hub.triggers.store import Firing, TriggerStore

if TYPE_CHECKING:
    from cloud_hub.registry.key_folder import OfflineKeys
    from cloud_hub.registry.repository import Repository
    from cloud_hub.storage.stores import ArtifactStores

log = logging.getLogger(__name__)


class Hub:
    """Every service of one hub, each given those that it asks; :func:`open_hub` makes one.

    Some ask each other: the registry the gate, which reads its releases; plans name files of
    features, which are made for the versions of plans; experiments change plans, and object to
    some. The lower one is given a call that reaches the upper one later.

    Args:
        settings: of the hub.
        engine: of its database.
        repository: its signed metadata, which it can sign.
        stores: its artifacts.
    """

    def __init__(
        self, settings: Settings, engine: Engine, repository: Repository, stores: ArtifactStores
    ) -> None:
        data = settings.data
        self.settings, self.engine, self.repository = settings, engine, repository
        self.limits, self.keys = RateLimits(settings.rates), Keys(repository)
        self.workers = workers = Workers(data, settings.workers)
        self.stores, self.blobs, self.readiness = stores, BlobStore(stores.blobs), Readiness(self)
        self.audit = audit = Audit(engine)
        self.registry = registry = Registry(
            engine, audit, self.blobs, repository, data / "cache",
            offline_gate=lambda model, candidate: self.runs.offline_gate(model, candidate),
        )  # fmt: skip
        self.datasets = datasets = Datasets(engine, audit, registry)
        self.plans = plans = self._opened_plans()
        self.aliases = Aliases(engine, audit, registry, plans)
        self.flags, claims = Flags(engine, audit), ExperimentClaims(engine)
        self.fleet = fleet = self._opened_fleet(audit)
        ingest = Ingest(engine, registry, claims, self.flags.raise_, MadePriors())
        self.telemetry = telemetry = Telemetry(engine, registry, ingest)
        self.validation = DatasetValidation(datasets, registry, telemetry)
        self.serving = InferenceService(registry, plans)
        self.features = Features(data, audit, registry, plans)
        self.personalise = Personalise(engine, audit, registry, plans, workers)
        self.priors = AutomaticPriors(self.personalise, registry, plans, datasets)
        self.learning = Learning(engine, registry, plans, self.personalise)
        self.monitoring = Monitoring(engine, audit, registry, datasets, plans, fleet)
        self.refusals = RefusedReleases(engine, audit, registry, plans, fleet, self.monitoring)
        self._open_feature_sets(stores)
        self.packs = Packs(data, audit, registry, datasets, plans, telemetry, self.serving)
        self._open_batches()
        self.forms = Forms(engine, FormStore(stores.forms), registry, plans)
        self.experiments = Experiments(engine, audit, registry, plans, fleet, telemetry, claims)
        self.costs = opened_costs(self)
        self.people, self.oidc, self.approvals = open_people(self)
        self._open_runs(OfflineGate(registry, datasets, plans, telemetry, GateUses(engine)))
        self._open_rules()
        self.events, self.alerts, self.alarms = opened_alerts(self)
        self.loop = self._opened_loop()

    def _opened_loop(self) -> Loop:
        leadership = open_leadership(self.engine, self.settings.data / "loop.lock")
        ticks = self.settings.tick_seconds
        return Loop(_parts(self), ticks, leadership, ended=self._end_workers)

    def _opened_plans(self) -> Plans:
        """Plans, which ask other services for what goes with a version."""
        return Plans(
            self.engine, self.audit, self.registry,
            features_of=lambda model, version: self.features.reference(model, version),
            personalised=lambda plan: self.personalise.in_plan(plan),
            sessions_of=lambda model: self.feature_sets.sessions_of(model),
            objection=lambda model, version: (
                objection(self.experiments.store, model, version)
                or self.refusals.objection(model, version)
            ),
        )  # fmt: skip

    def _opened_fleet(self, audit: Audit) -> Fleet:
        """The fleet, with what all of it asks again and again, answered from memory."""
        life, root = self.settings.credential_seconds, self.repository.root()
        fleet = Fleet(self.engine, audit, root, credential_seconds=life)
        self.documents = documents = SignedDocuments(self.repository.files)
        self.small_targets = SmallTargets(self.repository.targets)
        self.pace, self.load = SyncPace(self.settings.sync_seconds), Load()
        self.asked = AskedDevices(fleet.asks.open)
        fleet.asks.changed = self.asked.changed
        self.waiters = Waiters(documents.timestamp, asked=self.asked.new)
        self.credentials = Together(fleet.look_up)
        self.checkins = Together(fleet.check_in_all)
        return fleet

    def _open_batches(self) -> None:
        """Batch predictions; they are in the hub's database where that is PostgreSQL."""
        data, engine = self.settings.data, self.engine
        database = None if is_sqlite(engine) else self.settings.database_url
        given = None if database is None else engine
        stores = {name: open_store(name, data, given) for name in ("sql", "parquet")}
        catalogue, self.heavy = Catalogue(engine), engine_of(self.settings.engine)
        self.generations = Generations(catalogue, stores)
        self.batches = Batches(
            data, database, engine, self.audit, self.feature_sets, self.registry, self.plans,
            catalogue, self.generations, stores, BatchWorkers(data, self.settings.engine),
        )  # fmt: skip
        self.entity_packs = opened_packs(self)
        self.lookups = Lookups(
            self.registry, self.plans, self.batches, self.generations, StoredEntities(data)
        )

    def _open_runs(self, gate: OfflineGate) -> None:
        """What makes new versions, and what takes those of rare days back."""
        engine, audit, registry, plans = self.engine, self.audit, self.registry, self.plans
        store, steps, marks = RunStore(engine), StepStore(engine), RushStore(engine)
        self.pipelines = Pipelines(engine, audit, self.blobs)
        rows = RunRows(store, steps, registry, self.datasets, self.validation)
        training = TrainingRunner(
            self.settings.data, store, steps, registry, rows, self.pipelines, plans, self.workers,
            self.feature_sets, self.heavy,
        )  # fmt: skip
        days = RunDays(registry, self.telemetry, marks)
        changes = RunChanges(registry, self.pipelines, gate, days)
        self.past_runs = PastRuns(
            store, steps, training, self.pipelines, audit, registry, plans, changes
        )
        self.runs = Runs(
            store, steps, training, audit, registry, self.datasets, plans, self.experiments,
            days=days, changes=changes, offline_gate=gate, slots=self.settings.trainings,
            published=self.priors.prepare,
        )  # fmt: skip
        self.rush = Rush(
            engine, audit, registry, plans, self.experiments, marks,
            compare=NormalComparison(registry, self.telemetry, gate, self.workers),
            busy=self.runs.busy,
        )  # fmt: skip

    def _open_rules(self) -> None:
        """What policies say, and what fires by it."""
        audit, registry, plans, runs = self.audit, self.registry, self.plans, self.runs
        self.triggers = Triggers(
            audit, registry, plans, Histories(self.engine, registry), TriggerStore(self.engine),
            self.heavy, on_fire=functools.partial(_request_run, runs), run_times=runs.started,
        )  # fmt: skip
        self.policies = Policies(
            registry, plans, train_problem=functools.partial(problem, self.workers),
            switched_off=lambda model: self.personalise.store.switch(model) is not None,
        )  # fmt: skip

    def _open_feature_sets(self, stores: ArtifactStores) -> None:
        """Sets of features; their history is among the blobs, which no device reaches."""
        history = FeatureHistory(self.engine, stores.blobs)
        sessions = SessionGiving(history, self.plans, self.registry)
        self.feature_sets = FeatureSets(
            self.settings.data, history, self.features, sessions, self.audit, self.workers
        )
        self.skew = SkewWatch(
            self.engine, self.feature_sets, self.registry, self.plans, self.monitoring.raise_alarm
        )

    def close(self) -> None:
        """Stop the loop and the workers, and close the database."""
        # The loop first: it would start workers again.
        self.loop.stop()
        self._end_workers()
        self.forms.stop()
        self.feature_sets.wait(STOP_SECONDS)
        self.repository.files.close()
        self.fleet.sightings.flusher.stop()
        self.costs.ledger.flusher.stop()
        self.alerts.close()
        self.telemetry.close()
        self.engine.dispose()
        log.info("hub %s closed", self.settings.data)

    def _end_workers(self) -> None:
        """End what the loop has begun; whoever leads next begins it once more."""
        for part in (self.runs, self.batches, self.entity_packs):
            part.stop()


def initialise(settings: Settings, offline: OfflineKeys | None = None) -> None:
    """Make a new hub's data: keys, the signed repository, tokens.

    One that was interrupted is made anew.

    Args:
        settings: say where.
        offline: keys that are made elsewhere than in the folder of the hub; default one inside.

    Raises:
        Conflict: the folder holds a hub already, or there are keys where new ones would lie.
        Invalid: a threshold that the keys cannot reach.
    """
    stores = open_stores(settings)
    if stores.metadata is not None:
        self_test(stores.metadata)
    repository = open_repository(settings, stores)
    if repository.is_complete:
        raise Conflict(f"{repository.files.place}: holds a repository already")
    signers = offline.make() if offline else []
    private_folder(settings.data)
    private_folder(settings.data / "keys")
    new_tokens(settings.data)
    # Last: where the repository is complete, so is the hub.
    repository.initialise(signers, offline.threshold if offline else 1)
    log.info("hub %s initialised", settings.data)


def open_keys(data: Path, database: str | None = None, artifacts: str | None = None) -> Keys:
    """Return the keys of the hub in a folder, be it served or not; raises NotFound.

    Args:
        data: the folder.
        database: URL of its tables, where they are elsewhere.
        artifacts: URL of its bucket, if it has one.
    """
    settings = Settings(data, database, artifacts=artifacts)
    check_initialised(settings)
    return Keys(open_repository(settings, open_stores(settings)))


def open_hub(settings: Settings) -> Hub:
    """Open a hub's data.

    Raises:
        NotFound: the folder was not initialised.
        Invalid: the key that signs plans is missing or damaged.
        Conflict: the database has another schema; says what to run.
        HubFault: the database or the signed metadata cannot be read.
    """
    check_initialised(settings)
    make_private(settings.data)
    stores = open_stores(settings)
    if stores.metadata is not None:
        self_test(stores.metadata)
    # First of all: where several machines publish, the repository's lock is in the database.
    engine = open_engine(settings)
    try:
        repository = able_to_sign(open_repository(settings, stores))
    except BaseException:
        engine.dispose()
        raise
    hub = Hub(settings, engine, repository, stores)
    hub.plans.republish_all()
    repository.files.watch()
    log.info("hub %s opened with %s", settings.data, hub.engine.dialect.name)
    return hub


def _parts(hub: Hub) -> dict[str, Callable[[float], object]]:
    """Return the work of the loop, in its order: what is due early feeds what comes later.

    Renewal comes first, since nothing may put off what devices need to believe anything: after a
    start it is due at once, and whatever follows it may take minutes (the gate of a run).
    """
    return {
        "renewal": KeyWatch(hub.repository, hub.keys, hub.audit, hub.plans.republish_all).tick,
        "plans": hub.plans.tick,
        "refusals": hub.refusals.tick,
        "monitoring": hub.monitoring.tick,
        "triggers": hub.triggers.tick,
        "runs": hub.runs.tick,
        "rush": hub.rush.tick,
        "priors": hub.priors.tick,
        "learning": hub.learning.tick,
        "experiments": hub.experiments.tick,
        "batch": hub.batches.tick,
        "entities": hub.entity_packs.tick,
        "features": hub.feature_sets.tick,
        "skew": hub.skew.tick,
        "packs": hub.packs.tick,
        "forms": hub.forms.tick,
        "retention": hub.telemetry.clean,
        "datasets": hub.datasets.clean,
        "past runs": hub.past_runs.clean,
        "flags": hub.flags.tick,
        "asks": hub.fleet.asks.tick,
        "health": hub.readiness.tick,
        **alert_parts(hub),
    }


def _request_run(runs: Runs, firing: Firing) -> None:
    if runs.can_train(firing.model):
        runs.request(firing.model, cause_of(firing), mode=firing.mode, since=firing.since)
