"""Budgets of latency and memory, for continuous integration on devices."""

from __future__ import annotations

from edge_sdk.bench.result import ONE_ROW, OURS, RSS, BenchResult


def breaches(
    result: BenchResult, max_p99_ms: float | None = None, max_rss_mb: float | None = None
) -> list[str]:
    """Return one sentence per exceeded budget; none if all are met.

    A figure that was not measured does not meet its budget.

    Args:
        result: run to judge.
        max_p99_ms: largest 99th percentile of one row, milliseconds.
        max_rss_mb: largest resident memory of a serving process, MiB.
    """
    timing = result.timing(ONE_ROW, OURS)
    p99_ms = None if timing is None else timing.p99_us / 1e3
    rss_mb = result.findings.facts.get(RSS)
    judged = (
        _judged("p99 of one row", p99_ms, max_p99_ms, "ms"),
        _judged("memory of a serving process", rss_mb, max_rss_mb, "MiB"),
    )
    return [text for text in judged if text is not None]


def _judged(what: str, measured: float | None, allowed: float | None, unit: str) -> str | None:
    if allowed is None:
        return None
    if measured is None:
        return f"{what} cannot be judged: this machine does not report it"
    if measured <= allowed:
        return None
    return f"{what} is {measured:.4g} {unit}, allowed {allowed:g} {unit}"
