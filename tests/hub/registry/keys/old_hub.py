"""A signed repository whose years a test lets pass, with its offline keys elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from securesystemslib.signer import Signer

from cloud_hub.registry.clock_guard import ClockNote
from cloud_hub.registry.key_folder import OfflineKeys
from cloud_hub.registry.keys.request import SigningRequest
from cloud_hub.registry.keys.service import Keys
from cloud_hub.registry.repository import Repository
from cloud_hub.registry.signing import load_signer
from tests.clock import Clock

DAY: Final = 86_400.0


class Machine:
    """The clock that counts since the machine started, which nobody can set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.boot, self.elapsed = "boot-1", 1_000.0

    def __call__(self, wall: float) -> ClockNote:
        return ClockNote(wall, self.boot, self.elapsed)

    def run(self, seconds: float) -> None:
        """Time passes while the machine runs."""
        self.elapsed += seconds
        self._clock.now += seconds

    def off(self, seconds: float) -> None:
        """The machine is off for so long; it starts again."""
        self._clock.now += seconds
        self.boot, self.elapsed = self.boot + "'", 10.0


def age(repository: Repository, clock: Clock) -> Machine:
    """Let a repository go by the clocks of a test."""
    repository.clock = clock
    repository.guard.machine = machine = Machine(clock)
    repository.guard.note(clock())
    return machine


class OldHub:
    """Two of three offline keys sign; they lie in ``stick``, as files."""

    def __init__(self, folder: Path, *, count: int = 3, threshold: int = 2) -> None:
        self.clock = Clock()
        self.stick = folder / "stick"
        self.repository = Repository(folder / "repository", folder / "keys", clock=self.clock)
        offline = OfflineKeys(self.stick, count, threshold)
        self.repository.initialise(offline.make(), threshold)
        self.machine = age(self.repository, self.clock)
        self.keys = Keys(self.repository)

    def key(self, number: int) -> Signer:
        return load_signer(self.stick / f"offline-{number}.pem")

    def signed(self, request: SigningRequest | None, numbers: Sequence[int]) -> SigningRequest:
        """A request as it comes back from those who hold these keys, through a file."""
        assert request is not None
        path = self.stick / "request.json"
        request.write(path, [])
        read = SigningRequest.read(path)
        for number in numbers:
            read.sign({f"key {number}": self.key(number)})
        return read

    def versions(self) -> dict[str, int]:
        return {role.role: role.version for role in self.keys.status().roles}
