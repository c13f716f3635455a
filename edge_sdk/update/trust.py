"""Trust in the hub's plans and releases: they are believed only as far as signatures reach.

:mod:`edge_sdk.update.verified` has what holds for all metadata. Invariants of what is here:

* The serial of a model's plan never goes below the one that was followed before, nor a release's
  counter below its model's signed floor; both are bound to the keys that signed them.
* A target's file is named by its SHA-256; one that is signed without is refused.
* Nothing here touches what serves: a refusal blocks new installs only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, TargetFile

from edge_sdk.contract.entity_index import EntityIndex, index_in_force, signed_index
from edge_sdk.contract.limits import ENTITY_INDEX_BYTES, MANIFEST_BYTES, PLAN_BYTES
from edge_sdk.contract.manifest import MANIFEST, FileRef
from edge_sdk.contract.names import check_digest
from edge_sdk.contract.plan import Plan, ReleaseRef
from edge_sdk.errors import ContractError, EdgeError, TrustError
from edge_sdk.system.files import remove
from edge_sdk.update.verified import STEP, VerifiedMetadata

if TYPE_CHECKING:
    from edge_sdk.hub.client import HubClient
    from edge_sdk.state_db import StateDatabase
    from edge_sdk.update.floors import Floors

DELEGATED: Final = ("releases", "plans")


class Trust:
    """Verified plans and targets of a device's models: one refresh of the metadata for all.

    Args:
        store: keeps the floors; the metadata cache is the folder ``tuf`` beside it.
        client: of the hub.
        root: bytes of the first trusted ``root.json``.
        clock: Unix seconds.
    """

    def __init__(
        self, store: StateDatabase, client: HubClient, root: bytes, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._cache = store.folder / "tuf"
        self._metadata = VerifiedMetadata(
            store, client, root, clock, cache=self._cache, delegated=DELEGATED
        )
        self._models: dict[str, ModelTrust] = {}

    def of(self, model: str) -> ModelTrust:
        """Return the part that is about one model, whose plan every later refresh brings."""
        if model not in self._models:
            self._models[model] = ModelTrust(self._metadata, self._client, model)
        return self._models[model]

    def refresh(self) -> dict[str, Plan | EdgeError | None]:
        """Return the newest plan of each model, verified; ``None`` for one that has none.

        What is wrong with one model's plan is that model's trouble: it stands in the plan's place.

        Raises:
            HubUnreachable: no answer.
            TrustError: the metadata of all is not signed, expired, or older than what was seen
                before.
            UpdateError: the disk takes nothing; what is cached stays.
        """
        try:
            news = self._refresh()
        except TrustError:
            self._forget()
            raise
        if any(isinstance(plan, TrustError) for plan in news.values()):
            self._forget()
        return news

    def _forget(self) -> None:
        # What is cached may be what is refused: the next refresh begins with the trusted root.
        remove(self._cache)

    def _refresh(self) -> dict[str, Plan | EdgeError | None]:
        models = dict(self._models)  # a model may join meanwhile
        paths = [path for model in models.values() for path in model.paths]
        floors, targets = self._metadata.load(paths)
        news: dict[str, Plan | EdgeError | None] = {}
        for name, model in models.items():
            try:
                news[name] = model.accept(floors, targets)
            except EdgeError as error:
                news[name] = error
        self._metadata.settle(floors)
        return news


class ModelTrust:
    """Verified plan and targets of one model, as of the last refresh.

    Args:
        metadata: that is verified.
        client: of the hub.
        model: its name.
    """

    def __init__(self, metadata: VerifiedMetadata, client: HubClient, model: str) -> None:
        self._client = client
        self._model = model
        self._metadata = metadata
        self._release_floor = 0
        self._index: tuple[str, EntityIndex] | None = None
        self._plan_path, self._floor_path = f"plans/{model}.json", f"models/{model}/floor.json"

    @property
    def paths(self) -> tuple[str, str]:
        """Return the paths of the targets that every refresh looks at."""
        return self._plan_path, self._floor_path

    def accept(self, floors: Floors, targets: Mapping[str, TargetFile | None]) -> Plan | None:
        """Return the plan that was signed; raise the model's floors to it, or none of them.

        Args:
            floors: that take effect once they are stored.
            targets: what the metadata says of :attr:`paths`.

        Raises:
            HubError: the hub went away.
            TrustError: the plan cannot be read, or is older than one that was seen before.
        """
        plan_target, floor_target = targets[self._plan_path], targets[self._floor_path]
        serial_name, floor_name = f"serial/{self._model}", f"release/{self._model}"
        plan = None
        if plan_target is not None:
            plan = self._parse_plan(self._fetch(plan_target, PLAN_BYTES))
            seen = floors[serial_name]
            if plan.serial < seen:
                raise TrustError(STEP, f"plan {plan.serial} is older than plan {seen} seen before")
        floor = None if floor_target is None else self._floor_of(floor_target)
        if plan is not None:
            floors.put(serial_name, plan.serial)
        if floor is not None:
            floors.put(floor_name, floor)
        self._release_floor = floors[floor_name]
        return plan

    def file(self, path: str) -> FileRef | None:
        """Return length and SHA-256 of a signed target, ``None`` if nobody signed that path.

        Raises:
            TrustError: it is signed without a SHA-256.
        """
        target = self._metadata.target(path)
        return FileRef(target.length, _sha256(target)) if target else None

    def entities(self) -> EntityIndex | None:
        """Return the index of answers by entity that is in force, as of the last refresh.

        Returns:
            ``None`` if the hub has none.

        Raises:
            HubError: the hub went away.
            TrustError: no publisher signed it, it cannot be read, or is another model's.
        """
        path = index_in_force(self._model)
        target = self._metadata.target(path)
        if target is None:
            return None
        sha256 = _sha256(target)
        if self._index is not None and self._index[0] == sha256:
            return self._index[1]
        published = self._metadata.target(signed_index(self._model, sha256))
        if published is None or published.length != target.length or _sha256(published) != sha256:
            raise TrustError(STEP, f"{path}: names answers that no publisher signed")
        try:
            index = EntityIndex.from_json(self._fetch(published, ENTITY_INDEX_BYTES))
        except ContractError as error:
            raise TrustError(STEP, f"{path}: cannot be read; {error}") from error
        if index.model != self._model:
            raise TrustError(STEP, f"{path}: expected one of {self._model}, got {index.model}")
        self._index = (sha256, index)
        return index

    def check_release(self, ref: ReleaseRef) -> FileRef:
        """Return the signed manifest of ``ref``.

        Raises:
            TrustError: nobody signed it, it is another one, or it lies below the model's floor.
        """
        path = f"models/{self._model}/{ref.version}/{MANIFEST}"
        target = self._metadata.target(path)
        if target is None or _sha256(target) != ref.manifest:
            raise TrustError(STEP, f"{path}: the plan names a release that no publisher signed")
        counter, floor = _counter(target), self._release_floor
        if counter < floor:
            raise TrustError(STEP, f"{path}: its counter {counter} is below the floor {floor}")
        return FileRef(target.length, ref.manifest)

    def _fetch(self, target: TargetFile, limit: int) -> bytes:
        folder, _, name = target.path.rpartition("/")
        url = f"{self._client.url}/v1/targets/{folder}/{_sha256(target)}.{name}"
        return self._metadata.fetch(target, url, limit)

    def _parse_plan(self, raw: bytes) -> Plan:
        try:
            plan = Plan.from_json(raw)
        except ContractError as error:
            raise TrustError(STEP, f"the plan cannot be read; {error}") from error
        if plan.model != self._model:
            raise TrustError(STEP, f"expected a plan of {self._model}, got one of {plan.model}")
        return plan

    def _floor_of(self, target: TargetFile) -> int:
        try:
            return int(json.loads(self._fetch(target, MANIFEST_BYTES))["floor"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise TrustError(STEP, f"{target.path}: cannot be read; {error}") from error


def check_root(root: Any) -> None:
    """Refuse what is not the content of a ``root.json``; raises :class:`TrustError`.

    Whether it is the right one, the hub's metadata shows.
    """
    try:
        kind = Metadata.from_bytes(root).signed.type
    except (RepositoryError, TypeError, AttributeError) as error:
        raise TrustError("root", f"expected the bytes of a root.json, got {root!r:.60}") from error
    if kind != "root":
        raise TrustError("root", f"expected the bytes of a root.json, got a {kind}.json")


def _sha256(target: TargetFile) -> str:
    """Return the SHA-256 of a target, by which its file is named."""
    digest = target.hashes.get("sha256")
    if digest is None:
        raise TrustError(
            STEP, f"{target.path}: expected a SHA-256, it is signed with {', '.join(target.hashes)}"
        )
    try:
        check_digest(target.path, digest)
    except ContractError as error:
        raise TrustError(STEP, str(error)) from error
    return digest


def _counter(target: TargetFile) -> int:
    custom = target.unrecognized_fields.get("custom") or {}
    try:
        return int(custom["edge"]["counter"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0
