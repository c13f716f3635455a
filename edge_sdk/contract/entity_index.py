"""The index of precomputed answers by entity: which pack each device of a model needs.

A new generation of answers makes a new index, and one pack for each share of the entities. The
index is a signed target twice: as ``packs/MODEL/SHA256.entities`` of the publisher, who vouches for
every pack in it, and as ``plans/MODEL@entities.json`` of the online key, which says that it is the
one in force. Packs and deltas are no targets: the index has their length and SHA-256.

To change any of this: a new ENTITY_INDEX_FORMAT, see ``version.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import require
from edge_sdk.contract.limits import ENTITY_INDEX_BYTES, ENTITY_SHARES, LATEST
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.names import check_digest, check_name
from edge_sdk.contract.version import ENTITY_INDEX_FORMAT

DEVICE: Final = "device"
"""Attribute that every device has, unless it is given another: its own name."""


@dataclass(frozen=True)
class EntityShare:
    """One pack, the entities in it, and the delta that makes it of the pack ``base``, if any."""

    file: FileRef
    entities: int
    base: str | None = None
    delta: FileRef | None = None

    def __post_init__(self) -> None:
        require(self.entities >= 0, "entities: expected at least 0")
        require((self.base is None) is (self.delta is None), "delta: expected with its base")
        if self.base is not None:
            check_digest("base", self.base)


@dataclass(frozen=True)
class EntityIndex:
    """One generation of answers, as packs.

    Attributes:
        model: name of the line whose devices hold them.
        job: batch job that computed them.
        generation: its number at the hub.
        version: that answered, as ``MODEL MAJOR.MINOR``.
        computed_at: Unix seconds.
        valid_until: Unix seconds; devices stop giving the answers then.
        attribute: of devices, by whose value they take their share; ``None``: all take the same.
        shares: packs by that value; the only one by the empty text.
    """

    model: str
    job: str
    generation: int
    version: str
    computed_at: float
    valid_until: float
    attribute: str | None = None
    shares: Mapping[str, EntityShare] = field(default_factory=dict)
    format: Literal[1] = ENTITY_INDEX_FORMAT

    def __post_init__(self) -> None:
        check_name("model", self.model)
        check_name("job", self.job)
        require(self.generation >= 0, "generation: expected at least 0")
        for moment in (self.computed_at, self.valid_until):
            require(0 <= moment <= LATEST, f"expected Unix seconds up to {LATEST}, got {moment}")
        fits = len(self.shares) <= ENTITY_SHARES
        require(fits, f"shares: expected at most {ENTITY_SHARES}, got {len(self.shares)}")
        whole = self.attribute is not None or set(self.shares) <= {""}
        require(whole, "shares: expected an attribute that they go by")

    def share_of(self, device: str, attributes: Mapping[str, str]) -> EntityShare | None:
        """Return the pack of one device; ``None`` if no entity concerns it.

        Args:
            device: its name.
            attributes: of the device.
        """
        if self.attribute is None:
            return self.shares.get("")
        value = {DEVICE: device, **attributes}.get(self.attribute)
        return None if value is None else self.shares.get(value)

    @classmethod
    def from_json(cls, raw: bytes) -> EntityIndex:
        """Parse; raises :class:`ContractError`."""
        return decode(cls, raw, limit=ENTITY_INDEX_BYTES)

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode(self)


def index_in_force(model: str) -> str:
    """Return the path of the online key's target."""
    check_name("model", model)
    return f"plans/{model}@entities.json"  # no name of a model has an @


def signed_index(model: str, sha256: str) -> str:
    """Return the path of the publisher's target: the index with this SHA-256."""
    check_name("model", model)
    return f"packs/{model}/{sha256}.entities"


def pack_path(model: str, sha256: str) -> str:
    """Return the path of a pack that an index names."""
    return f"packs/{model}/{sha256}.pack"


def delta_path(model: str, base: str, result: str) -> str:
    """Return the path of a delta that an index names."""
    return f"packs/{model}/{base}-{result}.delta"
