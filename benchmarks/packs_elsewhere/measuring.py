"""Look-ups from C, JavaScript and Python that take turns: the same keys in the same file.

Invariants:

* Every turn of every reader looks the same keys up, in the same random order, and reads the values;
  the rows are those whose keys these are. A miss ends the measuring.
* C and JavaScript run in processes of their own, which wait for their turns; each has read the file
  whole before, as a device has.
* Time is the processor's, with what the collector of garbage takes: what else the machine does
  beside is not counted.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.packs import OUTPUT, Content
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import Effort
from edge_sdk.bench.result import Findings, GoalRow, Timing
from edge_sdk.errors import BenchError
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.reader import Pack
from edge_sdk.packs.writer import write_pack

HIT: Final = Goal(16, "a hit by key in C", 300.0, "ns")
HERE: Final = Path(__file__).parent
PACKS: Final = HERE.parents[1] / "packs"
ROWS: Final = 20_000
SOURCES: Final = ("edge_pack.c", "edge_json.c", "edge_key.c")
WAYS: Final = {"key": "a hit by key", "row": "a hit from a row"}
Turn = Callable[[str], float]
"""Looks all keys or rows up; returns nanoseconds of the processor each."""


def measure(
    release: Release, folder: Path, size: int, effort: Effort, tell: Callable[[str], None]
) -> Findings:
    """Measure the readers that this machine can run.

    Args:
        release: of one dense tensor and the output ``probabilities``.
        folder: for the pack and the programs.
        size: entries of the pack.
        effort: rounds.
        tell: called with a line for each step.

    Raises:
        BenchError: a program does not compile, or a look-up misses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tell(f"writing a pack of {size:,}")
    content = Content.of(release, min(ROWS, size // 2))
    path, columns = folder / "answers.pack", content.rows.shape[1]
    keys, values = content.entries(size)
    write_pack(path, release, keys, {OUTPUT: values}, answered_by="benchmark")
    order = np.random.default_rng(0).permutation(len(content.keys))
    content.keys[order].tofile(folder / "keys")
    content.rows[order].tofile(folder / "rows")
    files = [str(path), str(folder / "keys"), str(folder / "rows"), str(columns)]
    with contextlib.ExitStack() as stack:
        readers = {"Python": stack.enter_context(_python(content, path, order))}
        for name, command in _commands(folder).items():
            readers[name] = stack.enter_context(_program([*command, *files]))
        tell(f"looking up in turns: {', '.join(readers)}")
        levels = _in_turns(readers, effort.rounds)
    return _findings(levels, size, columns, len(order))


def _commands(folder: Path) -> dict[str, list[str]]:
    """The programs of the languages that are installed."""
    found = {}
    cc, node = shutil.which("cc") or shutil.which("gcc"), shutil.which("node")
    if cc is not None:
        program = folder / "look_up"
        sources = [str(PACKS / "c" / name) for name in SOURCES]
        include = ["-I", str(PACKS / "c"), str(HERE / "look_up.c"), *sources]
        command = [cc, "-std=gnu99", "-O2", *include, "-lm", "-o", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"the reader in C does not compile; {done.stderr:.500}")
        found["C"] = [str(program)]
    if node is not None:
        index = (PACKS / "js" / "index.js").as_uri()
        found["JavaScript"] = [node, str(HERE / "look_up.mjs"), index]
    return found


@contextlib.contextmanager
def _program(command: Sequence[str]) -> Iterator[Turn]:
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def turn(way: str) -> float:
            print(way, file=asked, flush=True)
            answer = answers.readline()
            if not answer:
                raise BenchError(f"{command[0]}: it ended; did a look-up miss?")
            return float(answer)

        yield turn


@contextlib.contextmanager
def _python(content: Content, path: Path, order: NDArray[np.int64]) -> Iterator[Turn]:
    canonicaliser = Canonicaliser(content.release.manifest.signature)
    keys = [content.keys[i].tobytes() for i in order]
    rows = [content.rows[i] for i in order]
    with Pack.open(path, content.release) as pack:
        pack.verify()

        def turn(way: str) -> float:
            missed, started = 0, time.process_time_ns()
            if way == "key":
                for key in keys:
                    missed += pack.get(key) is None
            else:
                for row in rows:
                    missed += pack.get(canonicaliser.key(row.tobytes())) is None
            taken = time.process_time_ns() - started
            if missed:
                raise BenchError(f"{missed} of {len(keys)} look-ups missed")
            return taken / len(keys)

        yield turn


def _in_turns(readers: Mapping[str, Turn], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Nanoseconds of a look-up by each reader and way, by round; the first round warms up."""
    levels: dict[tuple[str, str], list[float]] = {}
    names = list(readers)
    for number in range(rounds + 1):
        first = number % len(names)
        for way in WAYS:
            for name in (*names[first:], *names[:first]):
                taken = readers[name](way)
                if number:
                    levels.setdefault((way, name), []).append(taken)
    return levels


def _findings(
    levels: Mapping[tuple[str, str], Sequence[float]], size: int, columns: int, count: int
) -> Findings:
    timings, facts = [], {}
    for (way, name), taken in levels.items():
        p50, p90, p99 = (round(float(np.percentile(taken, p)) / 1e3, 4) for p in (50, 90, 99))
        group = f"{WAYS[way]}, {size:,} entries"
        timings.append(Timing(group, name, p50, p90, p99, len(taken) * count))
        python = np.array(levels[way, "Python"])
        if name != "Python":
            ratio = float(np.median(python / np.array(taken)))
            facts[f"{WAYS[way]}, Python against {name}, x"] = ratio
    in_c = levels.get(("key", "C"), ())
    claims = tuple(GoalRow.of(HIT, float(np.median(in_c)), f"{size:,} entries") for _ in in_c[:1])
    notes = (
        f"a turn looks {count:,} keys up in random order and reads ten numbers of each; a row has "
        f"{columns} float32 columns, of which SHA-256 makes the key; percentiles are of the "
        "rounds, and of the processor's time",
    )
    return Findings(tuple(timings), claims, facts, notes)
