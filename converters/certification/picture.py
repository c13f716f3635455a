"""The certificate as a picture: how good each variant is against its bytes and its time, and the
budget drawn in.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from converters.certification.budget import quantity_text
from converters.certification.choice import pareto
from converters.errors import ConversionError
from edge_sdk.contract.certificate import Certificate, VariantResult
from edge_sdk.system.files import READABLE, check_writable, write_atomic

PICTURES: Final = (".png", ".svg")
CHOSEN, ACCEPTED, REFUSED, BUDGET = "tab:green", "tab:blue", "tab:gray", "tab:red"
MARKERS: Final = "os^vDP*Xph<>d8"
"""One a variant: colours say what became of it."""

ON_THE_TIME: Final = {"row": "one row", "p99": "99th percentile"}
"""Limits of a budget on the axis of times, with their names in the picture."""


@dataclass(frozen=True)
class Quality:
    """The axis of how good a variant is.

    Attributes:
        title: of the axis.
        values: by name of the variant.
        limit: the worst value within the budget; ``None`` if the budget does not limit it.
        named: limits of the budget that ``limit`` stands for.
    """

    title: str
    values: Mapping[str, float]
    limit: float | None
    named: frozenset[str]


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


def quality_of(certificate: Certificate) -> Quality:
    """Return the axis that the certificate has figures for: the score, else labels, else numbers.

    Args:
        certificate: of a release.
    """
    variants, limits = certificate.variants, certificate.limits
    scores = {v.name: v.score for v in variants if v.score is not None}
    if len(scores) == len(variants) and certificate.original_score is not None:
        drop = limits.get("accuracy-drop")
        worst = None if drop is None else certificate.original_score - drop
        return Quality("score (accuracy or R²)", scores, worst, frozenset({"accuracy-drop"}))
    if all(v.flips_bound is not None for v in variants):
        flips = limits.get("flips")
        worst = None if flips is None else 1 - flips
        agreeing = {v.name: 1 - v.label_flips for v in variants}
        return Quality("labels as the model's", agreeing, worst, frozenset({"flips"}))
    differences = {v.name: v.max_difference for v in variants}
    worst = limits.get("difference")
    return Quality("largest difference", differences, worst, frozenset({"difference"}))


def write_plot(certificate: Certificate, path: Path) -> None:
    """Write the picture: one panel with bytes across, one with one row's time.

    Raises:
        ConversionError: as :func:`check_plot`.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    quality, limits = quality_of(certificate), certificate.limits
    figure = Figure(figsize=(10.5, 4.8), layout="constrained")
    by_bytes, by_time = figure.subplots(1, 2, sharey=True)
    best = pareto(certificate.variants)
    for v, marker in zip(certificate.variants, _markers(len(certificate.variants)), strict=True):
        colour = _colour(v, certificate)
        score = quality.values[v.name]
        filled = colour if v.name in best else "none"
        dots: dict[str, Any] = {"marker": marker, "edgecolors": colour, "facecolors": filled}
        by_bytes.scatter(v.bytes, score, s=60, label=v.name, **dots)
        by_time.scatter(v.row_us, score, s=60, **dots)
        if v.p99_us is not None:
            ends = {"marker": "|", "markevery": [1], "linewidth": 0.8}
            by_time.plot([v.row_us, v.p99_us], [score, score], color=colour, **ends)
    by_bytes.set(xscale="log", xlabel="bytes of the file", ylabel=quality.title)
    by_time.set(xscale="log", xlabel="one row, µs: median, and a line to the 99th percentile")
    _plain_ticks(by_bytes, by_time)
    _draw_budget(by_bytes, by_time, limits, quality)
    figure.suptitle(_title(limits, quality), fontsize=9)
    figure.legend(loc="outside right center", fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:], dpi=120)
    write_atomic(path, picture.getvalue(), mode=READABLE)


def _plain_ticks(*panels: Any) -> None:
    """Label the axes with plain numbers, few enough that none covers another."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axes in panels:
        low, high = axes.get_xlim()
        # Within one power of ten there would be one label or none.
        steps = (1, 2, 5) if high > 4 * low else (1, 1.5, 2, 3, 5, 7)
        axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _markers(count: int) -> str:
    return (MARKERS * (count // len(MARKERS) + 1))[:count]


def _colour(v: VariantResult, certificate: Certificate) -> str:
    if v.name == certificate.chosen:
        return CHOSEN
    return ACCEPTED if v.accepted else REFUSED


def _draw_budget(
    by_bytes: Any, by_time: Any, limits: Mapping[str, float], quality: Quality
) -> None:
    line: dict[str, Any] = {"color": BUDGET, "linewidth": 1}
    if "size" in limits:
        by_bytes.axvline(limits["size"], linestyle="--", **line)
    for name, style in zip(ON_THE_TIME, ("--", ":"), strict=True):
        if name in limits:
            by_time.axvline(limits[name], linestyle=style, **line)
    if quality.limit is not None:
        for axes in (by_bytes, by_time):
            axes.axhline(quality.limit, linestyle="--", **line)


def _title(limits: Mapping[str, float], quality: Quality) -> str:
    text = (
        "chosen in green, not shown to be close enough in gray; filled: no other beats it in every "
        "way"
    )
    if not limits:
        return text
    shown = {"size", *ON_THE_TIME, *(quality.named if quality.limit is not None else ())}
    unshown = sorted(set(limits) - shown)
    others = ", ".join(f"{name} ≤ {quantity_text(name, limits[name])}" for name in unshown)
    drawn = "\nbudget in red (dotted: of the 99th percentile)" if set(limits) & shown else ""
    return text + drawn + (f"\nlimits without an axis: {others}" if others else "")
