"""Probe of a release on this device: it runs, and still answers as it did when it was made.

Of several variants the first that does serves.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.key import ENTITY
from edge_sdk.errors import ReleaseError
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.session import Model, first_row
from edge_sdk.packs.reader import Pack
from edge_sdk.system.operating_system import peak_memory_mb

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Budget
    from edge_sdk.model.release import Feed, Golden, Release

ROUNDS: Final = 200
"""Single-row calls that the latency probe makes, after a tenth of them as warm-up."""


@dataclass(frozen=True)
class ProbeResult:
    """Golden rows that agreed, p99 of one row in ms, and peak memory in MiB.

    ``rss_mb`` is ``None`` where the system does not tell; a budget of it is not checked there.
    """

    golden_rows: int
    p99_ms: float
    rss_mb: float | None


def first_that_works(
    release: Release,
    pack: Path | None = None,
    features: Path | None = None,
    *,
    options: RuntimeOptions = RuntimeOptions(),
) -> tuple[Release, str | None]:
    """Probe the variants of ``release`` that are here, in their order; arguments of :func:`probe`.

    Returns:
        The release with the variant that works, and why those before it do not, if there are any.

    Raises:
        ReleaseError: none works; it says why, of each.
        PackError: a pack is damaged or not for this release.
    """
    reasons: list[str] = []
    variants = release.variants
    for each in variants:
        try:
            probe(each, pack, features, options=options)
        except ReleaseError as error:
            if len(variants) == 1:
                raise
            reasons.append(f"{each.variant.name}: {error}")
        else:
            return each, "; ".join(reasons) or None
    raise ReleaseError("no variant works here; " + "; ".join(reasons))


def probe(
    release: Release,
    pack: Path | None = None,
    features: Path | None = None,
    *,
    options: RuntimeOptions = RuntimeOptions(),
) -> ProbeResult:
    """Load ``release``, re-run its golden vectors, measure it against its budget, check its packs.

    Args:
        release: whole and verified.
        pack: of answers.
        features: pack of features.
        options: threads and execution providers of the session.

    Raises:
        ReleaseError: it does not load, answers differently here, or exceeds its budget.
        PackError: a pack is damaged or not for this release.
    """
    model = Model.load(release, options)
    golden = release.golden()
    _check_golden(model.run(golden.inputs), golden)
    for file, canonicaliser in ((pack, None), (features, ENTITY)):
        if file is not None:
            with Pack.open(file, release, canonicaliser=canonicaliser) as opened:
                opened.verify()
    p99_ms = _p99_ms(model, golden.inputs)
    rss_mb = peak_memory_mb()
    _check_budget(release.manifest.budget, p99_ms, rss_mb)
    return ProbeResult(_rows(golden.inputs), p99_ms, rss_mb)


def _rows(feed: Feed) -> int:
    array = next(iter(feed.values()))
    return len(array) if array.ndim else 1


def _check_golden(outputs: Feed, golden: Golden) -> None:
    for name, expected in golden.outputs.items():
        if name not in outputs:
            raise ReleaseError(f"golden vectors: the model has no output {name!r}")
        wrong = _disagree(outputs[name], expected, golden.tolerance)
        if wrong:
            raise ReleaseError(f"golden vectors: output {name!r} {wrong} on this machine")


def _disagree(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> str | None:
    if found.shape != expected.shape:
        return f"has shape {found.shape}, expected {expected.shape}"
    if expected.dtype.kind == "f":
        difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
        agrees = (difference <= tolerance) | (found == expected)
        agrees |= np.isnan(found) & np.isnan(expected)
        worst = float(np.nanmax(np.where(agrees, 0.0, difference), initial=0.0))
        return None if agrees.all() else f"differs by {worst:.3g} (tolerance {tolerance:.3g})"
    differing = int((found.astype(str) != expected.astype(str)).sum())
    return f"differs in {differing} of {expected.size} values" if differing else None


def _p99_ms(model: Model, inputs: Feed) -> float:
    one = first_row(inputs, model.manifest.signature)
    times = []
    for i in range(ROUNDS + ROUNDS // 10):
        started = time.perf_counter()
        model.run(one)
        if i >= ROUNDS // 10:
            times.append(time.perf_counter() - started)
    return float(np.percentile(times, 99)) * 1e3


def _check_budget(budget: Budget, p99_ms: float, rss_mb: float | None) -> None:
    if budget.p99_ms is not None and p99_ms > budget.p99_ms:
        raise ReleaseError(f"budget: p99 of one row is {p99_ms:.3f} ms, allowed {budget.p99_ms}")
    if budget.rss_mb is not None and rss_mb is not None and rss_mb > budget.rss_mb:
        raise ReleaseError(f"budget: the process holds {rss_mb:.0f} MiB, allowed {budget.rss_mb}")
