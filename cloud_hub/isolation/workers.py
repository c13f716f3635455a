"""Starts workers: processes for foreign code, each with a folder of its own and little else."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cloud_hub.errors import HubFault, Invalid
from cloud_hub.isolation.process_limits import LimitedProcess, ProcessLimits
from cloud_hub.isolation.spec import IsolationReport, IsolationSpec
from cloud_hub.settings import WorkerSettings
from edge_sdk.contract.errors import ContractError

log = logging.getLogger(__name__)

PREFIX: Final = "edge-hub-work-"
TRIAL: Final = ProcessLimits(60.0, 1_024)

KEPT: Final = frozenset(
    {
        "PATH", "LANG", "LANGUAGE", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT",
        "ORT_DISABLE_TELEMETRY",
    }
)  # fmt: skip
"""Variables of the hub's environment that workers see; others may hold secrets."""


class WorkerProcess(LimitedProcess):
    """A worker that runs; see :class:`LimitedProcess`."""

    def __init__(
        self, command: Sequence[str], log: Path, limits: ProcessLimits, env: dict[str, str],
        *, report: tuple[int, int], work: Path, fed: bool = False,
    ) -> None:  # fmt: skip
        """Start the launcher ``command``; ``report`` is a pipe to read from and to write to."""
        super().__init__(command, log, limits, env, keep=report[1:], folder=work, fed=fed)
        self._report = report[0]

    @functools.cached_property
    def isolation(self) -> IsolationReport:
        """Rights that it has; waits until it has given up the others."""
        with os.fdopen(self._report, "rb") as file:
            raw = file.read()
        try:
            return IsolationReport.from_json(raw)
        except ContractError:
            return IsolationReport(refused="it ended before it could give up its rights")

    def wait(self) -> None:
        """Wait until it has ended; see :meth:`LimitedProcess.wait`."""
        super().wait()
        _ = self.isolation  # closes the pipe

    def kill(self) -> None:
        """End it; see :meth:`LimitedProcess.kill`."""
        super().kill()
        _ = self.isolation

    def ended(self) -> str:
        """Describe its end for a person; see :meth:`LimitedProcess.ended`."""
        refused = self.isolation.refused
        return f"it was not started: {refused}" if refused and not self.broke else super().ended()


class Workers:
    """Workers of one hub.

    Args:
        data: the hub's folder, of which a worker sees nothing.
        settings: see :class:`WorkerSettings`.

    Raises:
        HubFault: there is no such user, or something to be read is in the hub's data.
    """

    launcher = ("-m", "cloud_hub.isolation.launcher")

    def __init__(self, data: Path, settings: WorkerSettings = WorkerSettings()) -> None:
        self._data = data.absolute()
        self.settings = settings
        self._user = _user_of(settings.user)
        self._refuse_own(settings.reads)

    def _refuse_own(self, reads: Sequence[Path]) -> None:
        """Raise Invalid if something to be read is in the hub's data."""
        for path in reads:
            if self._data.resolve() in (path.resolve(), *path.resolve().parents):
                raise Invalid(f"{path}: is in the hub's data, which no training may read")

    @staticmethod
    def remove(work: Path) -> None:
        """Remove a folder of :meth:`new_folder`, whatever a worker has put there."""
        try:
            shutil.rmtree(work, ignore_errors=True)
        except RecursionError:
            log.debug("%s is too deep for Python", work)
        if work.exists():  # folders within folders by the thousand, say
            subprocess.run(["rm", "-rf", "--", str(work)], check=False)

    def new_folder(self) -> Path:
        """Return a new folder for a worker, outside of the hub's data."""
        return Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        work: Path,
        log: Path,
        limits: ProcessLimits,
        *,
        reads: Sequence[Path] = (),
        foreign: bool,
        seed: int = 0,
        fed: bool = False,
    ) -> WorkerProcess:
        """Start a module of this package as a worker.

        Args:
            module: dotted name.
            arguments: of its command line.
            work: its folder, see :meth:`new_folder`.
            log: file for its output.
            limits: time, memory and output, for it and all that it starts.
            reads: more files and folders that it may read.
            foreign: it loads what a pipeline sent, so it must not start if a secret is in reach.
            seed: of the order of Python's sets.
            fed: it gets what :attr:`LimitedProcess.items` is written.

        Raises:
            Invalid: something to be read is in the hub's data.
        """
        self._refuse_own(reads)
        command = (sys.executable, "-P", "-s", "-m", module, *arguments)
        return self._launch(command, work, log, limits, reads, seed, required=foreign, fed=fed)

    @functools.cached_property
    def isolation(self) -> IsolationReport:
        """What a worker can reach on this machine, tried once; takes about 0.1 s."""
        work = self.new_folder()
        try:
            process = self._launch((), work, work / "log.txt", TRIAL, (), 0, required=False)
            process.wait()
            return process.isolation
        finally:
            self.remove(work)

    def takes_foreign(self) -> bool:
        """Return whether what pipelines send may be loaded on this machine."""
        return self.settings.trust_pipelines or self.isolation.protects

    def check(self) -> IsolationReport:
        """Try the isolation at the start of a hub, and say in the log what it is worth.

        Raises:
            HubFault: the user of the settings cannot run workers.
        """
        report = self.isolation
        if report.refused:
            said = f"trainings cannot be started on this machine: {report.refused}"
            if self.settings.user is not None:  # whoever names a user means it
                raise HubFault(said)
            log.error(said)  # devices are served all the same
            return report
        if report.protects:
            log.info("trainings run as %s", report)
            return report
        then = (
            "what pipelines send is loaded nevertheless (--trust-pipelines)"
            if self.settings.trust_pipelines
            else "what pipelines send is refused; see docs/PIPELINES.md, or --trust-pipelines"
        )
        log.warning("nothing keeps trainings from this hub's secrets (%s): %s", report, then)
        return report

    def _launch(
        self,
        command: Sequence[str],
        work: Path,
        log: Path,
        limits: ProcessLimits,
        reads: Sequence[Path],
        seed: int,
        *,
        required: bool,
        fed: bool = False,
    ) -> WorkerProcess:
        read, write = os.pipe()
        spec = IsolationSpec(
            command=tuple(command),
            work=str(work),
            hidden=str(self._data),
            secrets=tuple(map(str, self._secrets())),
            reads=tuple(str(path.resolve()) for path in (*self.settings.reads, *reads)),
            user=self._user,
            user_name=self.settings.user or "nobody",
            insist=self.settings.user is not None,
            network=self.settings.network,
            required=required and not self.settings.trust_pipelines,
            hub=os.getpid(),
            file_bytes=limits.folder_bytes,
            report=write,
        )
        launcher = [sys.executable, "-P", "-s", *self.launcher]
        try:
            return WorkerProcess(
                [*launcher, spec.to_json().decode()], log, limits, self._environment(work, seed),
                report=(read, write), work=work, fed=fed,
            )  # fmt: skip
        except OSError:  # no process, no memory: else the process closes it in the end
            os.close(read)
            raise
        finally:
            os.close(write)

    def _environment(self, work: Path, seed: int) -> dict[str, str]:
        names = {n for n in os.environ if n in KEPT or n.startswith("LC_")}
        names.update(self.settings.environment)
        kept = {name: os.environ[name] for name in names if name in os.environ}
        # Sets and dicts of the user's code in the same order each time, so that a run can be
        # repeated.
        own = {"HOME": str(work), "TMPDIR": str(work), "PYTHONHASHSEED": str(seed % (1 << 32))}
        return {**kept, **own, "PYTHONDONTWRITEBYTECODE": "1"}

    def _secrets(self) -> list[Path]:
        keys = self._data / "keys"
        return [*self._data.glob("*.token"), *keys.glob("*"), *self._data.glob("hub.db")]


def _user_of(name: str | None) -> tuple[int, int] | None:
    """Return uid and gid to run as, ``None`` for the own; raises HubFault."""
    if sys.platform != "linux" or os.getuid() != 0:
        if name is not None:
            raise HubFault(f"worker user {name}: only a hub that runs as root can change the user")
        return None
    import pwd

    try:
        entry = pwd.getpwnam(name or "nobody")
    except KeyError:
        if name is None:
            return (65_534, 65_534)
        raise HubFault(f"worker user {name}: this machine has no such user") from None
    return (entry.pw_uid, entry.pw_gid)
