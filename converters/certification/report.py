"""The certificate as a table for people, and as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from converters.certification.budget import BudgetLimits, BudgetTerms, pareto
from converters.errors import ConversionError
from edge_sdk.contract.certificate import Certificate, GroupResult, VariantResult
from edge_sdk.contract.manifest import Cascade
from edge_sdk.model.release import Release
from edge_sdk.system.files import READABLE, check_writable, write_atomic

PICTURES: Final = (".png", ".svg")
HEAD = (
    "| variant | bytes | gzip | flips | max diff | score | row µs | p99 µs | batch µs/row | "
    "load ms | | |"
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
    best = pareto(results)
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
    """Return Markdown: one row a variant, the choice, the groups and the cascade."""
    manifest, certificate = release.manifest, release.certificate()
    lines = [
        f"{manifest.model} {manifest.version} ({manifest.task}), {certificate.rows} check rows, "
        f"chosen: {certificate.chosen}",
        "",
        results_table({v.name: v for v in certificate.variants}, left_out=certificate.left_out),
    ]
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


def _cascade_line(cascade: Cascade) -> str:
    bound = "" if cascade.bound is None else f" at most {cascade.bound:.2%} differ from the cloud's"
    stands = "" if cascade.coverage is None else f", {cascade.coverage:.1%} of the check rows"
    return (
        f"cascade: below {cascade.threshold} ask the cloud; of the answers that stand without it"
        f"{stands},{bound} (confidence {1 - cascade.alpha:.0%}). Certified for inputs distributed "
        "like the check rows: where inputs or the cloud's answers drift, nothing is certified"
    )


def _flips(result: VariantResult | GroupResult) -> str:
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


def check_plot(path: Path) -> None:
    """Check before a conversion that :func:`write_plot` could write ``path``.

    Raises:
        ConversionError: another ending, no matplotlib, or not writable.
    """
    if path.suffix not in PICTURES:
        raise ConversionError(f"{path}: expected a name that ends in {' or '.join(PICTURES)}")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ConversionError(
            'drawing needs matplotlib: pip install "edge-deployment-sdk[plot]"'
        ) from error
    try:
        check_writable(path)
    except OSError as error:
        raise ConversionError(f"{path}: cannot be written; {error.strerror}") from error


def write_plot(certificate: Certificate, path: Path) -> None:
    """Write a picture of all variants: bytes across, one row's time up, the score as text.

    Raises:
        ConversionError: as :func:`check_plot`.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 4.5), layout="constrained")
    axes = figure.subplots()
    best = pareto({v.name: v for v in certificate.variants})
    count = len(certificate.variants)
    for i, v in enumerate(sorted(certificate.variants, key=lambda v: v.row_us)):
        colour = "tab:green" if v.name == certificate.chosen else "tab:blue"
        colour = colour if v.accepted else "tab:gray"
        axes.scatter(v.bytes, v.row_us, color=colour, marker="o" if v.name in best else "x")
        score = "" if v.score is None else f" {v.score:.4f}"
        # Right of the picture, one below the other: near their dots the names would overlap.
        axes.annotate(
            f"{v.name}{score}",
            (v.bytes, v.row_us),
            (1.03, (i + 0.5) / count),
            textcoords="axes fraction",
            va="center",
            arrowprops={"arrowstyle": "-", "color": "tab:gray", "linewidth": 0.5},
        )
    axes.set(xscale="log", xlabel="bytes of the file", ylabel="one row, µs (median)")
    axes.set_title(
        "Chosen in green, out of tolerance in gray, dots that no other beats", fontsize=9
    )
    axes.margins(0.2)
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:], dpi=120)
    write_atomic(path, picture.getvalue(), mode=READABLE)
