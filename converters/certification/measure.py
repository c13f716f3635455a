"""Judgement of candidates side by side."""

from __future__ import annotations

import contextlib
import platform
import zlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from converters.certification.parity import Difference, Tolerances
from converters.certification.row_counts import RowCounts, unshown
from converters.certification.speed import Speed
from edge_sdk.contract.certificate import VariantResult
from edge_sdk.model.runtime import runtime_version

OPTIMISED: Final = "optimised"
"""Variant in float32 that the runtime's own rules have made simpler."""

CHUNK: Final = 1 << 20


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


def changed(difference: Difference, tolerances: Tolerances) -> str:
    """Return why a file that should answer as float32 does not; empty if it does."""
    if difference.label_flips > 0 or difference.maximum > tolerances.exact:
        return (
            f"differs from float32: {difference.label_flips:.2%} label flips, by "
            f"{difference.maximum:.3g} (allowed {tolerances.exact:.3g})"
        )
    return ""


def packed_size(path: Path) -> int:
    """Return the bytes after gzip: the cost of a download."""
    # As a stream: the file may be as large as the memory that is left.
    packer = zlib.compressobj(wbits=31)
    with path.open("rb") as file:
        size = sum(len(packer.compress(part)) for part in iter(lambda: file.read(CHUNK), b""))
    return size + len(packer.flush())


def tools(packages: Sequence[str] = ()) -> dict[str, str]:
    """Return the versions of the tools that made the release, by the names of distributions.

    Args:
        packages: top-level modules of the model's own framework. One that is no distribution, such
            as a script, is left out.
    """
    import onnx

    versions = {
        "onnx": onnx.__version__,
        "onnxruntime": runtime_version(),
        "python": platform.python_version(),
    }
    for package in packages:
        name = _DISTRIBUTIONS.get(package, package)
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


_DISTRIBUTIONS: Final = {"sklearn": "scikit-learn"}
"""Distributions that have another name than their module."""


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
    path: Path,
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
        path: of the model file.
        difference: of its answers from the model's.
        counts: of its answers beside the model's.
        score: of its answers; ``None`` without labels.
        speed: as measured here.
        reason: why it is not accepted; empty if it is.
        alpha: chance that one kind of bound is wrong, of this variant alone.
    """
    return VariantResult(
        name=name,
        bytes=path.stat().st_size,
        gzip_bytes=packed_size(path),
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
