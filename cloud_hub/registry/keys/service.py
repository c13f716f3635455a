"""Renewing and replacing keys of a hub: what its own keys can sign at once, the rest by request.

Invariants:

* New metadata is in force as a whole or not at all, and only with every signature that devices
  will ask for; what the hub itself must sign with afterwards is here before.
* A key that is replaced is needed until its successor is in force: nothing is given up before.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.registry.keys import changes, words
from cloud_hub.registry.keys.changes import OFFLINE, ONLINE, KeyChange
from cloud_hub.registry.keys.request import SigningRequest, check_follows
from cloud_hub.registry.keys.status import KeyStatus, RoleStatus, role_status
from cloud_hub.registry.metadata_store import TIMESTAMP
from cloud_hub.registry.roles import LONG, RELEASES, VALIDITY

if TYPE_CHECKING:
    from cloud_hub.registry.repository import Repository


@dataclass(frozen=True)
class KeyOutcome:
    """What a change came to.

    Attributes:
        done: it is in force; else signatures are missing.
        request: what was signed, or waits for signatures; ``None`` if nothing had to change.
        says: it, in words.
    """

    done: bool
    request: SigningRequest | None
    says: tuple[str, ...] = ()


class Keys:
    """The keys of one repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def status(self) -> KeyStatus:
        """Return every role with its keys and its end."""
        repository = self._repository
        now = repository.clock()
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
        here = set(repository.keys.held())
        roles = tuple(self._role(role, moment, here) for role in VALIDITY)
        return KeyStatus(roles, repository.guard.problem(now, repository.signed_at()))

    def renew(
        self, roles: Sequence[str], days: int, signers: Mapping[str, Signer] | None = None
    ) -> KeyOutcome:
        """Make offline roles valid for longer.

        Args:
            roles: of :data:`LONG`; none for all that can be signed, and all that ``signers`` have a
                part in.
            days: how long they are valid from now on.
            signers: keys that are not on the hub, by what the owner calls them.

        Returns:
            What is in force now, or the request to sign elsewhere.
        """
        with self._repository.locked():
            wanted = roles or self._signable(signers or {})
            return self._apply({}, set(wanted), days, signers or {})

    def rotate(
        self,
        groups: Mapping[str, KeyChange],
        days: int,
        signers: Mapping[str, Signer] | None = None,
        *,
        to_file: bool = False,
    ) -> KeyOutcome:
        """Replace keys, or change thresholds.

        Args:
            groups: changes by group. An empty change replaces all keys of ``online`` or
                ``releases`` by a new one that is made on the hub.
            days: how long root and targets are valid from now on.
            signers: keys that are not on the hub, by what the owner calls them.
            to_file: there is a place for a request, should signatures be missing.

        Raises:
            Conflict: signatures are missing, and there is no place for a request.
            Invalid: a change that cannot be made.
        """
        with self._repository.locked():
            self._repository.adopt_keys()  # or a new key might take the place of one in use
            if not (to_file or self._can_sign(groups, signers or {})):
                raise Conflict(
                    "the offline keys are not on this hub: name the file for a signing request "
                    "with --to, or the keys themselves with --key"
                )
            made = {name: self._made(name, change) for name, change in groups.items()}
            touched = {
                *("root" for name in made if changes.IN_ROOT[name]),
                *("targets" for name in made if changes.IN_TARGETS[name] or name == OFFLINE),
                *(RELEASES for name in made if name == RELEASES),
            }
            return self._apply(made, touched, days, signers or {})

    def export(self, roles: Sequence[str], days: int) -> KeyOutcome:
        """Return a request that makes offline roles valid for longer.

        Args:
            roles: of :data:`LONG`; none for those that the hub cannot sign itself, releases only
                where they are due.
            days: how long they are valid from now on.

        Raises:
            Conflict: the hub can sign all of them itself.
        """
        found = [role for role in self.status().roles if role.role in LONG and not role.renews]
        wanted = roles or [r.role for r in found if r.role != RELEASES or r.due]
        if not wanted:
            raise Conflict("the hub holds the keys of all roles: edge-hub keys renew signs them")
        with self._repository.locked():
            request = self._request({}, set(wanted), days)
        return KeyOutcome(False, request, self._says(request))

    def take(self, requests: Sequence[SigningRequest]) -> KeyOutcome:
        """Put a signed request in force.

        Args:
            requests: one, or copies of it that were signed by different people.

        Raises:
            Invalid: no copies of one request, or badly signed.
            Conflict: signatures are missing, it was overtaken, or the hub could not go on with it.
        """
        request, *others = requests
        for other in others:
            request.merge(other)
        with self._repository.locked():
            return self._put_in_force(request)

    def confirm_clock(self) -> str:
        """Take the clock of this machine to be right; return what that means for devices."""
        repository = self._repository
        now, newest = repository.clock(), repository.signed_at()
        with repository.locked():
            repository.guard.note(now)
        said = f"the clock is taken to be right: {_utc(now)}"
        if newest > now + VALIDITY["timestamp"].total_seconds():
            said += (
                f"; this hub signed for {_utc(newest)} before, and devices that saw it refuse "
                "updates until then: edge-hub keys rotate online brings them back at once"
            )
        return said

    def _apply(
        self,
        groups: Mapping[str, KeyChange],
        roles: set[str],
        days: int,
        signers: Mapping[str, Signer],
    ) -> KeyOutcome:
        """Sign with all keys at hand; put it in force, or hand back the request."""
        if not roles:
            return KeyOutcome(True, None)
        request = self._request(groups, roles, days)
        here = {k: s for k, s in self._repository.keys.held().items() if _has_role(request, k)}
        request.sign({**here, **signers})
        if any(missing.count for missing in request.missing()):
            return KeyOutcome(False, request, self._says(request))
        return self._put_in_force(request)

    def _put_in_force(self, request: SigningRequest) -> KeyOutcome:
        repository = self._repository
        in_force = {role: repository.files.newest(role) for role in LONG}
        request = SigningRequest(in_force, request.following)
        check_follows(request)
        now = datetime.datetime.fromtimestamp(repository.clock(), datetime.UTC)
        for role, metadata in request.following.items():
            if metadata.signed.is_expired(now):
                raise Conflict(f"{role}: expired {metadata.signed.expires:%Y-%m-%d}; export again")
        self._check_whole(request)
        says = self._says(request)
        repository.commit(request.following, signed_already=True)
        return KeyOutcome(True, request, says)

    def _check_whole(self, request: SigningRequest) -> None:
        """Refuse a change after which documents that are not part of it would not verify."""
        newest = {**request.current, **request.following}
        for role, parent in (("targets", "root"), (RELEASES, "targets")):
            metadata = newest[role]
            try:
                newest[parent].signed.verify_delegate(
                    role, metadata.signed_bytes, metadata.signatures
                )
            except RepositoryError as error:
                raise Conflict(
                    f"{role}: what is in force would not be signed any more; {error}; include it"
                ) from error
        if newest[RELEASES].signed.targets != request.current[RELEASES].signed.targets:
            raise Conflict("releases: other files than in force; publish them instead")

    def _request(
        self, groups: Mapping[str, KeyChange], roles: set[str], days: int
    ) -> SigningRequest:
        files = self._repository.files
        expires = self._repository.later(datetime.timedelta(days=days))
        current = {role: files.newest(role) for role in ("root", "targets")}
        following: dict[str, Metadata[Any]] = {}
        if "root" in roles:
            following["root"] = changes.next_root(current["root"].signed, groups, expires)
        if "targets" in roles:
            following["targets"] = changes.next_targets(current["targets"].signed, groups, expires)
        if RELEASES in roles:
            # Beside what follows, so that its signer sees that it lists the same.
            current[RELEASES] = files.newest(RELEASES)
            following[RELEASES] = changes.next_releases(current[RELEASES].signed, expires)
        return SigningRequest(current, following)

    def _made(self, group: str, change: KeyChange) -> KeyChange:
        """Return a change with a new key in it, where it names none."""
        if group != OFFLINE and (change.threshold or 1) > 1:
            raise Invalid(f"{group}: one signature is enough; thresholds are for offline keys")
        if change != KeyChange():
            return change
        if group == OFFLINE:
            raise Invalid(
                "offline: expected public keys to add, keys to remove or a threshold; "
                "edge-hub keys new makes keys on a machine of your own"
            )
        new = self._repository.keys.new(RELEASES if group == RELEASES else ONLINE)
        return KeyChange(add=(new.public_key,), remove=("all",))

    def _can_sign(self, groups: Iterable[str], signers: Mapping[str, Signer]) -> bool:
        """Return whether the keys at hand reach today's thresholds of what would change."""
        at_hand = {*self._repository.keys.held(), *(s.public_key.keyid for s in signers.values())}
        roles = {"targets"} | ({"root"} if any(changes.IN_ROOT[g] for g in groups) else set())
        wanted = [self._repository.role(role) for role in roles]
        return all(len(at_hand & set(role.keyids)) >= role.threshold for role in wanted)

    def _signable(self, signers: Mapping[str, Signer]) -> list[str]:
        named = {signer.public_key.keyid for signer in signers.values()}
        at_hand = {*self._repository.keys.held(), *named}
        wanted = {role: self._repository.role(role) for role in LONG}
        return [
            role for role, needs in wanted.items()
            if named & set(needs.keyids) or len(at_hand & set(needs.keyids)) >= needs.threshold
        ]  # fmt: skip

    def _role(self, role: str, now: datetime.datetime, here: set[str]) -> RoleStatus:
        repository = self._repository
        name = TIMESTAMP if role == "timestamp" else None
        metadata = repository.files.read(name) if name else repository.files.newest(role)
        wanted = repository.role(role)
        held = [keyid for keyid in wanted.keyids if keyid in here]
        return role_status(
            role, metadata.signed.version, metadata.signed.expires, now,
            threshold=wanted.threshold, keys=wanted.keyids, held=held,
        )  # fmt: skip

    def _says(self, request: SigningRequest) -> tuple[str, ...]:
        return said_of(request, self._repository.clock())


def said_of(request: SigningRequest, now: float) -> tuple[str, ...]:
    """Return what signing a request says, a sentence each.

    Args:
        request: that may be signed.
        now: Unix seconds.
    """
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    return tuple(
        line
        for role, metadata in request.following.items()
        for line in words.describe(role, metadata, request.current.get(role), moment)
    )


def _has_role(request: SigningRequest, keyid: str) -> bool:
    return any(keyid in (*missing.signed, *missing.unsigned) for missing in request.missing())


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
