"""Verification of a release with the device's packages alone.

Bytes, digests, and of each variant golden vectors and the certificate's own arithmetic must agree;
times and memory are this machine's own, shown beside those of the machine that made the release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge_sdk.contract.certificate import Certificate, VariantResult
from edge_sdk.errors import ReleaseError
from edge_sdk.model.release import Release
from edge_sdk.system.providers import DEFAULT_PROVIDERS
from edge_sdk.update.probe import probe

MEASUREMENTS: Final = {
    "load_ms": "load ms",
    "row_us": "one row µs",
    "p99_us": "p99 µs",
    "batch_row_us": "batch µs/row",
    "memory_kb": "memory KiB",
}
"""Titles by the name that a measurement has in the certificate."""


@dataclass(frozen=True)
class Verification:
    """A release that was checked here.

    Attributes:
        model: name of the model.
        version: its version.
        digest: SHA-256 of the manifest.
        files: files whose digests agree.
        golden_rows: golden vectors that this machine's runtime reproduces, of all variants.
        variants: names of the variants, the chosen one first.
        probe_p99_us: 99th percentile of one row here, as the device's probe measures it.
        here: measurements on this machine, by the names of :data:`MEASUREMENTS`.
        certified: the same on the machine that made the release; ``None`` if not measured.
        tools: versions of the packages that made the release.
    """

    model: str
    version: str
    digest: str
    files: int
    golden_rows: int
    variants: tuple[str, ...]
    probe_p99_us: float
    here: Mapping[str, float | None]
    certified: Mapping[str, float | None]
    tools: Mapping[str, str]

    def report(self) -> str:
        """The same for people, with a Markdown table of the measurements."""
        lines = [
            f"ok: {self.model} {self.version} ({self.digest}), "
            f"{self.files} files whole, {self.golden_rows} golden rows of "
            f"{', '.join(self.variants)} agree, "
            f"p99 of one row {self.probe_p99_us:.0f} µs here",
            "| | here | certified |",
            "|---|---:|---:|",
        ]
        for name, title in MEASUREMENTS.items():
            here, certified = _cell(self.here[name]), _cell(self.certified[name])
            lines.append(f"| {title} | {here} | {certified} |")
        tools = ", ".join(f"{name} {version}" for name, version in sorted(self.tools.items()))
        return "\n".join([*lines, f"made with {tools}"])


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def verify(release: Release) -> Verification:
    """Check a release, and measure it on this machine.

    Raises:
        ReleaseError: something is not as the manifest, the certificate or the golden vectors say.
    """
    release.verify()
    release.profile()
    certificate = release.certificate()
    chosen = _chosen(release, certificate)
    result = probe(release)
    golden_rows, manifest = result.golden_rows, release.manifest
    for variant in release.variants[1:]:
        _chosen(variant, variant.certificate())
        # Of another provider this machine need not have the hardware.
        if variant.variant.provider in DEFAULT_PROVIDERS:
            golden_rows += probe(variant).golden_rows
    return Verification(
        manifest.model,
        manifest.version,
        release.digest,
        len(manifest.files),
        golden_rows,
        tuple(variant.name for variant in manifest.variants),
        result.p99_ms * 1e3,
        _measurements(_measure(release, chosen.name)),
        _measurements(chosen),
        certificate.tools,
    )


def _chosen(release: Release, certificate: Certificate) -> VariantResult:
    """Return the certificate's row of the model file.

    Raises:
        ReleaseError: it is of another file than the manifest's.
    """
    manifest, name = release.manifest, release.variant.name
    rows = {row.name: row for row in certificate.variants}
    row = rows.get(name)
    if row is None or certificate.chosen != name:
        raise ReleaseError(f"certificate: chose {certificate.chosen!r}, the manifest says {name!r}")
    size = release.model_path.stat().st_size
    if row.bytes != size:
        raise ReleaseError(f"certificate: {row.bytes} bytes, the model file has {size}")
    names = ("score", "max_difference", "flips_bound", "score_bound")
    certified = {name: getattr(row, name) for name in names}
    # The manifest repeats figures of the first variant alone.
    for name, value in certified.items() if release.variant == manifest.variants[0] else ():
        if name in manifest.metrics and manifest.metrics[name] != value:
            raise ReleaseError(
                f"certificate: {name} is {value}, the manifest says {manifest.metrics[name]}"
            )
    if not row.accepted:
        raise ReleaseError(f"certificate: the chosen variant is refused: {row.reason}")
    return row


def _measure(release: Release, variant: str) -> Any:
    """Load, latency and memory on this machine."""
    from converters.certification.speed import measure

    return measure({variant: release}, release.golden().inputs)[variant]


def _measurements(result: Any) -> dict[str, float | None]:
    return {name: getattr(result, name) for name in MEASUREMENTS}
