"""What releases hold, as a table and sentences for people."""

from __future__ import annotations

from typing import Any

from cloud_hub.cli.shared.output import TextTable, View, local_time


def releases_table(releases: list[dict[str, Any]]) -> TextTable:
    """Return a row for each variant of each release, the chosen one of a release first."""
    columns = (
        "version",
        "status",
        "variant",
        "precision",
        "target",
        "provider",
        "bytes",
        "score",
        "rare day",
    )
    rows = [
        (
            release["version"]["version"], release["version"]["status"], variant["name"],
            variant["precision"], variant["target"], _short(variant["provider"]), variant["bytes"],
            variant["score"], _rare_day(release["rare_day"]),
        )
        for release in releases
        for variant in release["variants"]
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no releases; edge-hub publish RELEASE adds one")


def release_view(release: dict[str, Any]) -> View:
    """Return one release: what it is, its variants, the choice in words."""
    return [_heading(release), _variants(release["variants"]), _reasons(release)]


def _heading(release: dict[str, Any]) -> str:
    version = release["version"]
    lines = [
        f"{version['model']} {version['version']}: {version['status']}; {release['task']}; "
        f"published {local_time(version['published_at'])}; "
        f"licence {release['licence'] or 'not stated'}",
        f"certified on {release['rows']:,} check rows{_confidence(release['confidence'])}",
    ]
    uses = release["datasets"].items()
    if uses:
        lines.append("; ".join(f"{use} on {', '.join(refs)}" for use, refs in sorted(uses)[::-1]))
    if version["override"]:
        lines.append(f"published past the offline gate: {version['override']}")
    mark = release["rare_day"]
    if mark:
        why = mark["reason"] or "goes back by itself when the day is over"
        lines.append(f"trained on the {_title(mark)}, after {mark['before']}: {why}")
    return "\n".join(lines)


def _rare_day(mark: dict[str, Any] | None) -> str | None:
    """The day on which a version was trained, and what becomes of the version."""
    if mark is None:
        return None
    return f"{_title(mark)}, {(mark['outcome'] or 'goes back').replace('_', ' ')}"


def _title(mark: dict[str, Any]) -> str:
    return f"{mark['day']} of {mark['date']}"


def _confidence(value: float | None) -> str:
    return "" if value is None else f"; in brackets bounds at {value:.0%} confidence"


def _variants(variants: list[dict[str, Any]]) -> TextTable:
    columns = (
        "variant", "precision", "target", "provider", "bytes", "score", "labels differ",
        "row µs",
    )  # fmt: skip
    rows = [
        (
            v["name"], v["precision"], v["target"], _short(v["provider"]), v["bytes"],
            _bounded(v["score"], ".4f", "≥", v["score_bound"]),
            _bounded(v["label_flips"], ".2%", "≤", v["flips_bound"]),
            v["row_us"],
        )
        for v in variants
    ]  # fmt: skip
    return TextTable(columns, rows)


def _short(provider: str) -> str:
    """``CPU`` of ``CPUExecutionProvider``: the rest is the same in every row, and JSON has it."""
    return provider.removesuffix("ExecutionProvider")


def _bounded(value: float | None, form: str, sign: str, bound: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:{form}}" + ("" if bound is None else f" ({sign} {bound:{form}})")


def _reasons(release: dict[str, Any]) -> str:
    chosen, *others = release["variants"]
    lines = [f"{chosen['name']} is the choice: {chosen['because'] or 'no reason was noted'}"]
    lines += [f"{v['name']}: {v['because'] or 'no reason was noted'}" for v in others]
    if release["not_chosen"]:
        reasons = release["not_chosen"].items()
        lines += ["", "not chosen:", *(f"- {name}: {why}" for name, why in reasons)]
    return "\n" + "\n".join(lines)
