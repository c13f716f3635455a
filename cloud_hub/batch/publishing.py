"""Answers by entity for devices: packs of the generation that answers, by a signed index.

Invariants:

* Devices see a generation whole or not at all: packs lie where they are downloaded before the index
  that names them is signed, and the one before stays in force until then.
* One that cannot be published is refused once, in words; the one before stays.
* The publisher's key vouches for every pack; the online key only says which index is in force.
* Packs are made apart from the loop, one generation at a time; a tick begins that, and a later one
  signs what came of it if it is still what is due.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tuf.api.metadata import TargetFile

from cloud_hub.engine.apart import WorkApart
from cloud_hub.errors import EngineUnavailable, Invalid, NotFound
from cloud_hub.policy.schema.batch import ALL
from cloud_hub.registry import signing
from cloud_hub.registry.own_publishing import publish_on_newest
from cloud_hub.registry.per_model import for_each
from cloud_hub.registry.roles import RELEASES
from cloud_hub.storage.target_place import place_of
from edge_sdk.contract.entity_index import (
    EntityIndex,
    EntityShare,
    delta_path,
    pack_path,
    signed_index,
)
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.limits import ENTITY_INDEX_BYTES
from edge_sdk.errors import PackError, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloud_hub.batch.generations import Generation, Generations
    from cloud_hub.batch.spreading.device_packs import PackMaking
    from cloud_hub.database.audit import Audit
    from cloud_hub.engine.engine import Engine
    from cloud_hub.policy.schema.batch import BatchJob
    from cloud_hub.registry.service import Registry

log = logging.getLogger(__name__)

ACTOR: Final = "hub"
TRY_AGAIN_SECONDS: Final = 600.0
AWAY_SECONDS: Final = 10.0
"""Seconds after which an engine that cannot be reached is tried again."""

STOP_SECONDS: Final = 20.0
PATIENCE_SECONDS: Final = 0.2
"""For which a tick waits for packs: those of a small generation are published as they are due."""


@dataclass(frozen=True)
class DevicePackStatus:
    """The answers by entity that devices of a model hold.

    Attributes:
        index: in force; ``None`` while there is none.
        due: generation that is to be published and is not yet; ``None`` for none.
        refused: why not; empty while it is only a matter of time.
    """

    index: EntityIndex | None
    due: int | None
    refused: str


@dataclass(frozen=True)
class DuePacks:
    """What is to be published: the newest whole generation of the job that devices hold."""

    name: str
    job: BatchJob
    generation: Generation

    @property
    def attribute(self) -> str | None:
        """Attribute of devices by which they take their share; ``None``: all take the same."""
        return None if self.job.entities == ALL else self.job.entities

    @property
    def attempt(self) -> tuple[object, ...]:
        """What a refusal is remembered by: declared otherwise, it may be published."""
        return self.generation.record.id, self.job


@dataclass(frozen=True)
class _Refusal:
    attempt: tuple[object, ...]
    reason: str
    again_at: float = math.inf


@dataclass(frozen=True)
class _Making:
    """Packs that are being made, and the attempt that they are of; ``began`` is monotonic."""

    model: str
    attempt: tuple[object, ...]
    began: float
    work: WorkApart[dict[str, EntityShare]]


class DevicePacks:
    """Packs by entity of all models.

    Args:
        audit: where what is published or refused is noted.
        registry: policies, releases and the signed repository.
        generations: answers.
        making: makes packs.
        waits: a tick waits for packs as long as they take; for hubs without a loop.
    """

    def __init__(
        self,
        audit: Audit,
        registry: Registry,
        generations: Generations,
        making: PackMaking,
        *,
        waits: bool = False,
    ) -> None:
        self._packs = making
        self._patience = None if waits else PATIENCE_SECONDS
        self._making: _Making | None = None
        self._audit = audit
        self._registry = registry
        self._repository = registry.repository
        self._generations = generations
        self._refused: dict[str, _Refusal] = {}

    def build_with(self, engine: Engine) -> None:
        """Build packs by another engine from now on; they are the same."""
        self._packs.engine = engine

    def tick(self, now: float) -> None:
        """Publish what is new, and take back what the policies want no more."""
        models = self._registry.models()
        if self._making is not None and self._making.model not in models:
            self._leave(self._making.model)
        for_each(models, lambda model: self._follow(model, now))

    def stop(self) -> None:
        """End what is being made; it is begun once more by whoever leads next."""
        making, self._making = self._making, None
        if making is not None:
            making.work.cancel()
            making.work.done(STOP_SECONDS)

    def _leave(self, model: str) -> None:
        """End what is being made of a model, without waiting for its end."""
        if self._making is not None and self._making.model == model:
            self._making.work.cancel()
            self._making = None

    def status(self, model: str) -> DevicePackStatus:
        """Return what devices of a model hold."""
        index = self.index(model)
        due = self._due(model, self._held(model), index)
        if due is None:
            return DevicePackStatus(index, None, "")
        refusal = self._refusal(model, due)
        reason = "" if refusal is None else refusal.reason
        return DevicePackStatus(index, due.generation.record.id, reason)

    def again(self, model: str, *, actor: str) -> DevicePackStatus:
        """Have what was refused tried once more at the next tick, as after a key came back.

        Args:
            model: name of the line.
            actor: who asks.

        Raises:
            Invalid: devices of the model hold no answers by entity.
        """
        if self._held(model) is None:
            raise Invalid(
                f"{model}: its policy has no batch job with entities, so devices hold no answers"
            )
        if self._refused.pop(model, None) is not None:
            self._audit.record(actor, "entities tried again", model, {})
        return self.status(model)

    def index(self, model: str) -> EntityIndex | None:
        """Return the index in force; ``None`` if there is none, or of another format."""
        raw = self._repository.entities(model)
        try:
            return EntityIndex.from_json(raw) if raw else None
        except ContractError:
            return None

    def _held(self, model: str) -> tuple[str, BatchJob] | None:
        """Return the job whose answers devices hold, by its name; ``None`` if they hold none."""
        jobs = self._registry.policy(model).batch.items()
        return next(((name, job) for name, job in jobs if job.entities is not None), None)

    def _due(
        self, model: str, held: tuple[str, BatchJob] | None, index: EntityIndex | None
    ) -> DuePacks | None:
        generation = None if held is None else self._generations.current(model, held[0])
        if held is None or generation is None:
            return None
        due = DuePacks(*held, generation)
        return None if _is_out(index, due) else due

    def _refusal(self, model: str, due: DuePacks) -> _Refusal | None:
        """Return why the last attempt at what is due failed; ``None`` if there was none."""
        refusal = self._refused.get(model)
        return None if refusal is None or refusal.attempt != due.attempt else refusal

    def _follow(self, model: str, now: float) -> None:
        held = self._held(model)
        if held is None:
            self._leave(model)
            if self._repository.entities(model) is not None:
                self._repository.publish_entities(model, b"")
                self._audit.record(ACTOR, "entities", model, {"generation": None})
            return
        index = self.index(model)
        due = self._due(model, held, index)
        refusal = None if due is None else self._refusal(model, due)
        if due is None or (refusal is not None and now < refusal.again_at):
            self._leave(model)
            return
        try:
            made = self._made(model, due, index)
            if made is None:
                return  # a later tick takes it
            self._publish(model, due, index, made)
            self._refused.pop(model, None)
        except NotFound:
            return  # dropped meanwhile: the next tick sees what is current
        except OSError as error:  # room may be made
            reason = f"trouble with the disk; {reason_of(error)}"
            self._refuse(model, due, _Refusal(due.attempt, reason, now + TRY_AGAIN_SECONDS))
        except EngineUnavailable as error:
            again = _Refusal(due.attempt, str(error), now + AWAY_SECONDS)
            self._refuse(model, due, again)
        except (Invalid, PackError, ContractError) as error:
            self._refuse(model, due, _Refusal(due.attempt, str(error)))

    def _refuse(self, model: str, due: DuePacks, refusal: _Refusal) -> None:
        before, self._refused[model] = self._refusal(model, due), refusal
        reason = refusal.reason
        if before is not None and before.reason == reason:
            return  # said already
        number = due.generation.record.id
        detail = {"job": due.name, "generation": number, "reason": reason[:1_000]}
        self._audit.record(ACTOR, "entities refused", model, detail)
        log.warning("%s %s: %s; devices keep what they have", model, due.name, reason)

    def _made(
        self, model: str, due: DuePacks, before: EntityIndex | None
    ) -> dict[str, EntityShare] | None:
        """Return the packs of what is due; ``None`` while they are made.

        Raises:
            Exception: what making them raised.
        """
        if self._making is not None and self._making.attempt != due.attempt:
            self._leave(model)
        making = self._making
        if making is None:
            self._repository.signer(RELEASES)  # before minutes of work
            work = WorkApart(
                lambda going: self._packs.make(model, due, before, going), "entity-packs"
            )
            making = self._making = _Making(model, due.attempt, time.monotonic(), work)
        if making.model != model:
            return None  # one after the other: each takes memory and a core
        left = None
        if self._patience is not None:
            left = max(0.0, self._patience - (time.monotonic() - making.began))
        if not making.work.done(left):
            return None
        self._making = None
        return making.work.result()

    def _publish(
        self, model: str, due: DuePacks, before: EntityIndex | None, made: dict[str, EntityShare]
    ) -> None:
        name, record = due.name, due.generation.record
        index = EntityIndex(
            model, name, record.id, f"{record.line} {record.version}",
            record.computed_at or 0.0, record.valid_until or 0.0, due.attribute, made,
        )  # fmt: skip
        self._sign(index)
        self._clean(model, [index, *([before] if before else [])])
        detail = {
            "job": name, "generation": record.id, "packs": len(made),
            "entities": sum(share.entities for share in made.values()),
            "bytes": sum(share.file.length for share in made.values()),
        }  # fmt: skip
        self._audit.record(ACTOR, "entities", model, detail)
        log.info("%s %s: generation %d published in %d packs", model, name, record.id, len(made))

    def _sign(self, index: EntityIndex) -> None:
        raw = index.to_json()
        if len(raw) > ENTITY_INDEX_BYTES:
            raise Invalid(
                f"entities: the index of {len(index.shares):,} packs takes {len(raw):,} bytes of "
                f"{ENTITY_INDEX_BYTES:,}; share entities out by a coarser attribute"
            )
        repository = self._repository
        signer = repository.signer(RELEASES)
        sha256 = TargetFile.from_data("index", raw).hashes["sha256"]
        path = signed_index(index.model, sha256)
        if path not in repository.releases().signed.targets:
            targets = {path: TargetFile.from_data(path, raw)}
            publish_on_newest(
                repository,
                lambda newest: signing.add_targets(newest, targets, signer),
                lambda signed: repository.accept_releases(signed, lambda _: raw),
            )
        repository.publish_entities(index.model, raw)

    def _clean(self, model: str, indexes: Sequence[EntityIndex]) -> None:
        """Remove packs and deltas that neither the index in force nor the one before names.

        A device that is at the older one finishes its download.
        """
        named = {place for index in indexes for place in _places(index)}
        kept = self._kept_by_plans(model)
        targets = self._repository.targets
        for place in list(targets.list(f"packs/{model}/")):
            if place.endswith((".pack", ".delta")) and place not in named | kept:
                targets.delete(place)

    def _kept_by_plans(self, model: str) -> set[str]:
        """Return the places of packs that ``releases`` lists: those of inputs and features."""
        listed = self._repository.releases().signed.targets
        prefix = f"packs/{model}/"
        return {
            place_of(path, target.hashes["sha256"])
            for path, target in listed.items()
            if path.startswith(prefix)
        }


def _is_out(index: EntityIndex | None, due: DuePacks) -> bool:
    published = None if index is None else (index.job, index.generation, index.attribute)
    return published == (due.name, due.generation.record.id, due.attribute)


def _places(index: EntityIndex) -> Iterator[str]:
    for share in index.shares.values():
        yield place_of(pack_path(index.model, share.file.sha256), share.file.sha256)
        if share.base is not None and share.delta is not None:
            path = delta_path(index.model, share.base, share.file.sha256)
            yield place_of(path, share.delta.sha256)
