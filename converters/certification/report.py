"""The certificate for people: a table of all variants, and the choice in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from converters.certification.budget import BudgetLimits, BudgetTerms
from converters.certification.choice import pareto
from edge_sdk.contract.certificate import Certificate, GroupResult, VariantResult
from edge_sdk.contract.manifest import Cascade, Manifest
from edge_sdk.model.release import Release

HEAD = (
    "| variant | bytes | gzip | flips | max diff | score | row µs | p99 µs | batch µs/row | "
    "load ms | * | |"
)


def results_table(
    results: Mapping[str, VariantResult],
    limits: BudgetLimits | None = None,
    terms: BudgetTerms = BudgetTerms(),
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return Markdown, one row a variant; ``*`` marks those that no other beats in every way.

    Args:
        results: rows of the certificate by name.
        limits: the budget; the limits that a variant breaks are shown.
        terms: what the budget's limits of shares are held against.
        left_out: why other variants were not measured, by name.
    """
    best = pareto(results.values())
    lines = [HEAD, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---|"]
    for v in results.values():
        broken = limits.exceeded(v, terms) if limits and v.accepted else ""
        p99 = "–" if v.p99_us is None else f"{v.p99_us:.1f}"
        lines.append(
            f"| {v.name} | {v.bytes} | {v.gzip_bytes} | {_flips(v)} | "
            f"{v.max_difference:.2g} | {_score(v)} | {v.row_us:.1f} | {p99} | "
            f"{v.batch_row_us:.2f} | "
            f"{v.load_ms:.1f} | {'*' if v.name in best else ''} | "
            f"{v.reason or broken or 'accepted'} |"
        )
    nothing = "– | " * 9
    lines += [f"| {name} | {nothing}| {reason} |" for name, reason in left_out.items()]
    return "\n".join(lines)


def certificate_table(release: Release) -> str:
    """Return Markdown: one row a variant, the choice in words, the groups and the cascade."""
    manifest, certificate = release.manifest, release.certificate()
    measured = {v.name for v in certificate.variants}
    left_out = {n: why for n, why in certificate.not_chosen.items() if n not in measured}
    lines = [
        f"{manifest.model} {manifest.version} ({manifest.task}), {certificate.rows} check rows, "
        f"chosen: {certificate.chosen}",
        "",
        results_table({v.name: v for v in certificate.variants}, left_out=left_out),
        "",
        "*: no other variant beats it in every way",
        *_choice_lines(certificate),
    ]
    if len(manifest.variants) > 1:
        lines += ["", _shipped_line(manifest)]
    if certificate.groups:
        lines += ["", _groups_table(certificate.groups)]
    if any(v.flips_bound is not None for v in certificate.variants):
        lines += ["", _bounds_line(certificate)]
    cascade = manifest.cascade
    if cascade is not None:
        lines.append(f"\n{_cascade_line(cascade)}")
    elif "cascade" in manifest.training:
        lines.append(f"\ncascade: {manifest.training['cascade']}")
    return "\n".join(lines)


def _choice_lines(certificate: Certificate) -> list[str]:
    """Why the variant is in the release, and why each other one was not chosen."""
    if not certificate.because:
        return []
    measured = {v.name for v in certificate.variants}
    others = [f"- {n}: {why}" for n, why in certificate.not_chosen.items() if n in measured]
    chosen = ["", f"{certificate.chosen} was chosen: {certificate.because}"]
    return [*chosen, "", "not chosen:", *others] if others else chosen


def _shipped_line(manifest: Manifest) -> str:
    files = ", ".join(f"{v.name} ({v.model}, for {v.provider})" for v in manifest.variants)
    return f"the release holds {files}; a device downloads those that it may take"


def _cascade_line(cascade: Cascade) -> str:
    bound = "" if cascade.bound is None else f" at most {cascade.bound:.2%} differ from the cloud's"
    stands = "" if cascade.coverage is None else f", {cascade.coverage:.1%} of the check rows"
    return (
        f"cascade: below {cascade.threshold} ask the cloud; of the answers that stand without it"
        f"{stands},{bound} (confidence {1 - cascade.alpha:.0%}). Certified for inputs distributed "
        "like the check rows: where inputs or the cloud's answers drift, nothing is certified"
    )


def _flips(result: VariantResult | GroupResult) -> str:
    if result.flips_bound is None and result.label_flips == 0:
        return "–"  # answers that are no labels
    bound = "" if result.flips_bound is None else f" (≤ {result.flips_bound:.2%})"
    return f"{result.label_flips:.2%}{bound}"


def _score(result: VariantResult | GroupResult) -> str:
    if result.score is None:
        return "–"
    bound = "" if result.score_bound is None else f" (≥ {result.score_bound:.4f})"
    return f"{result.score:.4f}{bound}"


def _bounds_line(certificate: Certificate) -> str:
    confidence = "" if certificate.confidence is None else f" {certificate.confidence:.0%}"
    return (
        f"in brackets: exact bounds at{confidence} confidence, for all variants together (groups "
        f"likewise), from {certificate.rows:,} check rows; they hold for rows drawn like these"
    )


def _groups_table(groups: tuple[GroupResult, ...]) -> str:
    lines = [
        "| group | rows | score before | after | flips | max diff |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for g in groups:
        before = "–" if g.original_score is None else f"{g.original_score:.4f}"
        lines.append(
            f"| {g.column}={g.group} | {g.rows} | {before} | {_score(g)} | {_flips(g)} | "
            f"{g.max_difference:.2g} |"
        )
    return "\n".join(lines)
