"""Measurement of candidates side by side, and the choice of one."""

from __future__ import annotations

import gzip
import os
import platform
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from converters.certification.parity import Difference, Tolerances
from converters.certification.row_counts import RowCounts, unshown
from edge_sdk.contract.certificate import VariantResult
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.session import Model, first_row, row_count, runtime_version

ROUNDS: Final = 7
CALLS: Final = 100
SLOWER: Final = 1.10
"""A variant is chosen only if a row, alone or in a batch, takes at most this much of float32's."""

SMALLER: Final = 0.90
"""... and only if it has at most this share of float32's bytes."""


@dataclass(frozen=True)
class Speed:
    """Latency and memory of one candidate.

    Attributes:
        row_us: median µs of a call with one row.
        batch_row_us: median µs a row of a call with many.
        load_ms: ms to load the file.
        p99_us: 99th percentile of a call with one row, µs.
        memory_kb: KiB that loading added to the process.
    """

    row_us: float
    batch_row_us: float
    load_ms: float
    p99_us: float
    memory_kb: float


def measure(releases: Mapping[str, Release], feed: Feed) -> dict[str, Speed]:
    """Time every candidate on ``feed``, by name.

    Args:
        releases: candidates of one model by name; all have the same signature.
        feed: input tensors; the batch axis first where the signature has one.
    """
    models, loads, grown = {}, {}, {}
    for name, release in releases.items():
        before, started = resident_kb(), time.perf_counter()
        models[name] = Model.load(release)
        loads[name] = (time.perf_counter() - started) * 1e3
        grown[name] = max(0.0, resident_kb() - before)
    signature = next(iter(releases.values())).manifest.signature
    one = first_row(feed, signature)
    rows = row_count(feed, signature)
    singles: dict[str, list[float]] = {name: [] for name in models}
    batches: dict[str, list[float]] = {name: [] for name in models}
    # In turns, not one candidate after the other: a slow moment of the machine hits all alike.
    for _ in range(ROUNDS):
        for name, model in models.items():
            singles[name].append(_time(model, one, CALLS))
            batches[name].append(_time(model, feed, 3) / rows)
    return {
        name: Speed(
            statistics.median(singles[name]),
            statistics.median(batches[name]),
            loads[name],
            _p99(models[name], one),
            grown[name],
        )
        for name in models
    }


def resident_kb() -> float:
    """Return the resident memory of this process in KiB; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def _p99(model: Model, feed: Feed) -> float:
    times = [_time(model, feed, 1) for _ in range(ROUNDS * CALLS)]
    return statistics.quantiles(times, n=100)[-1]


def _time(model: Model, feed: Feed, calls: int) -> float:
    """Return µs a call."""
    started = time.perf_counter()
    for _ in range(calls):
        model.run(feed)
    return (time.perf_counter() - started) / calls * 1e6


def judge(
    difference: Difference,
    counts: RowCounts,
    score: float | None,
    original_score: float | None,
    tolerances: Tolerances,
    alpha: float,
) -> str:
    """Return why a smaller variant is not good enough; empty if it is.

    Args:
        difference: of its answers from the model's.
        counts: of its answers beside the model's.
        score: of its answers; ``None`` without labels.
        original_score: of the model itself.
        tolerances: how far a variant may differ.
        alpha: chance that what is accepted differs more, of this variant alone.
    """
    if counts.rows:
        flips = unshown("label flips", counts.flips, counts.rows, tolerances.flips, alpha)
        if flips:
            return flips
    if difference.maximum > tolerances.probability:
        return f"differs by {difference.maximum:.3g} (allowed {tolerances.probability:.3g})"
    if counts.lost is not None:
        limit = tolerances.accuracy_drop
        return unshown("right answers lost", counts.lost, counts.rows, limit, alpha)
    if score is not None and original_score is not None:
        drop = original_score - score
        if drop > tolerances.score_drop:
            return f"score drops by {drop:.4f} (allowed {tolerances.score_drop:.4f})"
    return ""


def choose(results: Mapping[str, VariantResult]) -> str:
    """Return the smallest accepted variant that is clearly smaller and not slower than float32."""
    plain = results["float32"]
    paying = [
        result
        for result in results.values()
        if result.accepted
        and result.bytes <= SMALLER * plain.bytes
        and result.row_us <= SLOWER * plain.row_us
        and result.batch_row_us <= SLOWER * plain.batch_row_us
    ]
    return min(paying, key=lambda r: r.bytes).name if paying else "float32"


def packed_size(raw: bytes) -> int:
    """Return the bytes after gzip: the cost of a download."""
    return len(gzip.compress(raw, mtime=0))  # no time of day in it: the same bytes each time


def tools() -> dict[str, str]:
    """Return the versions of the tools that made the release."""
    import onnx
    import skl2onnx
    import sklearn

    return {
        "onnx": onnx.__version__,
        "onnxruntime": runtime_version(),
        "python": platform.python_version(),
        "scikit-learn": sklearn.__version__,
        "skl2onnx": skl2onnx.__version__,
    }


def machine() -> dict[str, str]:
    """Describe the machine that measured the latencies, without names of hosts or people."""
    return {"machine": platform.machine(), "system": platform.system(), "cpu": _cpu()}


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            lines = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        return platform.processor() or "unknown"
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    # x86 says "model name"; a Raspberry Pi says "Model".
    return fields.get("model name") or fields.get("Model") or "unknown"


def as_result(
    name: str,
    raw: bytes,
    difference: Difference,
    counts: RowCounts,
    score: float | None,
    speed: Speed,
    reason: str,
    alpha: float,
) -> VariantResult:
    """Return one row of the certificate.

    Args:
        name: of the variant.
        raw: bytes of the model file.
        difference: of its answers from the model's.
        counts: of its answers beside the model's.
        score: of its answers; ``None`` without labels.
        speed: as measured here.
        reason: why it is not accepted; empty if it is.
        alpha: chance that one kind of bound is wrong, of this variant alone.
    """
    return VariantResult(
        name=name,
        bytes=len(raw),
        gzip_bytes=packed_size(raw),
        label_flips=difference.label_flips,
        max_difference=difference.maximum,
        mean_difference=difference.mean,
        score=score,
        row_us=round(speed.row_us, 2),
        batch_row_us=round(speed.batch_row_us, 3),
        load_ms=round(speed.load_ms, 2),
        accepted=not reason,
        reason=reason,
        p99_us=round(speed.p99_us, 2),
        memory_kb=round(speed.memory_kb, 1),
        flips_bound=counts.flips_bound(alpha),
        score_bound=counts.score_bound(alpha),
        drop_bound=counts.drop_bound(alpha),
    )
