"""A Debian in a folder, of this machine's architecture or of arm64, for images and devices.

Made by debootstrap as root. Another architecture runs through QEMU's emulation of its user mode,
for which the kernel is told once how its programs are run.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

FORMATS: Final = Path("/proc/sys/fs/binfmt_misc")
EMULATION: Final = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
"""How arm64's programs are run, as Debian's qemu-user-static has it."""

MIRROR: Final = "http://deb.debian.org/debian"


class ProgramMissing(Exception):
    """A program that this needs is not installed; says which package brings it."""


def needs(**programs: str) -> None:
    """Raise ProgramMissing for the first program that is not there; values are packages."""
    for program, package in programs.items():
        if shutil.which(program.replace("_", "-")) is None:
            raise ProgramMissing(f"expected {program.replace('_', '-')}: apt-get install {package}")


def emulate_arm64() -> None:
    """Have the kernel run programs of arm64; nothing changes where it does."""
    needs(qemu_aarch64_static="qemu-user-static")
    if not (FORMATS / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", FORMATS], check=True)
    if not (FORMATS / "qemu-aarch64").exists():
        lines = EMULATION.read_text().splitlines()
        (rule,) = (line for line in lines if line and not line.startswith("#"))
        (FORMATS / "register").write_text(rule)


class DebianRoot:
    """A Debian with Python in a folder; made once, and kept.

    Args:
        folder: where it is.
        architecture: ``amd64`` or ``arm64``.
        suite: of Debian; bookworm has Python 3.11, trixie 3.13.
    """

    def __init__(self, folder: Path, architecture: str, suite: str = "bookworm") -> None:
        self.folder = folder.absolute()
        if not (self.folder / "complete").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            # ca-certificates fails under emulation, and nothing here asks the network.
            command = ["debootstrap", "--arch", architecture, "--variant=minbase"]
            command += ["--include=python3,python3-venv", suite, str(self.folder), MIRROR]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            for rest in ("var/cache/apt/archives", "var/lib/apt/lists"):
                shutil.rmtree(self.folder / rest)
            (self.folder / "complete").touch()
        (self.folder / "etc" / "hosts").write_text("127.0.0.1 localhost\n")

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        """Give its programs ``/proc`` and shared memory, for as long as this lasts."""
        with contextlib.ExitStack() as mounts:
            for kind, place in (("proc", "proc"), ("tmpfs", "dev/shm")):
                where = self.folder / place
                where.mkdir(parents=True, exist_ok=True)
                subprocess.run(["mount", "-t", kind, kind, where], check=True)
                mounts.callback(subprocess.run, ["umount", "--lazy", where], check=True)
            yield

    def run(
        self, command: Sequence[str], *, limit: float = 3_600, env: Mapping[str, str] = {}
    ) -> str:
        """Run a command in it; return what it printed.

        Args:
            command: the program, found in ``/venv/bin`` first, and its arguments.
            limit: seconds after which it has failed.
            env: its variables, besides the usual few.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        usual = {
            "PATH": "/venv/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
        }
        done = subprocess.run(
            ["chroot", str(self.folder), *command], env=usual | dict(env), timeout=limit,
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    def popen(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a command in it that goes on; what it says goes to ``log``."""
        usual = {"PATH": "/venv/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
        with log.open("ab") as file:
            return subprocess.Popen(
                ["chroot", str(self.folder), *command], env=usual,
                stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip


def megabytes(folder: Path) -> float:
    """Return the sum of the sizes of a folder's files, or a file's, in MB (10⁶ bytes)."""
    inside = [folder, *folder.rglob("*")]
    files = (path for path in inside if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6
