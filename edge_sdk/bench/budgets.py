"""Budgets for continuous integration on devices: what is exceeded, and what cannot be judged."""

from __future__ import annotations

from edge_sdk.bench.result import ONE_ROW, OURS, RSS, BenchResult


def breaches(
    result: BenchResult, max_p99_ms: float | None = None, max_rss_mb: float | None = None
) -> list[str]:
    """Why ``result`` does not keep its budgets, in words; empty if it does.

    A budget is kept only if the figure was measured: what is not known is not within it.
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
        return f"{what} cannot be judged: it is not known on this machine"
    if measured <= allowed:
        return None
    return f"{what} is {measured:.4g} {unit}, allowed {allowed:g} {unit}"
