"""Probe of a release on this device: it runs, and still answers as it did when it was made.

One variant of its model on one execution provider; :mod:`edge_sdk.update.certification` tries all
that there are, and chooses.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.names import CPU
from edge_sdk.errors import ReleaseError
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.outputs import derived_label
from edge_sdk.model.session import Model, first_row, take_rows
from edge_sdk.system.operating_system import peak_memory_mb, reset_peak_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_sdk.contract.manifest import Budget, Signature
    from edge_sdk.model.release import Feed, Golden, Release

BLOCKS, CALLS = 7, 30
"""Blocks of single-row calls that are timed, and calls in each."""

SECONDS: Final = 2.0
"""Seconds after which no further block is begun: a large model is not run 210 times."""

SINGLE: Final = 4
"""Golden rows that are answered one by one too: an accelerator may compile another program."""


@dataclass(frozen=True)
class ProbeResult:
    """One variant on one provider, as it ran here.

    Attributes:
        golden_rows: that agreed.
        row_us: microseconds of one row: the median of the calmest block.
        p99_ms: 99th percentile of one row in milliseconds.
        memory_mb: most MiB that the process held meanwhile; ``None`` where the system does not
            tell: a budget of it is not checked there.
        difference: largest difference of a number from the golden vectors.
        nodes: of the graph by the provider that runs them; ``None`` if onnxruntime does not tell.
    """

    golden_rows: int
    row_us: float
    p99_ms: float
    memory_mb: float | None
    difference: float
    nodes: Mapping[str, int] | None


def probe(release: Release, options: RuntimeOptions = RuntimeOptions()) -> ProbeResult:
    """Load ``release``, re-run its golden vectors, and measure it against its budget.

    Args:
        release: whole and verified, with the variant and the provider to try.
        options: threads and execution providers of the session.

    Raises:
        ReleaseError: it does not load, answers differently here, exceeds its budget, or its
            provider does not run it.
    """
    result = measured(release, options)
    over = over_budget(release.manifest.budget, result)
    if over:
        raise ReleaseError(over)
    return result


def measured(release: Release, options: RuntimeOptions) -> ProbeResult:
    """Do as :func:`probe`, without its budget."""
    reset_peak_memory()
    model = Model.load(release, options, lean=True)  # as it will serve
    _check_nodes(model, release.provider)
    golden = release.golden()
    difference = _check_golden(_answers(model, golden.inputs), golden)
    if model.provider != CPU:
        _check_single_rows(model, golden, release.variant.precision)
    blocks = _times(model, first_row(golden.inputs, model.manifest.signature))
    return ProbeResult(
        golden_rows=_rows(golden.inputs),
        row_us=min(float(np.median(block)) for block in blocks) * 1e6,
        p99_ms=float(np.percentile(np.concatenate(blocks), 99)) * 1e3,
        memory_mb=peak_memory_mb(),
        difference=difference,
        nodes=model.nodes,
    )


def over_budget(budget: Budget, result: ProbeResult) -> str | None:
    """Return by how much a limit is exceeded; ``None`` if none is."""
    if budget.p99_ms is not None and result.p99_ms > budget.p99_ms:
        return f"budget: p99 of one row is {result.p99_ms:.3f} ms, allowed {budget.p99_ms}"
    held = result.memory_mb
    if budget.rss_mb is not None and held is not None and held > budget.rss_mb:
        return f"budget: the process holds {held:.0f} MiB, allowed {budget.rss_mb}"
    return None


def _answers(model: Model, inputs: Feed) -> Feed:
    """Return all outputs; a label that follows from the probabilities is read from them."""
    outputs, manifest = model.run(inputs), model.manifest
    label, probabilities = derived_label(manifest), manifest.signature.output("probabilities")
    if label is not None and probabilities is not None:
        likeliest = np.argmax(outputs[probabilities.name], axis=-1)
        outputs[label.name] = np.asarray(manifest.signature.classes, object)[likeliest]
    return outputs


def _rows(feed: Feed) -> int:
    array = next(iter(feed.values()))
    return len(array) if array.ndim else 1


def is_faster(one: Release, other: Release, options: RuntimeOptions, share: float) -> bool:
    """Return whether ``other`` takes at most ``share`` of the time of ``one`` in every round.

    Both are in memory for it and take turns, so that what else the machine does slows both.
    """
    models = [Model.load(each, options, lean=True) for each in (one, other)]
    rows = [first_row(each.golden().inputs, each.manifest.signature) for each in (one, other)]
    for model, row in zip(models, rows, strict=True):
        _block(model, row, CALLS // 3)
    for _ in range(BLOCKS):
        first, second = (
            float(np.median(_block(model, row, CALLS)))
            for model, row in zip(models, rows, strict=True)
        )
        if second > share * first:
            return False
    return True


def _check_nodes(model: Model, provider: str | None) -> None:
    if provider in (None, CPU) or model.nodes is None or model.nodes.get(provider or ""):
        return
    others = ", ".join(f"{n} on {name}" for name, n in model.nodes.items())
    raise ReleaseError(f"it runs none of the model's nodes ({others})")


def _check_golden(outputs: Feed, golden: Golden) -> float:
    """Return the largest difference of a number; raises ReleaseError if there is one too large."""
    worst = 0.0
    for name, expected in golden.outputs.items():
        if name not in outputs:
            raise ReleaseError(f"golden vectors: the model has no output {name!r}")
        wrong, difference = _compared(outputs[name], expected, golden.tolerance)
        if wrong:
            raise ReleaseError(f"golden vectors: output {name!r} {wrong} on this machine")
        worst = max(worst, difference)
    return worst


def _check_single_rows(model: Model, golden: Golden, precision: str) -> None:
    signature: Signature = model.manifest.signature
    # The scale of integers that are made as it runs is that of the whole batch.
    if not signature.batched or signature.state or not precision.startswith("float"):
        return
    axes = {spec.name: spec.batch for spec in signature.inputs}
    axes |= {spec.name: spec.batch for spec in signature.outputs}
    name, array = next(iter(golden.inputs.items()))
    for row in range(min(SINGLE, array.shape[axes[name]])):
        feed = take_rows(golden.inputs, np.array([row]), signature)
        outputs = {n: a.take([row], axes.get(n, 0)) for n, a in golden.outputs.items()}
        _check_golden(_answers(model, feed), type(golden)(feed, outputs, golden.tolerance))


def _compared(
    found: NDArray[Any], expected: NDArray[Any], tolerance: float
) -> tuple[str | None, float]:
    """Return what is wrong, if anything, and the largest difference of a number."""
    if found.shape != expected.shape:
        return f"has shape {found.shape}, expected {expected.shape}", 0.0
    if expected.dtype.kind == "f":
        difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        difference = np.where(same, 0.0, difference)
        worst = float(np.nanmax(difference, initial=0.0))
        # NaN where a number is expected is no difference that could be compared.
        fits = bool((difference <= tolerance).all())
        return None if fits else f"differs by {worst:.3g} (tolerance {tolerance:.3g})", worst
    differing = int((found.astype(str) != expected.astype(str)).sum())
    return (f"differs in {differing} of {expected.size} values" if differing else None), 0.0


def _times(model: Model, row: Feed) -> list[list[float]]:
    """Return seconds of single calls, in blocks."""
    begun = time.perf_counter()
    _block(model, row, CALLS // 3)  # to warm up
    blocks: list[list[float]] = []
    while not blocks or (len(blocks) < BLOCKS and time.perf_counter() - begun < SECONDS):
        blocks.append(_block(model, row, CALLS))
    return blocks


def _block(model: Model, row: Feed, calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        model.run(row)
        times.append(time.perf_counter() - started)
    return times
