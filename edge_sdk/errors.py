"""Errors of the device package.

::

    EdgeError
    ├── ContractError       a message or file is not what the contract says
    ├── InputError          an argument or an input that a call cannot take
    ├── ReleaseError        a release is missing, corrupt, or does not run on this machine
    │   └── ReloadError     a model was unloaded, and its file cannot be read again
    ├── RuntimeMissing      no distribution of onnxruntime is installed
    ├── PackError           a pack is torn, expired, or was made for another release
    │   └── ExpiredPack     it was good, until its time was over
    ├── PatchError          a patch is damaged, or was made for another file
    ├── StateError          the state folder is locked, unwritable, or another model's
    │   └── DeviceInUse     another process runs the device: attach to it
    ├── HubError            the hub refused, or sent an invalid reply
    │   ├── HubUnreachable  no reply: offline, timeout, connection refused
    │   │   └── HubBusy     it asks to come later, and says when
    │   └── IdentityRefused it does not, or not yet, know this device as one of its own
    ├── UpdateError         an update stopped at a step; the previous release serves
    │   └── TrustError      signatures, expiry or version floors say no
    └── BenchError          a benchmark cannot measure, draw or compare its input

Foreign exceptions do not leave the package: they are wrapped at the boundary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_sdk.contract.errors import ContractError, EdgeError

if TYPE_CHECKING:
    from edge_sdk.contract.fleet import Standing

__all__ = [
    "BenchError",
    "ContractError",
    "DeviceInUse",
    "EdgeError",
    "HubBusy",
    "ExpiredPack",
    "HubError",
    "HubUnreachable",
    "IdentityRefused",
    "InputError",
    "PackError",
    "PatchError",
    "ReleaseError",
    "ReloadError",
    "RuntimeMissing",
    "StateError",
    "TrustError",
    "UpdateError",
    "reason_of",
]


def reason_of(error: BaseException) -> str:
    """Return the message of a foreign error, without its number and without file names."""
    # str() of an OSError names the temporary file that the caller never asked for.
    return getattr(error, "strerror", None) or str(error)


class InputError(EdgeError):
    """An argument or an input that a call cannot take; ``kind`` is counted in reports.

    ``kind`` is one of ``shape``, ``dtype``, ``missing``, ``not_finite``, ``unknown_feature``,
    ``unknown_category``, ``empty``, ``entity``, ``group``, ``batch``, ``unknown_prediction``,
    ``label``, ``unit``, ``deadline``; of sessions ``session``, ``event``; of rankings also
    ``candidates``, ``ranking``, ``length``, ``clicks``, ``not_shown``, ``repeated``; of an opening
    ``opening``.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ReleaseError(EdgeError):
    """A release is missing, corrupt, or does not run on this machine."""


class ReloadError(ReleaseError):
    """A model was unloaded for others, and cannot be loaded again: its file was damaged since."""


class RuntimeMissing(EdgeError, ImportError):
    """No distribution of onnxruntime is installed: the core package leaves the choice open."""

    def __init__(self) -> None:
        super().__init__(
            "no distribution of onnxruntime is installed: expected one, such as onnxruntime, "
            "onnxruntime-gpu or onnxruntime-openvino; pip install edge-deployment-sdk brings the "
            "one for the CPU"
        )


class PackError(EdgeError):
    """A pack is torn, expired, or was made for another release."""


class PatchError(EdgeError):
    """A patch is damaged, or was made for another file than the one that is here."""


class ExpiredPack(PackError):
    """A pack whose time is over: nothing is wrong with the file."""


class StateError(EdgeError):
    """The state folder is locked by another process, unwritable, or belongs to another model."""


class DeviceInUse(StateError):
    """Another process runs the device of this state folder; ``EdgeDevice.attach`` reaches it."""


class HubError(EdgeError):
    """The hub refused a request or sent an invalid reply; ``status`` is the HTTP status."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class HubUnreachable(HubError):
    """No reply from the hub: offline, timeout, connection refused."""


class HubBusy(HubUnreachable):
    """The hub asks to come later (status 429 or 503): in ``retry_after`` seconds."""

    def __init__(self, message: str, status: int, retry_after: float) -> None:
        super().__init__(message, status)
        self.retry_after = retry_after


class IdentityRefused(HubError):
    """The hub does not take this device as one of its own; what it has goes on serving.

    ``standing`` is ``pending`` (it waits for approval), ``revoked``, ``cloned`` (its identity was
    used by two copies, or it was restored from a backup), or ``unknown``.
    """

    def __init__(self, message: str, status: int | None, standing: Standing) -> None:
        super().__init__(message, status)
        self.standing = standing


class UpdateError(EdgeError):
    """An update stopped at ``step``; the previous release goes on serving."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(f"{step}: {message}")
        self.step = step


class TrustError(UpdateError):
    """Signatures, expiry or version floors say no."""


class BenchError(EdgeError):
    """A benchmark cannot measure, draw or compare its input."""
