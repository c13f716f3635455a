"""The file on a new card from which its device joins a fleet at its first start.

Invariants:

* It lets one device join, once: what it holds is a one-time secret or a token for one.
* It is removed when the identity is on the device's disk, and not before. Whoever is killed in
  between finds it again, is who it was, and removes it then.
* Once a device is enrolled nothing that the file says counts, damaged or not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError, require
from edge_sdk.contract.fleet import check_attributes, check_serial
from edge_sdk.contract.names import check_name
from edge_sdk.contract.version import FIRST_BOOT_FORMAT
from edge_sdk.errors import StateError, reason_of
from edge_sdk.system.files import fsync_directory
from edge_sdk.system.logs import Log

_log = Log(__name__)

NAME: Final = "edge.json"
LARGEST: Final = 1 << 20
"""Bytes of a file; a root of trust with many keys has some ten thousand."""


@dataclass(frozen=True)
class FirstBoot:
    """What a device knows of its fleet before it has an identity.

    Attributes:
        hub: URL of the hub.
        token: enrolment token for one device, or the one-time secret of ``serial``; secret.
        serial: serial number, if the device is registered by one.
        model: whose fleet it joins; ``None`` for all that the token or the serial is for.
        attributes: text by name, for cohorts; those that the hub fixed win.
        root: text of the ``root.json`` that its trust starts from; ``None`` for the hub's at
            enrolment.
        format: version of this file.
    """

    hub: str
    token: str | None = None
    serial: str | None = None
    model: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    root: str | None = None
    format: Literal[1] = FIRST_BOOT_FORMAT

    def __post_init__(self) -> None:
        check_attributes(self.attributes)
        if self.serial is not None:
            check_serial(self.serial)
        if self.model is not None:
            check_name("model", self.model)
        told = self.token is not None or self.serial is not None
        require(told, "expected a token, or the serial number of a device with a key, got neither")

    def to_bytes(self) -> bytes:
        """Return it as the file's content."""
        return encode(self) + b"\n"


def read_first_boot(path: Path) -> FirstBoot | None:
    """Return what the file says; ``None`` if it is not there (any more).

    Raises:
        StateError: it cannot be read, or is damaged.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path}: cannot be read; {reason_of(error)}") from error
    try:
        return decode(FirstBoot, raw, limit=LARGEST)
    except ContractError as error:
        raise StateError(
            f"{path}: expected a first-boot file of edge provision; {error}"
        ) from error


def remove_first_boot(path: Path) -> bool:
    """Remove the file, its secret overwritten first; return whether it is gone.

    A card that cannot be written keeps it, and the log says so: the secret was used, and lets
    nobody else in.
    """
    try:
        # In place: a copy written beside it would leave the old bytes behind on the card. What
        # flash memory moves by itself cannot be reached from here.
        with path.open("r+b") as file:
            file.write(b" " * os.fstat(file.fileno()).st_size)
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return True
    except OSError as error:
        _log.warning("%s: cannot be removed, and its secret is used up; %s", path, reason_of(error))
        return False
    with contextlib.suppress(OSError):  # FAT has no names to be synced
        fsync_directory(path.parent)
    _log.info("%s was removed: this device has an identity of its own", path)
    return True
