"""Results of a benchmark, and their file: JSON that ``--compare`` reads.

To change any field, raise :data:`BENCH_FORMAT`; files of another format are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from edge_sdk.bench.goals import Goal
from edge_sdk.contract.codec import decode, to_plain
from edge_sdk.errors import BenchError, ContractError
from edge_sdk.system.files import READABLE, check_writable, write_atomic

BENCH_FORMAT: Final = 2
_LIMIT: Final = 16 << 20

OURS: Final = "EdgeDevice"
RAW_DEFAULT: Final = "session.run, default options"
RAW_ONE: Final = "session.run, one thread"
LIMIT: Final = "prebound IOBinding alone"
ONE_ROW: Final = "one row"
RSS: Final = "resident memory of a serving process, MiB"


@dataclass(frozen=True)
class Timing:
    """Latency of one candidate, microseconds per call: medians over rounds of each percentile.

    ``group`` names the work that was measured; only timings of one group are comparable.
    """

    group: str
    name: str
    p50_us: float
    p90_us: float
    p99_us: float
    calls: int


@dataclass(frozen=True)
class GoalRow:
    """One row of the table of goals. ``goal`` is ``None`` where the figure is only shown."""

    row: int
    what: str
    measured: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @classmethod
    def of(cls, goal: Goal, measured: float, where: str = "") -> GoalRow:
        """Compare a figure with its goal.

        Args:
            goal: goal, with its unit.
            measured: figure in that unit.
            where: circumstances, added to the description.
        """
        what = f"{goal.what}, {where}" if where else goal.what
        return cls(goal.row, what, round(measured, 4), goal.unit, goal.limit, goal.at_least)

    @property
    def met(self) -> bool | None:
        """True if the goal is reached; ``None`` without one."""
        if self.goal is None:
            return None
        return self.measured >= self.goal if self.at_least else self.measured <= self.goal


@dataclass(frozen=True)
class Findings:
    """Results of one part of a benchmark; ``facts`` are single figures by name and unit."""

    timings: tuple[Timing, ...] = ()
    claims: tuple[GoalRow, ...] = ()
    facts: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            self.timings + other.timings,
            self.claims + other.claims,
            {**self.facts, **other.facts},
            self.notes + other.notes,
        )

    def under(self, name: str) -> Findings:
        """Return the findings with ``name`` before every group, claim, fact and note."""
        return Findings(
            tuple(replace(timing, group=f"{name}: {timing.group}") for timing in self.timings),
            tuple(replace(claim, what=f"{name}: {claim.what}") for claim in self.claims),
            {f"{name}: {key}": value for key, value in self.facts.items()},
            tuple(f"{name}: {note}" for note in self.notes),
        )

    def of(self, name: str) -> Findings:
        """Return the findings that :meth:`under` put under ``name``, without it."""
        start = f"{name}: "
        return Findings(
            tuple(
                replace(timing, group=timing.group.removeprefix(start))
                for timing in self.timings
                if timing.group.startswith(start)
            ),
            tuple(
                replace(claim, what=claim.what.removeprefix(start))
                for claim in self.claims
                if claim.what.startswith(start)
            ),
            {k.removeprefix(start): v for k, v in self.facts.items() if k.startswith(start)},
            tuple(note.removeprefix(start) for note in self.notes if note.startswith(start)),
        )


@dataclass(frozen=True)
class BenchResult:
    """One run, of one model or of several.

    ``machine`` holds what stays the same on a machine, ``conditions`` what does not (clock rate,
    temperature, throttling) before and after the run.
    """

    target: str
    findings: Findings
    machine: Mapping[str, str]
    conditions: Mapping[str, str]
    format: Literal[2] = BENCH_FORMAT

    def timing(self, group: str, name: str) -> Timing | None:
        """Return the timing of ``name`` in ``group``, or ``None``."""
        matches = (t for t in self.findings.timings if (t.group, t.name) == (group, name))
        return next(matches, None)

    def to_json(self) -> bytes:
        """Return the file's content; raises :class:`BenchError` if a figure is not finite."""
        try:
            text = json.dumps(to_plain(self), indent=1, ensure_ascii=False, allow_nan=False)
        except ValueError as error:
            raise BenchError(f"{self.target}: expected finite figures; {error}") from error
        return text.encode() + b"\n"

    def save(self, path: Path) -> None:
        """Write the file atomically; raises :class:`BenchError`."""
        save(path, self.to_json())


def load(path: Path) -> BenchResult:
    """Read a file that :meth:`BenchResult.save` wrote.

    Raises:
        BenchError: unreadable, of another format, or not such a file.
    """
    try:
        raw = path.read_bytes()
        # The format is read before decoding, to name it instead of the first field that differs.
        number = json.loads(raw).get("format")
    except OSError as error:
        raise BenchError(f"{path}: cannot read it; {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise BenchError(f"{path}: expected the JSON of a benchmark; {error}") from error
    if number != BENCH_FORMAT:
        raise BenchError(
            f"{path}: expected benchmark format {BENCH_FORMAT}, got {number}; measure again with "
            "one version of edge_sdk"
        )
    try:
        return decode(BenchResult, raw, limit=_LIMIT)
    except ContractError as error:
        raise BenchError(f"{path}: {error}") from error


def check_savable(path: Path) -> None:
    """Raise :class:`BenchError` if :func:`save` could not write ``path``."""
    try:
        check_writable(path)
    except OSError as error:
        raise BenchError(f"{path}: cannot write it; {error.strerror}") from error


def save(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically; raises :class:`BenchError`."""
    try:
        write_atomic(path, content, mode=READABLE)
    except OSError as error:
        raise BenchError(f"{path}: cannot write it; {error.strerror}") from error


def joined(parts: Iterable[Findings]) -> Findings:
    """Concatenate ``parts``, in order."""
    return sum(parts, start=Findings())
