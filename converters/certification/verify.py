"""Verification of a release with the device's packages alone.

Bytes, digests, golden vectors and the certificate's own arithmetic must agree; times and memory are
this machine's own, shown beside those of the machine that made the release.
"""

from __future__ import annotations

from edge_sdk.contract.certificate import Certificate, VariantResult
from edge_sdk.errors import ReleaseError
from edge_sdk.model.release import Release
from edge_sdk.update.probe import probe


def verified(release: Release) -> str:
    """Check a release; return the report for people.

    Raises:
        ReleaseError: something is not as the manifest, the certificate or the golden vectors say.
    """
    release.verify()
    release.profile()
    certificate = release.certificate()
    chosen = _chosen(release, certificate)
    result = probe(release)
    manifest = release.manifest
    lines = [
        f"ok: {manifest.model} {manifest.version} ({release.digest}), "
        f"{len(manifest.files)} files whole, {result.golden_rows} golden rows agree, "
        f"p99 of one row {result.p99_ms * 1e3:.0f} µs here",
        _measured(release, chosen),
    ]
    tools = ", ".join(f"{name} {version}" for name, version in sorted(certificate.tools.items()))
    lines.append(f"made with {tools}")
    return "\n".join(line for line in lines if line)


def _chosen(release: Release, certificate: Certificate) -> VariantResult:
    """Return the certificate's row of the model file.

    Raises:
        ReleaseError: it is of another file than the manifest's.
    """
    manifest = release.manifest
    rows = {row.name: row for row in certificate.variants}
    row = rows.get(manifest.variant)
    if row is None or certificate.chosen != manifest.variant:
        raise ReleaseError(
            f"certificate: chose {certificate.chosen!r}, the manifest says {manifest.variant!r}"
        )
    size = release.model_path.stat().st_size
    if row.bytes != size:
        raise ReleaseError(f"certificate: {row.bytes} bytes, the model file has {size}")
    certified = {"score": row.score, "max_difference": row.max_difference}
    for name, value in certified.items():
        if name in manifest.metrics and manifest.metrics[name] != value:
            raise ReleaseError(
                f"certificate: {name} is {value}, the manifest says {manifest.metrics[name]}"
            )
    if not row.accepted:
        raise ReleaseError(f"certificate: the chosen variant is refused: {row.reason}")
    return row


def _measured(release: Release, certified: VariantResult) -> str:
    """Return a table of load, latency and memory, here and as certified."""
    from converters.certification.measure import measure

    golden = release.golden()
    here = measure({certified.name: release}, golden.inputs)[certified.name]
    pairs = [
        ("load ms", here.load_ms, certified.load_ms),
        ("one row µs", here.row_us, certified.row_us),
        ("p99 µs", here.p99_us, certified.p99_us),
        ("batch µs/row", here.batch_row_us, certified.batch_row_us),
        ("memory KiB", here.memory_kb, certified.memory_kb),
    ]
    lines = ["| | here | certified |", "|---|---:|---:|"]
    for name, own, other in pairs:
        lines.append(f"| {name} | {own:.2f} | {'–' if other is None else f'{other:.2f}'} |")
    return "\n".join(lines)
