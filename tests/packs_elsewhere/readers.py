"""The readers in C and JavaScript as programs that answer questions; ``programs/ask.c`` says which.

Each is compiled or run with what the machine has. Where that is missing a test is skipped, and says
what is missing.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.structure import ROOT
from tests.waiting import PATIENCE

C: Final = ROOT / "packs" / "c"
PROGRAMS: Final = Path(__file__).parent / "programs"
SOURCES: Final = tuple(str(C / name) for name in ("edge_pack.c", "edge_json.c", "edge_key.c"))
STRICT: Final = (
    *("-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow"),
    *("-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)
NEED: Final = {
    "c": "the reader in C needs a C compiler: apt-get install gcc",
    "js": "the reader in JavaScript needs Node.js: apt-get install nodejs",
}
NO_NAME: Final = -3


def compiler() -> str | None:
    """The system's C compiler."""
    return shutil.which("cc") or shutil.which("gcc")


def compiled(program: str, folder: Path, reader: Path = C) -> str:
    """Compile a program of ``programs`` with the reader of a folder; returns its path."""
    cc, out = compiler(), folder / program
    if cc is None:
        pytest.skip(NEED["c"])
    source = str(PROGRAMS / f"{program}.c")
    sources = [source, *(str(reader / Path(each).name) for each in SOURCES)]
    command = [cc, *STRICT, "-I", str(reader), *sources, "-lm", "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return str(out)


def node() -> str:
    """The path of Node.js."""
    found = shutil.which("node")
    if found is None:
        pytest.skip(NEED["js"])
    return found


class PackReader:
    """A reader in another language, as a program that answers until it is closed.

    Args:
        language: ``c`` or ``js``.
        command: the program.
    """

    def __init__(self, language: str, command: Sequence[str]) -> None:
        self.language = language
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the program)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )

    @classmethod
    def of(cls, language: str, folder: Path) -> PackReader:
        """Make the program and start it, or skip the test that needs it."""
        if language == "c":
            return cls(language, [compiled("ask", folder)])
        return cls(language, [node(), str(PROGRAMS / "ask.mjs")])

    def close(self) -> None:
        """End the program, which must have nothing to complain of, such as memory that leaked."""
        self._process.communicate(timeout=PATIENCE)
        complaint = self._complaint()
        self._errors.close()
        assert (self._process.returncode, complaint) == (0, "")

    def _complaint(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode()

    def ask(self, *words: object, given: bytes = b"") -> bytes:
        """Return the answer to a question; fails if the program ends instead."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        question = [struct.pack("<I", len(words)), texts(map(str, words)), texts([given])]
        try:
            self._process.stdin.write(b"".join(question))
            self._process.stdin.flush()
            (length,) = struct.unpack("<I", self._process.stdout.read(4))
        except (OSError, struct.error):
            self._process.wait(PATIENCE)
            raise AssertionError(self._complaint()) from None
        return self._process.stdout.read(int(length))

    def describe(self, path: Path, now: int = 0, *wanted: str) -> dict[str, Any]:
        """The header in plain values, or why the file does not open, under ``error``."""
        return dict(json.loads(self.ask("describe", path, now, *wanted)))

    def look_up(self, path: Path, keys: bytes) -> bytes:
        """Entries and values of keys of 16 bytes: int64 each, and doubles of floats."""
        return self.ask("look-up", path, given=keys)

    def rows(self, canonicaliser: str, dtypes: Sequence[str], rows: bytes) -> list[bytes | None]:
        """The key of each row, ``None`` where there is none."""
        out = self.ask("rows", canonicaliser, *dtypes, given=rows)
        return [raw if status == 1 else None for status, raw in struct.iter_unpack("<b16s", out)]

    def predictions(
        self, path: Path, model: str, names: Sequence[str | bytes], now: float
    ) -> list[Any]:
        """The answer to each entity."""
        out = self.ask("predict", path, now, model, given=texts(names))
        return [json.loads(line) for line in out.splitlines()]

    def features(self, path: Path, names: Sequence[str | bytes]) -> list[Any]:
        """The features of each entity."""
        out = self.ask("features", path, 0, given=texts(names))
        return [json.loads(line) for line in out.splitlines()]

    def verify(self, path: Path) -> str:
        """``sound``, or what is not."""
        return self.ask("verify", path).decode().strip()


def texts(names: Iterable[str | bytes]) -> bytes:
    """Texts, each after its length."""
    raw = [name if isinstance(name, bytes) else name.encode() for name in names]
    return b"".join(struct.pack("<I", len(each)) + each for each in raw)
