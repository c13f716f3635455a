"""Re-checking a release with the device's packages alone: what can be held to is held to.

Bytes, digests, golden vectors and the certificate's own arithmetic must agree; times and memory are
this machine's own, shown beside those of the machine that made the release.
"""

from __future__ import annotations

from edge_sdk.contract.certificate import Certificate, VariantResult
from edge_sdk.errors import ReleaseError
from edge_sdk.model.release import Release
from edge_sdk.update.probe import probe


def verified(release: Release) -> str:
    """What was checked and measured, for people.

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
    made = ", ".join(f"{name} {version}" for name, version in sorted(certificate.tools.items()))
    lines.append(f"made with {made}")
    return "\n".join(line for line in lines if line)


def _chosen(release: Release, certificate: Certificate) -> VariantResult:
    """The certificate's row of the file that is here.

    Raises:
        ReleaseError: it speaks of another file than the manifest.
    """
    manifest = release.manifest
    rows = {row.name: row for row in certificate.variants}
    found = rows.get(manifest.variant)
    if found is None or certificate.chosen != manifest.variant:
        raise ReleaseError(
            f"certificate: chose {certificate.chosen!r}, the manifest says {manifest.variant!r}"
        )
    size = release.model_path.stat().st_size
    if found.bytes != size:
        raise ReleaseError(f"certificate: {found.bytes} bytes, the model file has {size}")
    told = {"score": found.score, "max_difference": found.max_difference}
    for name, value in told.items():
        if name in manifest.metrics and manifest.metrics[name] != value:
            raise ReleaseError(
                f"certificate: {name} is {value}, the manifest says {manifest.metrics[name]}"
            )
    if not found.accepted:
        raise ReleaseError(f"certificate: the chosen variant is refused: {found.reason}")
    return found


def _measured(release: Release, certified: VariantResult) -> str:
    """Load, latency and memory here beside those that were certified."""
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
    for name, own, told in pairs:
        lines.append(f"| {name} | {own:.2f} | {'–' if told is None else f'{told:.2f}'} |")
    return "\n".join(lines)
