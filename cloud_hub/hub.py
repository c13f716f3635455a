"""The hub's services, wired together. Nothing here decides anything."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from cloud_hub.api.admin_token import new_admin_token
from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import open_engine
from cloud_hub.errors import NotFound
from cloud_hub.experiments.exposure_sink import record_exposure
from cloud_hub.experiments.service import Experiments
from cloud_hub.features.service import Features
from cloud_hub.fleet.service import Fleet
from cloud_hub.inference.service import InferenceService
from cloud_hub.loop import Loop
from cloud_hub.monitoring.service import Monitoring
from cloud_hub.packs.service import Packs
from cloud_hub.plans.service import Plans
from cloud_hub.policy.service import Policies
from cloud_hub.registry.blobs import BlobStore
from cloud_hub.registry.repository import Repository
from cloud_hub.registry.service import Registry
from cloud_hub.runs.entry_point import problem
from cloud_hub.runs.service import Runs
from cloud_hub.runs.store import RunStore
from cloud_hub.runs.training import TrainingRunner
from cloud_hub.settings import Settings
from cloud_hub.telemetry.service import Telemetry
from cloud_hub.triggers.history import Histories
from cloud_hub.triggers.service import Triggers
from cloud_hub.triggers.store import Firing, TriggerStore


@dataclass
class Hub:
    """Every service of one hub."""

    settings: Settings
    engine: Engine
    audit: Audit
    blobs: BlobStore
    repository: Repository
    registry: Registry
    fleet: Fleet
    plans: Plans
    features: Features
    policies: Policies
    telemetry: Telemetry
    monitoring: Monitoring
    serving: InferenceService
    packs: Packs
    triggers: Triggers
    experiments: Experiments
    runs: Runs
    loop: Loop = field(init=False)

    def close(self) -> None:
        """Stop the loop and the workers, and close the database."""
        self.loop.stop()
        self.runs.stop()
        self.engine.dispose()


def initialise(settings: Settings) -> None:
    """Make a new hub's data: keys, the signed repository, an administrator's token.

    Raises:
        Conflict: there is one already.
    """
    repository = Repository(settings.data / "repository", settings.data / "keys")
    settings.data.mkdir(parents=True, exist_ok=True)
    if not repository.whole:
        new_admin_token(settings.data / "admin.token")
    repository.initialise()  # last: a hub with a whole repository is a whole hub


def repository_of(data: Path) -> Repository:
    """The signed repository of a hub's data; raises NotFound."""
    repository = Repository(data / "repository", data / "keys")
    if not repository.whole:
        raise NotFound(f"{data}: holds no hub; run edge-hub init {data}")
    return repository


def open_hub(settings: Settings) -> Hub:
    """Open a hub's data.

    Raises:
        NotFound: it was not initialised.
        Invalid: the key with which it signs is none.
        HubFault: its database or its metadata cannot be read.
    """
    data = settings.data
    repository = repository_of(data)
    repository.signer("online")  # what cannot sign is better known now than at the first renewal
    engine = open_engine(settings)
    audit = Audit(engine)
    blobs = BlobStore(data / "blobs")
    registry = Registry(engine, audit, blobs, repository, data / "cache")
    fleet = Fleet(engine, audit, repository.root())
    plans = Plans(engine, audit, registry)
    features = Features(data, audit, registry, plans)
    policies = Policies(registry, plans)
    telemetry = Telemetry(engine, registry, record_exposure)
    monitoring = Monitoring(engine, audit, registry, plans, fleet)
    serving = InferenceService(registry, plans)
    packs = Packs(data, audit, registry, plans, telemetry, serving)
    histories = Histories(engine, registry)
    triggers = Triggers(audit, registry, plans, histories, TriggerStore(engine))
    experiments = Experiments(engine, audit, registry, plans, fleet, telemetry)
    store = RunStore(engine)
    training = TrainingRunner(data, store, registry, plans)
    runs = Runs(
        store, training, audit, registry, plans, telemetry, experiments, slots=settings.trainings
    )
    plans.features_of = features.reference
    registry.offline_gate = runs.offline_gate
    policies.train_problem = problem
    triggers.on_fire = lambda firing: _request_run(runs, firing)
    triggers.run_times = runs.times
    hub = Hub(
        settings, engine, audit, blobs, repository, registry, fleet, plans, features,
        policies, telemetry, monitoring, serving, packs, triggers, experiments, runs,
    )  # fmt: skip
    hub.loop = Loop(_parts(hub), settings.tick_seconds, data / "loop.lock")
    for model in registry.models():
        plans.republish(model)
    return hub


def _parts(hub: Hub) -> dict[str, Callable[[float], object]]:
    """What the loop looks at, in this order."""
    return {
        "plans": hub.plans.tick,
        "monitoring": hub.monitoring.tick,
        "triggers": hub.triggers.tick,
        "runs": hub.runs.tick,
        "experiments": hub.experiments.tick,
        "packs": hub.packs.tick,
        "retention": hub.telemetry.clean,
        "renewal": lambda now: hub.repository.renew(
            datetime.datetime.fromtimestamp(now, datetime.UTC)
        ),
    }


def _request_run(runs: Runs, firing: Firing) -> None:
    if runs.can_train(firing["model"]):
        cause = {name: firing[name] for name in ("kind", "trigger", "version", "at", "evidence")}
        cause["actor"] = firing["actor"]
        runs.request(firing["model"], cause, mode=firing["mode"], since=firing["since"])
