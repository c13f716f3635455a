"""The certificate as a table for people."""

from __future__ import annotations

from edge_sdk.release import Release


def certificate_table(release: Release) -> str:
    """Markdown: one row a variant, what was chosen, how it was measured."""
    manifest, certificate = release.manifest, release.certificate()
    lines = [
        f"{manifest.model} {manifest.version} ({manifest.task}), {certificate.rows} check rows, "
        f"chosen: {certificate.chosen}",
        "",
        "| variant | bytes | gzip | flips | max diff | score | row µs | batch µs/row | load ms | |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for v in certificate.variants:
        score = "–" if v.score is None else f"{v.score:.4f}"
        lines.append(
            f"| {v.name} | {v.bytes} | {v.gzip_bytes} | {v.label_flips:.2%} | "
            f"{v.max_difference:.2g} | {score} | {v.row_us:.1f} | {v.batch_row_us:.2f} | "
            f"{v.load_ms:.1f} | {v.reason or 'accepted'} |"
        )
    cascade = manifest.cascade
    if cascade is not None:
        lines.append(
            f"\ncascade: below {cascade.threshold} ask the cloud; certified disagreement at most "
            f"{cascade.bound} for {cascade.coverage:.1%} of rows"
        )
    elif "cascade" in manifest.training:
        lines.append(f"\ncascade: {manifest.training['cascade']}")
    return "\n".join(lines)
