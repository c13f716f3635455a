"""Agreement between the hub and the launcher: what to give up, and what was given up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge_sdk.contract.codec import decode, encode

_LIMIT: Final = 1 << 20


@dataclass(frozen=True)
class IsolationSpec:
    """Order to the launcher.

    Attributes:
        command: program and arguments to execute in the end; none for a trial.
        work: folder that the process may write to, and begins in.
        hidden: the hub's data: no file below may be read.
        secrets: files below that the launcher tries to open once it has given up its rights.
        reads: files and folders that the process may read, besides Python and the system's.
        user: (uid, gid) to become; ``None`` keeps the own.
        user_name: for the report.
        insist: end rather than keep the own user, where ``user`` cannot run this Python.
        network: keep the network.
        required: end rather than execute ``command`` if a secret can be read.
        hub: process number of the hub.
        file_bytes: largest file that it may write.
        report: file descriptor for the :class:`IsolationReport`.
    """

    command: tuple[str, ...]
    work: str
    hidden: str
    secrets: tuple[str, ...]
    reads: tuple[str, ...]
    user: tuple[int, int] | None
    user_name: str
    insist: bool
    network: bool
    required: bool
    hub: int
    file_bytes: int
    report: int

    def to_json(self) -> bytes:
        """Return it as an argument of the launcher."""
        return encode(self)

    @classmethod
    def from_json(cls, raw: bytes) -> IsolationSpec:
        """Parse; raises ContractError."""
        return decode(cls, raw, limit=_LIMIT)


@dataclass(frozen=True)
class IsolationReport:
    """Rights that a process has in the end, as it found them before it ran foreign code.

    Attributes:
        user: name or number of the user that it runs as.
        landlock: version of the kernel's file rules that hold for it; 0: none.
        hidden: the hub's data is out of its sight.
        processes: it sees and signals only its own processes.
        network: ``none``, ``no TCP``, ``open`` (nothing could close it) or ``allowed``.
        filtered: system calls that no training needs are refused.
        capabilities: rights of root that it has, as the kernel's bit set.
        exposed: secrets of the hub that it can read, write or reach all the same.
        notes: steps that this machine did not allow, each with the reason.
        refused: why the command was not executed; empty if it was.
    """

    user: str = ""
    landlock: int = 0
    hidden: bool = False
    processes: bool = False
    network: str = "open"
    filtered: bool = False
    capabilities: int = 0
    exposed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refused: str = ""

    @property
    def protects(self) -> bool:
        """Whether foreign code in such a process is kept from the hub's secrets."""
        return not self.exposed and not self.refused

    def __str__(self) -> str:
        """Describe it for a person, in one line."""
        parts = [f"user {self.user}" + ("" if not self.capabilities else " with rights of root")]
        if self.landlock:
            parts.append(f"only its own folder and Python's files (Landlock {self.landlock})")
        if self.hidden:
            parts.append("the hub's data hidden")
        parts.append("own processes only" if self.processes else "sees other processes")
        parts.append({"none": "no network", "open": "network open"}.get(self.network, "")
                     or f"network: {self.network}")  # fmt: skip
        parts.append("calls filtered" if self.filtered else "all system calls")
        parts.append(
            f"EXPOSED: {', '.join(self.exposed)}" if self.exposed else "no secret readable"
        )
        return "; ".join(parts)

    def to_json(self) -> bytes:
        """Return it as the launcher sends it."""
        return encode(self)

    @classmethod
    def from_json(cls, raw: bytes) -> IsolationReport:
        """Parse; raises ContractError."""
        return decode(cls, raw, limit=_LIMIT)
