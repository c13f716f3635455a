"""The model card: what a release is, on what it was measured and where it must not be trusted.

Markdown, written from what the conversion knows. Source of the form: M. Mitchell et al., "Model
cards for model reporting", FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from converters.documents.facts import ReleaseFacts, name_of
from edge_sdk.contract.certificate import GroupResult, VariantResult
from edge_sdk.contract.manifest import OutputSpec, Task, TensorSpec
from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile, TensorKind

SHOWN: Final = 40
"""Features, classes or categories of which each is shown; of more only these and their number."""

UNKNOWN: Final = "not stated"


def model_card(facts: ReleaseFacts) -> str:
    """Return the card as Markdown that ends with a line break."""
    manifest = facts.manifest
    parts = [
        f"# {manifest.model} {manifest.version}",
        _text(facts.purpose) or "Nobody said what this model is for (`purpose=`, `--purpose`).",
        _overview(facts),
        "## Limits of use",
        "\n".join(f"- {_text(limit)}" for limit in facts.limits()),
        "## Data",
        _data(facts),
        *_watched(facts.profile),
        *_features(facts.profile),
        "## Scores",
        _scores(facts),
        *_groups(facts.certificate.groups, facts.score_name),
        "## Files",
        _files(facts),
        *_choice(facts),
        "## Made with",
        _made_with(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _overview(facts: ReleaseFacts) -> str:
    manifest = facts.manifest
    signature, lineage = manifest.signature, manifest.lineage
    begun = f"continues {lineage.parent}" if lineage.parent else "from scratch"
    rows = [
        ("Task", _TASKS[manifest.task]),
        ("Model", _model(facts)),
        ("Licence", manifest.licence or UNKNOWN),
        ("Training", f"{lineage.mode}, {begun}"),
        ("Inputs", ", ".join(map(_tensor, signature.inputs))),
        ("Outputs", ", ".join(map(_output, signature.outputs))),
    ]
    if signature.classes:
        rows.append(("Classes", _some([str(label) for label in signature.classes])))
    if manifest.task == "multilabel":
        rows.append(("Given", f"every class with a score of at least {signature.threshold:g}"))
    rows += [
        (title, _cell(manifest.training[name]))
        for name, title in _NOTES.items()
        if name in manifest.training
    ]
    return _table(("", ""), rows)


_TASKS: Final[dict[Task, str]] = {
    "classification": "classification: one class for each input",
    "multilabel": "multilabel: any number of classes for each input",
    "regression": "regression: numbers",
    "generic": "outputs by name, whose meaning the release does not say",
}

_NOTES: Final = {
    "preprocessing": "Preprocessing",
    "parity": "Exported file",
    "producer": "File written by",
}
"""Entries of ``manifest.training`` that the card repeats, with their titles."""


def _model(facts: ReleaseFacts) -> str:
    kind = facts.manifest.training.get("estimator", UNKNOWN)
    kind = {"onnx": "an ONNX file; of which kind was not stated"}.get(kind, kind)
    made = ", ".join(f"{name} {version}" for name, version in facts.frameworks.items())
    return f"{_cell(kind)} ({made})" if made else _cell(kind)


def _output(spec: OutputSpec) -> str:
    meaning = {"embedding": "an inner vector, for monitoring only", "other": "no stated meaning"}
    return f"{_tensor(spec)} ({meaning.get(spec.role, spec.role)})"


def _tensor(spec: TensorSpec | OutputSpec) -> str:
    shape = ", ".join("any" if size is None else str(size) for size in spec.shape)
    return f"`{spec.name}` {spec.dtype} [{shape}]"


def _data(facts: ReleaseFacts) -> str:
    lineage = facts.manifest.lineage
    what = "Training data" if facts.data_given else "Check rows (no training data was given)"
    fingerprint = lineage.fingerprint or UNKNOWN
    return f"{what}: {lineage.rows:,} rows, SHA-256 `{fingerprint}`."


def _watched(profile: ReferenceProfile) -> list[str]:
    """Say what the rows of the next table are, of inputs that are no table."""
    parts = [
        f"`{watched.tensor}` holds {_HOLDS[watched.kind]}: below are statistics of each whole "
        "input, and not its values."
        for watched in profile.watched
    ]
    if profile.embedding is not None:
        parts.append(
            f"`{profile.embedding.output}` is an inner vector of the network; its directions are "
            "those along which it varies most."
        )
    return [" ".join(parts)] if parts else []


_HOLDS: Final[dict[TensorKind, str]] = {
    "image": "pictures",
    "audio": "sound",
    "tokens": "numbers of tokens",
    "series": "series over time",
    "text": "text",
    "tensor": "numbers",
}


def _features(profile: ReferenceProfile) -> list[str]:
    features = profile.features
    if not features:
        return []
    what = "Statistic" if profile.watched else "Feature"
    rows = [(f"`{_cell(f.name)}`", _range(f)) for f in features[:SHOWN]]
    table = _table((what, f"Values in the reference profile ({profile.rows:,} rows)"), rows)
    more = len(features) - SHOWN
    return [table, f"… and {more:,} more."] if more > 0 else [table]


def _range(feature: FeatureProfile) -> str:
    if feature.edges is not None:
        low, high = feature.edges[0], feature.edges[-1]
        values = f"{low:g} to {high:g}" if low < high else f"always {low:g}"
    else:
        values = _some(list(feature.categories or ()))
    missing = feature.counts[-2]
    return f"{values}; {missing:,} missing" if missing else values


def _scores(facts: ReleaseFacts) -> str:
    chosen, certificate = facts.chosen, facts.certificate
    original = certificate.original_score
    rows = [
        (f"{facts.score_name} of the model itself", _number(original)),
        (f"{facts.score_name} of the file", _bounded(chosen.score, chosen.score_bound, "≥")),
        *_flips(chosen),
        ("Largest difference of a number", f"{chosen.max_difference:.3g}"),
        ("Check rows", f"{certificate.rows:,}"),
    ]
    table = _table(("", ""), rows)
    if chosen.flips_bound is None or certificate.confidence is None:
        return table
    return f"{table}\n\nIn brackets: exact bounds at {certificate.confidence:.0%} confidence."


def _flips(chosen: VariantResult) -> list[tuple[str, str]]:
    if chosen.flips_bound is None and chosen.label_flips == 0:
        return []  # answers that are no labels
    return [("Labels that differ", _share(chosen.label_flips, chosen.flips_bound))]


def _groups(groups: Sequence[GroupResult], score: str) -> list[str]:
    if not groups:
        return []
    head = ("Group", "Check rows", f"{score} of the model", f"{score} of the file", "Labels differ")
    rows = [
        (
            _cell(name_of(g)),
            f"{g.rows:,}",
            _number(g.original_score),
            _bounded(g.score, g.score_bound, "≥"),
            _share(g.label_flips, g.flips_bound),
        )
        for g in groups
    ]
    return [_table(head, rows)]


def _files(facts: ReleaseFacts) -> str:
    measured = {row.name: row for row in facts.certificate.variants}
    head = ("Variant", "File", "Bytes", "Computes in", "For", "One row, µs")
    rows = [
        (
            v.name,
            f"`{v.model}`",
            f"{facts.manifest.files[v.model].length:,}",
            v.precision,
            v.provider if v.target == "any" else f"{v.target}, {v.provider}",
            _row_time(measured.get(v.name)),
        )
        for v in facts.manifest.variants
    ]
    return _table(head, rows)


def _row_time(row: VariantResult | None) -> str:
    return "–" if row is None else f"{row.row_us:,.1f}"


def _choice(facts: ReleaseFacts) -> list[str]:
    certificate = facts.certificate
    if not certificate.because:
        return []
    others = {**certificate.not_chosen}
    lines = [f"{certificate.chosen} was chosen: {certificate.because}."]
    lines += [f"- {name} was not: {why}." for name, why in others.items()]
    return ["\n".join([lines[0], "", *lines[1:]]) if others else lines[0]]


def _made_with(facts: ReleaseFacts) -> str:
    certificate = facts.certificate
    tools = ", ".join(f"{name} {version}" for name, version in sorted(certificate.tools.items()))
    machine = ", ".join(certificate.machine.values())
    return f"{tools}; {machine}.\n\n    {certificate.repeat}"


def _some(items: Sequence[str]) -> str:
    shown = ", ".join(_cell(item) for item in items[:SHOWN])
    more = len(items) - SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _bounded(value: float | None, bound: float | None, sign: str) -> str:
    return _number(value) + ("" if bound is None else f" ({sign} {bound:.4f})")


def _share(share: float, bound: float | None) -> str:
    return f"{share:.2%}" + ("" if bound is None else f" (≤ {bound:.2%})")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    """A text of the caller's within a table: no line and no column of it ends there."""
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


def _text(text: str) -> str:
    """A text of the caller's as one paragraph."""
    return " ".join(text.split())
