"""Files of trained networks: bytes, flips and speed beside a hand-written script.

Invariants:

* Every file is made of the same export, held to it on the same rows, and timed on the same rows by
  processor time of one thread, in turns.
* A hand-written file is a peer of ours only if it flips as few labels (for pictures: is as close);
  of several the smallest is. A file that fails to load or run is named.
* Weights in ``Constant`` nodes and in bodies of ``If`` are measured on the same network.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks import hand_written
from benchmarks.networks import NETWORKS, TrainedNetwork, train
from benchmarks.placed import FORMS
from converters import convert
from converters.sources.onnx_signature import OutputKind
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.result import Findings, GoalRow
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.release import Release
from edge_sdk.model.runtime import session_options

Tell = Callable[[str], None]

ROUNDS: Final = 9
CALLS: Final = 20
ROW: Final = 4
OURS, EXPORT = "ours", "export"

SMALLER: Final = Goal(ROW, "bytes, share of the hand-written file with as few flips", 1.0, "x")
FASTER: Final = Goal(ROW, "one row, against the hand-written file with as few flips", 1.05, "x")
FLIPS: Final = Goal(ROW, "labels that differ from the export's, share", 0.01, "of rows")
SECONDS: Final = Goal(5, "conversion, certificate included, processor time", 120.0, "s")
SHARES: Final = {"CNN": 0.27, "LSTM": 0.30, "GRU": 0.30}
"""Goals of bytes as a share of the export, by network."""

PLACED: Final = ("CNN", "LSTM")
"""Networks whose weights are also put where other exporters put them."""


@dataclass(frozen=True)
class FileFigures:
    """A file beside the export: bytes, share of flips, largest difference, µs a row."""

    bytes: int
    flips: float
    difference: float
    row_us: float = 0.0

    def is_as_close_as(self, other: FileFigures) -> bool:
        """Return whether no more labels differ; without labels, whether numbers are as close."""
        if np.isnan(self.flips):
            return self.difference <= other.difference
        return self.flips <= other.flips


def measure(folder: Path, tell: Tell, names: Iterable[str] = NETWORKS) -> Findings:
    """Train and measure the networks.

    Args:
        folder: for exports, releases and hand-written files.
        tell: called with the name of each network.
        names: some of :data:`benchmarks.networks.NETWORKS`.
    """
    needed = ("torch", "onnxscript", "onnxconverter_common")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        return Findings(notes=(f"not measured: {', '.join(missing)} not installed",))
    findings = Findings()
    for name in names:
        tell(name)
        findings += network(name, train(name, folder / name), folder / name)
    return findings


def network(name: str, trained: TrainedNetwork, folder: Path) -> Findings:
    """Measure one trained network; see :func:`measure`."""
    started = time.process_time()
    release = _converted(trained.path, trained, folder / "release")
    seconds = time.process_time() - started
    files, failed = hand_written.write(trained.path, folder, trained.X)
    paths = {EXPORT: trained.path, OURS: release.model_path, **files}
    figures, broken = _figures(paths, trained.X, labelled=trained.y is not None)
    claims = [*_claims(name, figures), GoalRow.of(SECONDS, seconds, name)]
    facts: dict[str, float] = {}
    for file, found in figures.items():
        facts[f"{name}: {file}, bytes"] = found.bytes
        facts[f"{name}: {file}, labels that differ"] = found.flips
        facts[f"{name}: {file}, largest difference"] = found.difference
        facts[f"{name}: {file}, µs a row"] = found.row_us
    for form, place in FORMS.items() if name in PLACED else ():
        placed = place(trained.path, folder / f"{form}.onnx")
        other = _converted(placed, trained, folder / form, variants=["optimised", "int8-storage"])
        for variant in other.certificate().variants:
            facts[f"{name}: {variant.name} with weights in {form}, bytes"] = variant.bytes
    notes = [f"{name}: chosen {release.manifest.variant}"]
    notes += [f"{name}: {file} failed, {why}" for file, why in {**failed, **broken}.items()]
    shown = {what: value for what, value in facts.items() if not np.isnan(value)}
    return Findings((), tuple(claims), shown, tuple(notes))


def _converted(
    path: Path, trained: TrainedNetwork, out: Path, variants: list[str] | None = None
) -> Release:
    kind: OutputKind | None = None if trained.y is None else "probabilities"
    x = {"x": trained.X}
    return convert(path, x, trained.y, name="m", out=out, output=kind, variants=variants)


def _claims(name: str, figures: dict[str, FileFigures]) -> list[GoalRow]:
    ours, export = figures[OURS], figures[EXPORT]
    peers = [f for n, f in figures.items() if n not in (OURS, EXPORT) and f.is_as_close_as(ours)]
    claims = []
    if name in SHARES:
        goal = Goal(ROW, "bytes, share of the export", SHARES[name], "x")
        claims.append(GoalRow.of(goal, ours.bytes / export.bytes, name))
    else:
        share = round(ours.bytes / export.bytes, 4)
        claims.append(GoalRow(ROW, f"bytes, share of the export, {name}", share, "x"))
    if not np.isnan(ours.flips):
        claims.append(GoalRow.of(FLIPS, ours.flips, name))
    # Without a peer that is as close, the export itself is what people would have.
    peer = min(peers, key=lambda f: f.bytes, default=export)
    claims.append(GoalRow.of(SMALLER, ours.bytes / peer.bytes, name))
    claims.append(GoalRow.of(FASTER, ours.row_us / peer.row_us, name))
    return claims


def _figures(
    paths: dict[str, Path], rows: NDArray[np.float32], *, labelled: bool
) -> tuple[dict[str, FileFigures], dict[str, str]]:
    """Return what each file is like, and why others do not run."""
    sessions: dict[str, Any] = {}
    answers: dict[str, NDArray[Any]] = {}
    broken = {}
    for name, path in paths.items():
        try:
            sessions[name] = onnxruntime.InferenceSession(
                str(path), session_options(RuntimeOptions()), providers=["CPUExecutionProvider"]
            )
            answers[name] = _answers(sessions[name], rows)
        except Exception as error:  # onnxruntime's own, of many kinds
            broken[name] = str(error).splitlines()[0][:120]
            sessions.pop(name, None)
    times = _times(sessions, rows)
    own, figures = answers[EXPORT], {}
    for name in sessions:
        found = answers[name]
        flips = float((found.argmax(1) != own.argmax(1)).mean()) if labelled else float("nan")
        gap = float(np.abs(found - own).max())
        figures[name] = FileFigures(paths[name].stat().st_size, flips, gap, times[name])
    return figures, broken


def _answers(session: Any, rows: NDArray[np.float32]) -> NDArray[Any]:
    """Return the output of numbers, [N, …]."""
    parts = [session.run(None, {"x": rows[i : i + 50]}) for i in range(0, len(rows), 50)]
    place = next(i for i, array in enumerate(parts[0]) if array.dtype.kind == "f")
    return np.concatenate([part[place] for part in parts])


def _times(sessions: dict[str, Any], rows: NDArray[np.float32]) -> dict[str, float]:
    """Return µs of processor time a row, of rows one by one: the median over rounds."""
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(ROUNDS):
        for name, session in sessions.items():
            feeds = [{"x": rows[i : i + 1]} for i in range(turn, turn + CALLS)]
            started = time.thread_time()
            for feed in feeds:
                session.run(None, feed)
            times[name].append((time.thread_time() - started) / CALLS * 1e6)
    return {name: statistics.median(each[1:]) for name, each in times.items()}
