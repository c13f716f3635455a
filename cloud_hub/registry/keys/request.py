"""A signing request: the next versions of offline roles, on their way to those who hold the keys.

A small file that may travel on a stick or in a mail: nothing in it is secret. It carries what is in
force beside what is to follow, so that a machine that never sees the hub can check the one, and say
in words how the other differs. Signatures are added to it; parts of it are accepted by nobody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.registry.keys.changes import IN_ROOT, IN_TARGETS
from cloud_hub.registry.roles import LONG, RELEASES
from edge_sdk.system.files import READABLE, write_atomic

FORMAT: Final = "edge-hub signing request 1"
BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Missing:
    """Signatures of one role, as one document that vouches for it wants them.

    Attributes:
        role: that is signed.
        by: version of root or targets whose keys are meant, in words.
        threshold: number that it takes.
        signed: ids of the keys that have signed.
        unsigned: ids of the keys that could.
    """

    role: str
    by: str
    threshold: int
    signed: tuple[str, ...]
    unsigned: tuple[str, ...]

    @property
    def count(self) -> int:
        """Return how many signatures are missing."""
        return max(0, self.threshold - len(self.signed))


@dataclass(frozen=True)
class SigningRequest:
    """What is in force and what follows, by role.

    Attributes:
        current: ``root`` and ``targets`` at least, and ``releases`` where those change.
        following: of :data:`LONG`, those that change.
    """

    current: Mapping[str, Metadata[Any]]
    following: Mapping[str, Metadata[Any]]

    @classmethod
    def read(cls, path: Path) -> SigningRequest:
        """Read a file; raises Invalid for what is none, or does not hang together."""
        try:
            document = _document(path)
        except OSError as error:
            raise Invalid(f"{path}: cannot be read; {error.strerror}") from error
        if document is None:
            raise Invalid(f"{path}: expected a signing request of edge-hub keys export or rotate")
        current, following = (_parts(path, document.get(n)) for n in ("current", "next"))
        request = cls(current, following)
        request._check(path)
        return request

    def write(self, path: Path, says: Sequence[str]) -> None:
        """Write the file.

        Args:
            path: of the file.
            says: what it says in words, for whoever opens it; nothing ever reads that.

        Raises:
            Conflict: there is something else: a key, say, whose name was meant for another option.
            Invalid: it cannot be written.
        """
        document = {
            "format": FORMAT,
            "says": list(says),
            "next": {role: m.to_dict() for role, m in self.following.items()},
            "current": {role: m.to_dict() for role, m in self.current.items()},
        }
        raw = json.dumps(document, indent=1, sort_keys=False).encode()
        try:
            if path.exists() and _document(path) is None:
                raise Conflict(f"{path}: is there already, and no signing request; name another")
            write_atomic(path, raw, mode=READABLE)
        except OSError as error:
            raise Invalid(f"{path}: cannot be written; {error.strerror}") from error

    def sign(self, keys: Mapping[str, Signer]) -> None:
        """Add signatures wherever a key has a role.

        Args:
            keys: by what the owner calls them, for messages.

        Raises:
            Invalid: a key has no role in any of it.
        """
        for name, signer in keys.items():
            keyid = signer.public_key.keyid
            wanted = {m.role for m in self.missing() if keyid in (*m.signed, *m.unsigned)}
            if not wanted:
                ids = sorted({i[:12] for m in self.missing() for i in (*m.signed, *m.unsigned)})
                raise Invalid(f"{name}: is the key {keyid[:12]}; expected one of {', '.join(ids)}")
            for role in wanted:
                self.following[role].sign(signer, append=True)

    def unknown(self, keys: Mapping[str, Signer]) -> list[str]:
        """Return the keys of which nothing shows that what is said to be in force is true.

        A stolen hub could make up a root, and ask for what seems to change little. It cannot make
        up that an owner of an offline key signed it.

        Args:
            keys: by what the owner calls them.
        """
        root = self.current["root"]
        result = root.signed.get_verification_result("root", root.signed_bytes, root.signatures)
        return [name for name, key in keys.items() if key.public_key.keyid not in result.signed]

    def merge(self, other: SigningRequest) -> None:
        """Add the signatures of another copy; raises Invalid if it asks for something else."""
        for role, metadata in self.following.items():
            theirs = other.following.get(role)
            if theirs is None or theirs.signed_bytes != metadata.signed_bytes:
                raise Invalid("the files are not copies of one signing request; import them alone")
            for keyid, signature in theirs.signatures.items():
                metadata.signatures.setdefault(keyid, signature)

    def missing(self) -> list[Missing]:
        """Return the signatures of every role, those that are there and those that are not."""
        found = []
        for role, metadata in self.following.items():
            for by, delegator in self._delegators(role):
                result = delegator.signed.get_verification_result(
                    role, metadata.signed_bytes, metadata.signatures
                )
                signed, unsigned = tuple(result.signed), tuple(result.unsigned)
                found.append(Missing(role, by, result.threshold, signed, unsigned))
        return found

    def _delegators(self, role: str) -> list[tuple[str, Metadata[Any]]]:
        """Return what vouches for a role: root is signed as the one before says, and as it says."""
        parent = "root" if role in ("root", "targets") else "targets"
        after = self.following.get(parent)
        documents = [after or self.current[parent]]
        if role == "root":
            documents.insert(0, self.current["root"])
        return [(f"{parent} {m.signed.version}", m) for m in documents]

    def _check(self, path: Path) -> None:
        """Raise Invalid unless what is said to be in force was signed by its own keys."""
        if not {"root", "targets"} <= set(self.current) or not self.following:
            raise Invalid(f"{path}: expected root and targets in force, and what follows them")
        root = self.current["root"]
        try:
            root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
            targets = self.current["targets"]
            root.signed.verify_delegate("targets", targets.signed_bytes, targets.signatures)
            releases = self.current.get(RELEASES)
            if releases is not None:
                targets.signed.verify_delegate(RELEASES, releases.signed_bytes, releases.signatures)
        except RepositoryError as error:
            raise Invalid(f"{path}: what it says is in force is not signed so; {error}") from error
        for role, metadata in self.following.items():
            known = self.current.get(role)
            if known is not None and metadata.signed.version != known.signed.version + 1:
                raise Invalid(f"{path}: {role}: expected the version after {known.signed.version}")


def check_follows(request: SigningRequest) -> None:
    """Refuse what does not follow, by version and signatures, what is in force now.

    Args:
        request: whose ``current`` is what the hub itself has in force. What a file says of that is
            somebody's word: a root that nobody here vouches for would be signed as *it* says.

    Raises:
        Conflict: it was overtaken, or signatures are missing; says which.
    """
    for role, metadata in request.following.items():
        expected = request.current[role].signed.version + 1
        if metadata.signed.version != expected:
            raise Conflict(
                f"{role}: expected version {expected}, got {metadata.signed.version}; it was made "
                "for what is no longer in force: export it again"
            )
    short = [m for m in request.missing() if m.count]
    if short:
        raise Conflict("signatures are missing; " + "; ".join(map(said, short)))


def said(missing: Missing) -> str:
    """Return signatures of one role in words."""
    ids = ", ".join(keyid[:12] for keyid in missing.unsigned)
    rest = f", {missing.count} more of {ids}" if missing.count else ""
    return (
        f"{missing.role}: {len(missing.signed)} of {missing.threshold} by the keys of "
        f"{missing.by}{rest}"
    )


def _document(path: Path) -> dict[str, Any] | None:
    """Return the content of a file, ``None`` if it is no signing request; raises OSError."""
    with path.open("rb") as file:
        raw = file.read(BYTES + 1)
    try:
        document = json.loads(raw) if len(raw) <= BYTES else None
    except (ValueError, RecursionError):
        return None
    fits = isinstance(document, dict) and document.get("format") == FORMAT
    return document if fits else None


def _parts(path: Path, plain: Any) -> dict[str, Metadata[Any]]:
    try:
        parts = {role: Metadata.from_dict(dict(document)) for role, document in plain.items()}
        for role, metadata in parts.items():
            _check_part(role, metadata)
    except (
        RepositoryError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
    ) as error:  # fmt: skip
        # Errors of the library may show what they were given, of any length.
        raise Invalid(f"{path}: expected metadata by role; {error!s:.200}") from error
    return parts


def _check_part(role: str, metadata: Metadata[Any]) -> None:
    """Raise ValueError, or an error of the library, for metadata that no hub makes."""
    signed = metadata.signed
    if role not in LONG or signed.type != ("targets" if role == RELEASES else role):
        raise ValueError(f"expected metadata of {', '.join(LONG)}, got {role!r:.40}")
    _ = metadata.signed_bytes  # what has no canonical form cannot be signed
    listing = {"root": IN_ROOT, "targets": IN_TARGETS}.get(role, {})
    for name in (name for names in listing.values() for name in names):
        for keyid in signed.get_delegated_role(name).keyids:
            _check_key(signed.get_key(keyid))


def _check_key(key: Key) -> None:
    """Raise ValueError unless a key goes by its own id.

    People compare ids, and are told of ids that change: another key under a known id would come in
    unseen.
    """
    canonical = encode_canonical(key.to_dict()) or ""  # none only if it were written elsewhere
    own = hashlib.sha256(canonical.encode()).hexdigest()
    if key.keyid != own:
        raise ValueError(f"the key {key.keyid[:12]!r} is not the one of that id, but {own[:12]}")
