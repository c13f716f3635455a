"""The device's identity on its disk: key, name, trust root, and the next request for a credential.

It is there twice, in ``device.db`` and in ``identity.json``, each copy with a checksum, so that no
one damaged file loses it. Invariants:

* The key is on the disk before the hub hears of it: a device that was cut off while it enrolled
  enrols with the same key again, and the hub gives it the same name.
* A request for a credential is in both copies before it is sent, and :meth:`IdentityStore.advance`
  moves on only when the next one is in both. So whatever is lost after a kill or a power cut, the
  device repeats its last request or sends the next: the hub takes neither for a clone. Where
  nothing can be written (disk full, read-only) the last request is repeated, for as long as it is.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.errors import StateError, reason_of
from edge_sdk.hub.device_key import DeviceKey
from edge_sdk.system.files import write_atomic
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.contract.fleet import CredentialRequest, EnrolReply
    from edge_sdk.state_db import StateDatabase

_log = Log(__name__)

FILE: Final = "identity.json"
FORMAT: Final = 1
"""Raised where older software must not read it: new fields with a default need no other number."""

VALUE: Final = "identity"
"""Name of the copy in the state database."""


@dataclass(frozen=True)
class Identity:
    """The device as it knows itself.

    Attributes:
        key: its key pair.
        device: its name; empty until the hub gave it one.
        models: whose fleets it is in.
        root: bytes that its trust starts from.
        attributes: those that the hub fixed.
        number: of the identities that this folder had, from 1.
        generation: credentials that it has had.
        nonce: of the next request for one, hexadecimal.
    """

    key: DeviceKey
    device: str = ""
    models: tuple[str, ...] = ()
    root: bytes = b""
    attributes: Mapping[str, str] = field(default_factory=dict)
    number: int = 1
    generation: int = 0
    nonce: str = ""

    @classmethod
    def new(cls, number: int = 1) -> Identity:
        """Return an identity that no hub knows yet."""
        return cls(DeviceKey.generate(), number=number, nonce=secrets.token_hex(16))

    @property
    def enrolled(self) -> bool:
        """Whether a hub gave it a name."""
        return bool(self.device)

    def joined(self, reply: EnrolReply, root: bytes | None) -> Identity:
        """Return it with what the hub said; ``root`` of the image wins over the hub's, and the one
        that it trusts already over a later one.
        """
        first = self.root or root or reply.root.encode()
        return replace(
            self,
            device=reply.device,
            models=tuple(reply.models),
            root=first,
            attributes=dict(reply.attributes),
        )

    def advanced(self) -> Identity:
        """Return it with the request after this one."""
        nonce = secrets.token_hex(16)
        return replace(self, generation=self.generation + 1, nonce=nonce)

    def to_text(self) -> str:
        """Return it as JSON with a checksum; secret."""
        body = {
            "seed": self.key.seed.hex(), "device": self.device, "models": list(self.models),
            "root": self.root.decode(), "attributes": dict(self.attributes),
            "number": self.number, "generation": self.generation, "nonce": self.nonce,
        }  # fmt: skip
        return json.dumps({"format": FORMAT, "identity": body, "sha256": _digest(body)})

    @classmethod
    def from_text(cls, text: str) -> Identity | None:
        """Read it; ``None`` if the text is damaged.

        Fields of a newer version are passed over, and those that an older one did not have take
        their defaults.
        """
        try:
            copy = json.loads(text)
            if _is_newer(text):
                return None
            body = dict(copy["identity"])
            if copy["sha256"] != _digest(body):
                return None
            key = DeviceKey(bytes.fromhex(body["seed"]))
            own = {name: body[name] for name in cls.__dataclass_fields__ if name in body}
            models = tuple(body["models"])
            return cls(key, **{**own, "root": body["root"].encode(), "models": models})
        except (ValueError, KeyError, TypeError):
            return None


def _age(copy: Identity) -> tuple[int, int, bool]:
    """Order copies of one folder's identity: the largest is the newest."""
    return copy.number, copy.generation, copy.enrolled


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class IdentityStore:
    """The identity of a state folder, and the :class:`CredentialChain` that goes with it.

    Args:
        store: database of the folder.
        again: True to begin a new identity; the hub will not know this device as the old one.

    Raises:
        StateError: both copies are damaged or of earlier software, or a new identity cannot be
            written.
    """

    def __init__(self, store: StateDatabase, *, again: bool = False) -> None:
        self._store = store
        self._path = store.folder / FILE
        self._stuck = False
        self._changing = threading.RLock()  # a credential may be renewed while a model is joined
        self._identity: Identity | None = None
        self._previous: Identity | None = None
        if again:
            self._previous = max((c for c in self._copies() if c), key=_age, default=None)
            number = 1 if self._previous is None else self._previous.number + 1
            self.save(Identity.new(number))
        else:
            self._identity = self._load()

    @property
    def identity(self) -> Identity | None:
        """The identity; ``None`` before the first attempt to enrol."""
        return self._identity

    def save(self, identity: Identity) -> None:
        """Put it into both copies; raises StateError where one of them cannot be written."""
        with self._changing:
            self._write(identity)
            self._identity = identity

    def joined(self, reply: EnrolReply, root: bytes | None) -> Identity:
        """Put what the hub said into both copies, and return the identity.

        Args:
            reply: of the hub.
            root: bytes of a ``root.json`` baked into the image.

        Raises:
            StateError: a copy cannot be written.
        """
        with self._changing:
            assert self._identity is not None
            self.save(self._identity.joined(reply, root))
            return self._identity

    def restore_previous(self) -> None:
        """Go back to the identity that a new one replaced: the hub does not take the new one."""
        if self._previous is not None:
            self.save(self._previous)

    def request(self) -> CredentialRequest:
        """Return the request for a credential that is on the disk."""
        own = self._identity
        if own is None or not own.enrolled:
            raise StateError(f"{self._store.folder}: expected an enrolled device")
        return own.key.credential_request(own.device, own.generation, own.nonce)

    def advance(self) -> None:
        """Move on to the next request once it is on the disk; else the last one is repeated."""
        assert self._identity is not None
        try:
            with self._changing:
                self.save(self._identity.advanced())
        except StateError as error:
            if not self._stuck:
                _log.warning("cannot note that a credential was received: %s", error)
            self._stuck = True
        else:
            self._stuck = False

    def _load(self) -> Identity | None:
        """Read both copies, mend the one that is older, missing or damaged."""
        copies = self._copies()
        sound = sorted((c for c in copies if c is not None), key=_age)
        if not sound:
            if any(map(_is_of_one_model, self._texts())):
                raise StateError(
                    f"{self._store.folder}: written by an earlier edge_sdk, whose devices had one "
                    "model each; move the folder away, and the device enrols again with an "
                    "enrolment token (edge-hub enrol-token MODEL)"
                )
            if any(map(_is_newer, self._texts())):
                raise StateError(
                    f"{self._store.folder}: the device's identity was written by newer software; "
                    f"expected format {FORMAT} or older; update edge_sdk"
                )
            if copies:
                raise StateError(
                    f"{self._store.folder}: both copies of the device's identity are damaged "
                    f"(device.db and {FILE}); give it a new one: edge enrol "
                    f"{self._store.folder} --again --token T"
                )
            return None
        if len(sound) == 2 and sound[0] == sound[1]:
            return sound[0]
        newest, oldest = sound[-1], sound[0]
        try:
            self._write(newest)
        except StateError as error:
            _log.warning("one copy of the device's identity cannot be mended: %s", error)
            # The newer request was not sent, or both copies would have it. Neither may it be now.
            return oldest if oldest.number == newest.number else newest
        if len(copies) < 2 or None in copies:
            _log.warning("a damaged copy of the device's identity was mended from the other")
        return newest

    def _copies(self) -> list[Identity | None]:
        """Return the copies that are there, ``None`` for one that is damaged."""
        return [Identity.from_text(text) for text in self._texts()]

    def _texts(self) -> list[str]:
        return [text for text in (self._from_database(), _read(self._path)) if text]

    def _write(self, identity: Identity) -> None:
        text = identity.to_text()
        self._store.put(VALUE, text)
        try:
            write_atomic(self._path, text.encode())
        except OSError as error:
            raise StateError(f"{self._path}: cannot be written; {reason_of(error)}") from error

    def _from_database(self) -> str:
        try:
            value = self._store.get(VALUE)
        except (StateError, ValueError):
            return "damaged"
        # A mapping is what an older version kept: a token that no hub takes any more.
        return value if isinstance(value, str) else ""


def _is_of_one_model(text: str) -> bool:
    """Return whether a copy is of software whose devices had one model each."""
    try:
        return "model" in json.loads(text)["identity"]
    except (ValueError, KeyError, TypeError):
        return False


def _is_newer(text: str) -> bool:
    """Return whether a copy is of a later format, whose meaning this software does not know."""
    try:
        return int(json.loads(text).get("format", FORMAT)) > FORMAT
    except (ValueError, AttributeError, TypeError):
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError:
        return "unreadable"
