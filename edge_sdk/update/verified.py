"""Metadata that signatures, expiry and the device's own floors vouch for.

The Update Framework's client verifies; this module feeds it through our transport and adds what a
device without a battery-backed clock needs. Invariants:

* The newest root that was verified is stored before anything else is looked at, so that a key
  which it revokes stays revoked, also if the rest of the refresh fails or the disk is full.
* Versions never go below the floors in the device's own database, even if the metadata cache is
  deleted; :mod:`edge_sdk.update.floors` says what takes a floor back.
* Metadata is refused once expired at the later of the device's clock and the newest signed time.
  An expired root is only a link of the chain: the last one must be valid.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater as MetadataUpdater

from edge_sdk.contract.version import SIGNED_AT
from edge_sdk.errors import (
    EdgeError,
    HubError,
    HubUnreachable,
    IdentityRefused,
    TrustError,
    UpdateError,
    reason_of,
)
from edge_sdk.hub.verifying_key import verify_with_libsodium
from edge_sdk.update.floors import Floors, Voucher, stored_floors

if TYPE_CHECKING:
    from edge_sdk.hub.client import HubClient
    from edge_sdk.state_db import StateDatabase

TOP: Final = ("root", "timestamp", "snapshot", "targets")
STEP: Final = "trust"

MISPLACED: Final = (FileExistsError, IsADirectoryError, NotADirectoryError)
"""Errors that tell of something else in a cached file's place: the cache itself is to blame."""

verify_with_libsodium()  # before anything reads a key


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


class _RootKeepingUpdater(MetadataUpdater):
    """The Update Framework's client, which has every root kept before it goes to the cache.

    Args:
        keep: takes the bytes of a root that was verified.
        more: as the framework takes it.
    """

    def __init__(self, *more: Any, keep: Callable[[bytes], None], **named: Any) -> None:
        self._keep = keep
        super().__init__(*more, **named)

    # Where the cache is on a full disk this is the only moment at which the bytes are at hand. It
    # is no public name: should it change, VerifiedMetadata still reads the root from the cache.
    def _persist_root(self, version: int, data: bytes) -> None:
        self._keep(data)
        super()._persist_root(version, data)


class VerifiedMetadata:
    """The metadata of one repository, as far as it is verified.

    Args:
        store: keeps floors and the newest root.
        client: of the hub.
        root: bytes of the first trusted ``root.json``.
        clock: Unix seconds.
        cache: folder for metadata; it may be deleted at any time.
        path: of the metadata on the hub, with slashes at both ends.
        delegated: roles below ``targets`` whose versions are held to floors too.
    """

    def __init__(
        self,
        store: StateDatabase,
        client: HubClient,
        root: bytes,
        clock: Callable[[], float],
        *,
        cache: Path,
        path: str = "/v1/metadata/",
        delegated: Sequence[str] = (),
    ) -> None:
        self._store = store
        self._client = client
        self._root = root
        self._clock = clock
        self._cache = cache
        self._path = path
        self._roles = (*TOP, *delegated)
        self._fetcher = _Fetcher(client)
        self._updater: MetadataUpdater | None = None

    def load(self, paths: Sequence[str] = ()) -> tuple[Floors, dict[str, TargetFile | None]]:
        """Bring the newest metadata; return floors raised to it, and what it says of some targets.

        The floors take effect with :meth:`settle`.

        Args:
            paths: of targets; roles that list them are loaded, or they cannot be held to floors.

        Raises:
            HubUnreachable: no answer.
            TrustError: something is not signed, expired, or older than what was seen before.
            UpdateError: the disk takes nothing; what the cache has is as good as before.
        """
        updater = self.guarded(self._new_updater)
        try:
            self.guarded(updater.refresh)
        finally:
            self.guarded(self._keep_cached_root)
        targets = {path: self.guarded(updater.get_targetinfo, path) for path in paths}
        floors = self._checked_floors()
        self._updater = updater
        return floors, targets

    def settle(self, floors: Floors) -> None:
        """Store floors: what lies below them is refused from now on."""
        self._store.put("trust_floors", floors.to_json())

    def target(self, path: str) -> TargetFile | None:
        """Return a signed target, ``None`` if nobody signed that path; raises TrustError."""
        if self._updater is None:
            raise TrustError(STEP, "expected a refresh before targets are asked for")
        target: TargetFile | None = self.guarded(self._updater.get_targetinfo, path)
        return target

    def fetch(self, target: TargetFile, url: str, limit: int) -> bytes:
        """Return the content of a signed target, verified.

        Args:
            target: signed.
            url: of its content.
            limit: most bytes that it may have.

        Raises:
            HubError: the hub refused, or cannot be reached.
            TrustError: it is longer, or something else.
        """
        raw = b""
        for chunk in self._client.stream(url):
            raw += chunk
            if len(raw) > limit:
                raise TrustError(STEP, f"{target.path}: expected at most {limit} bytes")
        self.guarded(target.verify_length_and_hashes, raw)
        return raw

    def guarded(self, call: Callable[..., Any], *arguments: Any) -> Any:
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
        except ExpiredMetadataError as error:
            now = f"{_moment(self._clock()):%Y-%m-%d}"
            raise TrustError(STEP, f"{error}; this device's clock says {now}") from error
        except (RepositoryError, ValueError, *MISPLACED) as error:
            raise TrustError(STEP, f"the hub's metadata is refused; {error}") from error
        except OSError as error:
            reason = f"the hub's metadata cannot be stored; {reason_of(error)}"
            raise UpdateError(STEP, reason) from error

    def _new_updater(self) -> MetadataUpdater:
        self._cache.mkdir(exist_ok=True)  # not synced: it may be lost at any time
        # The newest root that was verified: from an older one a revoked key would be trusted again.
        newest = self._store.get("root")
        root = newest.encode() if newest else self._root
        url = f"{self._client.url}{self._path}"
        updater = _RootKeepingUpdater(
            str(self._cache), url, fetcher=self._fetcher, bootstrap=root, keep=self._keep_root
        )
        # The framework takes the system's time and offers no other; the device's may be another.
        # Should the name change, _checked_floors still refuses what has expired.
        updater._trusted_set.reference_time = _moment(self._clock())
        return updater

    def _keep_cached_root(self) -> None:
        """Keep the newest root of the cache, which the framework has verified link by link."""
        path = self._cache / "root.json"
        if path.exists():
            self._keep_root(path.read_bytes())

    def _keep_root(self, raw: bytes) -> None:
        """Store a root that was verified, unless it is older than the one that is stored."""
        newest = self._store.get("root")
        if newest is None or _version_of(newest.encode()) < _version_of(raw):
            self._store.put("root", raw.decode())

    def _checked_floors(self) -> Floors:
        """Return the floors raised to the metadata just loaded, or refuse it."""
        loaded = {role: self._load(role) for role in self._roles}
        floors = Floors(stored_floors(self._store.get("trust_floors")), _vouchers(loaded))
        timestamp = loaded["timestamp"]
        floors.put("time", _signed_at(timestamp) if timestamp else 0)
        # A clock without battery starts in the past, where nothing has expired yet.
        now = _moment(max(self._clock(), floors["time"]))
        for role, metadata in loaded.items():
            if metadata is None:
                continue
            signed = metadata.signed
            if signed.is_expired(now):
                raise TrustError(
                    STEP,
                    f"{role}: expired {signed.expires:%Y-%m-%d %H:%M} UTC; it is "
                    f"{now:%Y-%m-%d %H:%M} by this device's clock or the newest signed time",
                )
            if signed.version < floors[role]:
                raise TrustError(
                    STEP, f"{role}: version {signed.version} is below {floors[role]} seen before"
                )
            floors.put(role, signed.version)
        return floors

    def _load(self, role: str) -> Metadata[Any] | None:
        path = self._cache / f"{role}.json"
        return self.guarded(Metadata.from_file, str(path)) if path.exists() else None


def _version_of(raw: bytes) -> int:
    version: int = Metadata.from_bytes(raw).signed.version
    return version


def _vouchers(loaded: Mapping[str, Metadata[Any] | None]) -> dict[str, Voucher]:
    """Return the keys of each role that was loaded, by who delegates to it."""
    root, targets = loaded["root"], loaded.get("targets")
    assert root is not None  # the framework does not start without one
    found = {}
    for role, metadata in loaded.items():
        delegator = root if role in TOP else targets
        if metadata is not None and delegator is not None:
            found[role] = _voucher(delegator.signed, role, metadata)
    return found


def _voucher(delegator: Root | Targets, role: str, metadata: Metadata[Any]) -> Voucher:
    result = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    keys = frozenset(delegator.get_delegated_role(role).keyids)
    return Voucher(keys, result.threshold, frozenset(result.signed))


def _signed_at(timestamp: Metadata[Any]) -> int:
    signed_at = timestamp.signed.unrecognized_fields.get(SIGNED_AT, 0)
    if (
        not isinstance(signed_at, int | float)
        or not 0 <= signed_at <= timestamp.signed.expires.timestamp()
    ):
        raise TrustError(
            STEP, f"timestamp: expected {SIGNED_AT} before it expires, got {signed_at!r:.40}"
        )
    return int(signed_at)


def _moment(seconds: float) -> datetime.datetime:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise TrustError(STEP, f"{seconds} is no time; {error}") from error
