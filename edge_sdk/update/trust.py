"""Trust in the hub's metadata: it is believed only as far as signatures reach.

The Update Framework's client does the verifying; this module feeds it through our transport and
adds what a device without a battery-backed clock needs. Invariants:

* Versions of metadata and the serial of the plan never go below the floors in the device's own
  database, even if the metadata cache is deleted. The newest verified root is kept there too, so
  that a key which was revoked stays revoked.
* Metadata is refused once expired at the later of the device's clock and the newest signed time.
* A release below its model's signed floor is refused.
* Nothing here touches what serves: a refusal blocks new installs only.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.api.metadata import Metadata, TargetFile
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater as MetadataUpdater

from edge_sdk.contract.limits import MANIFEST_BYTES, PLAN_BYTES
from edge_sdk.contract.manifest import MANIFEST, FileRef
from edge_sdk.contract.plan import Plan, ReleaseRef
from edge_sdk.errors import (
    ContractError,
    EdgeError,
    HubError,
    HubUnreachable,
    IdentityRefused,
    TrustError,
)

if TYPE_CHECKING:
    from edge_sdk.hub.client import HubClient
    from edge_sdk.state_db import StateDatabase

SIGNED_AT: Final = "edge_signed_at"
"""Field of ``timestamp.json``: when it was signed, Unix seconds."""

ROLES: Final = ("root", "timestamp", "snapshot", "targets", "releases", "plans")
STEP: Final = "trust"


class _Fetcher(FetcherInterface):
    """The Update Framework's downloads, through our transport."""

    def __init__(self, client: HubClient) -> None:
        self._client = client
        self.unreachable: HubUnreachable | IdentityRefused | None = None

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            return self._client.stream(url)
        except (HubUnreachable, IdentityRefused) as error:
            self.unreachable = error
            raise DownloadError(str(error)) from error
        except HubError as error:
            raise DownloadHTTPError(str(error), error.status or 500) from error


class Trust:
    """Verified plans and targets of one model.

    Args:
        store: keeps the floors; the metadata cache is the folder ``tuf`` beside it.
        client: of the hub.
        model: whose plan is followed.
        root: bytes of the first trusted ``root.json``.
        clock: Unix seconds.
    """

    def __init__(
        self,
        store: StateDatabase,
        client: HubClient,
        model: str,
        root: bytes,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._client = client
        self._model = model
        self._root = root
        self._clock = clock
        self._cache = store.folder / "tuf"
        self._metadata: MetadataUpdater | None = None

    def refresh(self) -> Plan | None:
        """Return the newest plan, verified; ``None`` while the model has none.

        Raises:
            HubUnreachable: no answer.
            TrustError: something is not signed, expired, or older than what was seen before.
        """
        try:
            return self._refresh()
        except TrustError:
            # What is cached may be what is refused: the next refresh begins with the trusted root.
            shutil.rmtree(self._cache, ignore_errors=True)
            raise

    def _refresh(self) -> Plan | None:
        updater = self._updater()
        self._guarded(updater.refresh)
        target = self._guarded(updater.get_targetinfo, f"plans/{self._model}.json")
        # The delegated roles must be loaded before their versions can be held to the floors.
        floor = self._guarded(updater.get_targetinfo, f"models/{self._model}/floor.json")
        floors = self._checked_floors()
        self._metadata = updater
        self._store.put("root", (self._cache / "root.json").read_text())
        plan = None
        if target is not None:
            plan = self._parse_plan(self._fetch(target, PLAN_BYTES))
            newest = floors.get("serial", 0)
            if plan.serial < newest:
                raise TrustError(
                    STEP, f"plan {plan.serial} is older than plan {newest} seen before"
                )
            floors["serial"] = plan.serial
        if floor is not None:
            floors["release"] = max(floors.get("release", 0), self._release_floor(floor))
        self._store.put("floors", floors)
        return plan

    def file(self, path: str) -> FileRef | None:
        """Return length and SHA-256 of a signed target, ``None`` if nobody signed that path."""
        target = self._target(path)
        return FileRef(target.length, target.hashes["sha256"]) if target else None

    def check_release(self, ref: ReleaseRef) -> FileRef:
        """Return the signed manifest of ``ref``.

        Raises:
            TrustError: nobody signed it, it is another one, or it lies below the model's floor.
        """
        path = f"models/{self._model}/{ref.version}/{MANIFEST}"
        target = self._target(path)
        if target is None or target.hashes.get("sha256") != ref.manifest:
            raise TrustError(STEP, f"{path}: the plan names a release that no publisher signed")
        counter = _counter(target)
        floor = (self._store.get("floors") or {}).get("release", 0)
        if counter < floor:
            raise TrustError(STEP, f"{path}: its counter {counter} is below the floor {floor}")
        return FileRef(target.length, ref.manifest)

    def _target(self, path: str) -> TargetFile | None:
        if self._metadata is None:
            raise TrustError(STEP, "expected a refresh before targets are asked for")
        target: TargetFile | None = self._guarded(self._metadata.get_targetinfo, path)
        return target

    def _updater(self) -> MetadataUpdater:
        self._cache.mkdir(exist_ok=True)
        self._fetcher = _Fetcher(self._client)
        url = f"{self._client.url}/v1/metadata/"
        # The newest root that was verified: from an older one a revoked key would be trusted again.
        folder, newest = str(self._cache), self._store.get("root")
        root = newest.encode() if newest else self._root
        updater: MetadataUpdater = self._guarded(
            lambda: MetadataUpdater(folder, url, fetcher=self._fetcher, bootstrap=root)
        )
        return updater

    def _guarded(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run a call of the framework's client; its exceptions become ours."""
        self._fetcher.unreachable = None
        try:
            return call(*arguments)
        except DownloadError as error:
            if self._fetcher.unreachable is not None:
                raise self._fetcher.unreachable from error
            raise TrustError(STEP, f"the hub's metadata cannot be had; {error}") from error
        except EdgeError:
            raise
        except (RepositoryError, OSError, ValueError) as error:
            raise TrustError(STEP, f"the hub's metadata is refused; {error}") from error

    def _checked_floors(self) -> dict[str, int]:
        """The floors raised to the metadata just loaded, or a refusal."""
        floors: dict[str, int] = dict(self._store.get("floors") or {})
        loaded = {role: self._load(role) for role in ROLES}
        timestamp = loaded["timestamp"]
        signed_at = timestamp.signed.unrecognized_fields.get(SIGNED_AT, 0) if timestamp else 0
        floors["time"] = max(floors.get("time", 0), int(signed_at))
        # A clock without battery starts in the past, where nothing has expired yet.
        now = _moment(max(self._clock(), floors["time"]))
        for role, metadata in loaded.items():
            if metadata is None:
                continue
            signed = metadata.signed
            if signed.is_expired(now):
                raise TrustError(STEP, f"{role}: expired {signed.expires:%Y-%m-%d %H:%M} UTC")
            if signed.version < floors.get(role, 0):
                raise TrustError(
                    STEP, f"{role}: version {signed.version} is below {floors[role]} seen before"
                )
            floors[role] = signed.version
        return floors

    def _load(self, role: str) -> Metadata[Any] | None:
        path = self._cache / f"{role}.json"
        return self._guarded(Metadata.from_file, str(path)) if path.exists() else None

    def _fetch(self, target: TargetFile, limit: int) -> bytes:
        folder, _, name = target.path.rpartition("/")
        digest = target.hashes["sha256"]
        raw = b""
        for chunk in self._client.stream(f"{self._client.url}/v1/targets/{folder}/{digest}.{name}"):
            raw += chunk
            if len(raw) > limit:
                raise TrustError(STEP, f"{target.path}: expected at most {limit} bytes")
        self._guarded(target.verify_length_and_hashes, raw)
        return raw

    def _parse_plan(self, raw: bytes) -> Plan:
        try:
            plan = Plan.from_json(raw)
        except ContractError as error:
            raise TrustError(STEP, f"the plan cannot be read; {error}") from error
        if plan.model != self._model:
            raise TrustError(STEP, f"expected a plan of {self._model}, got one of {plan.model}")
        return plan

    def _release_floor(self, target: TargetFile) -> int:
        try:
            return int(json.loads(self._fetch(target, MANIFEST_BYTES))["floor"])
        except (ValueError, KeyError, TypeError) as error:
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


def _moment(seconds: float) -> datetime.datetime:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise TrustError(STEP, f"{seconds} is no time; {error}") from error


def _counter(target: TargetFile) -> int:
    custom = target.unrecognized_fields.get("custom") or {}
    try:
        return int(custom["edge"]["counter"])
    except (KeyError, TypeError, ValueError):
        return 0
