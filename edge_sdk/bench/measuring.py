"""All parts of the benchmark on one model, in order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from edge_sdk.bench import (
    batches,
    eight_threads,
    energy,
    footprint,
    machine,
    pack_hits,
    shadow,
    single_rows,
    telemetry,
)
from edge_sdk.bench.harness import FULL, Effort
from edge_sdk.bench.result import BenchResult, Findings
from edge_sdk.bench.subject import Subject
from edge_sdk.device import EdgeDevice

Part = Callable[[Subject, Effort], Findings]
PARTS: Final[dict[str, Part]] = {
    "single rows": single_rows.measure,
    "batches": batches.measure,
    "pack hits": pack_hits.measure,
    "monitoring": telemetry.measure,
    "shadow": shadow.measure,
    "import and memory": footprint.measure,
    "eight threads": eight_threads.measure,
    "energy": energy.measure,
}

ENERGY: Final = {"energy": energy.measure}
"""What ``--energy`` measures alone."""


def measure(
    target: Path,
    effort: Effort = FULL,
    *,
    rows: Path | None = None,
    tell: Callable[[str], None] = lambda part: None,
    parts: Mapping[str, Part] = PARTS,
) -> BenchResult:
    """Measure the release folder or ``.onnx`` file ``target`` on this machine.

    Args:
        target: release folder or ``.onnx`` file.
        effort: amount of measuring.
        rows: real rows as ``.npy`` or ``.npz``; otherwise the release's golden inputs, or random.
        tell: called with the name of each part before it starts.
        parts: that are measured, by name.

    Raises:
        EdgeError: the model does not load or run here.
    """
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        subject = Subject.prepare(
            target, Path(folder), EdgeDevice.offline, effort.pack_entries, rows
        )
        # Read before and after: a machine that throttles during the run shows it.
        before = machine.conditions()
        size = subject.release.model_path.stat().st_size
        findings = Findings(facts={"model file, bytes": float(size)})
        for name, part in parts.items():
            tell(name)
            findings += part(subject, effort)
        return BenchResult(
            subject.name, findings, machine.facts(), spans(before, machine.conditions())
        )


def spans(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Return the conditions of a run: one value if unchanged, else both."""
    names = {**before, **after}
    pairs = {name: (before.get(name, "unknown"), after.get(name, "unknown")) for name in names}
    return {name: a if a == b else f"{a} to {b}" for name, (a, b) in pairs.items()}
