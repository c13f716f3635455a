"""``edge-hub data``: versions of the rows that a model is trained and judged on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View, local_time, note, plural, warn
from cloud_hub.cli.shared.registration import RETRAIN, command, group

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        parser=types.name,
        help="holdout: versions are compared on it; catalogue: a pack answers it; train: trained "
        "on; or a name of yours.",
    ),
]
Ref = Annotated[
    str, typer.Argument(metavar="NAME@N", help="A version: train@3, train@a-tag; train: newest.")
]
Before = Annotated[str, typer.Argument(metavar="BEFORE", help="The version before: train@2.")]
After = Annotated[str, typer.Argument(metavar="AFTER", help="The version after: train@3.")]
Only = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Only the versions of this dataset.")
]
Rows = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV, Parquet, or .npz with X and, labelled, y.")
]
Against = Annotated[
    str | None,
    typer.Option("--before", metavar="NAME@N", help="Compare with it; default: its parent."),
]
Tag = Annotated[str, typer.Argument(metavar="TAG", parser=types.name, help="Another name.")]
To = Annotated[
    Path, typer.Argument(metavar="FILE", help="To write: .parquet, .csv, or .npz of numbers.")
]
Label = Annotated[
    str | None,
    typer.Option("--label", metavar="COLUMN", help="Column of the labels; default: y."),
]
Time = Annotated[
    str | None, typer.Option("--time", metavar="COLUMN", help="Column of the time of each row.")
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="COLUMN", help="Column of each row's device.")
]
Source = Annotated[
    str, typer.Option("--source", metavar="TEXT", help="Where it is from; default: the file.")
]


def add_commands(app: typer.Typer) -> None:
    """Add ``data``."""
    text = "Versions of the rows that a model is trained and judged on."
    actions = group(app, "data", text, panel=RETRAIN)
    add = "edge-hub data add digits holdout held-out.parquet --label digit"
    command(actions, "add", example=add)(_add)
    command(actions, "list", example="edge-hub data list digits train")(_list)
    command(actions, "show", example="edge-hub data show digits train@3")(_show)
    command(actions, "diff", example="edge-hub data diff digits train@2 train@3")(_diff)
    validate = "edge-hub data validate digits train@3 --before train@2"
    command(actions, "validate", example=validate)(_validate)
    command(actions, "tag", example="edge-hub data tag digits train@3 approved")(_tag)
    export = "edge-hub data export digits train@3 train.parquet"
    command(actions, "export", example=export)(_export)


def _add(
    hub: HubAddress,
    model: types.Model,
    name: Name,
    file: Rows,
    label: Label = None,
    time: Time = None,
    device: Device = None,
    source: Source = "",
) -> Result:
    """Give rows to a model, as the next version of a dataset."""
    client = hub.client()
    # Read here: a mistake in line 1,000,000 is told before the upload, which is Parquet then.
    from cloud_hub.data.dataset import Dataset

    data = Dataset.read(file, label=label, time=time, device=device)
    path = f"models/{model}/datasets/{name}"
    answer = client.post(path, data.to_bytes(), source=source or file.name)
    if "warning" in answer:
        warn(answer["warning"])
    return Result(answer, lambda a: f"{model}: {plural(a['rows'], 'row')} for {_ref(a)}")


def _list(hub: HubAddress, model: types.Model, name: Only = None) -> Result:
    """List the versions of the datasets of a model."""
    return Result(hub.client().get(f"models/{model}/datasets", name=name), _table)


def _show(hub: HubAddress, model: types.Model, ref: Ref) -> Result:
    """Show one version: schema, time range, statistics, what was made with it."""
    return Result(hub.client().get(f"models/{model}/datasets/{ref}"), _shown)


def _diff(hub: HubAddress, model: types.Model, before: Before, after: After) -> Result:
    """Show what is another in a version than in the one before."""
    path = f"models/{model}/datasets/{after}/diff"
    return Result(hub.client().get(path, before=before), _changes)


def _validate(hub: HubAddress, model: types.Model, ref: Ref, before: Against = None) -> Result:
    """Make the checks that a run makes before it trains; exit status 1 if one fails."""
    answer = hub.client().get(f"models/{model}/datasets/{ref}/validation", before=before)
    return Result(answer, lambda a: validation_text(ref, a), status=0 if answer["ok"] else 1)


def _tag(hub: HubAddress, model: types.Model, ref: Ref, tag: Tag) -> Result:
    """Give a version another name; another version may have had it."""
    answer = hub.client().post(f"models/{model}/datasets/{ref}/tags/{tag}")
    return Result(answer, lambda a: f"{model}: {_ref(a)} is {a['name']}@{tag}")


def _export(hub: HubAddress, model: types.Model, ref: Ref, file: To) -> Result:
    """Write the rows of a version to a file."""
    from cloud_hub.data.writing import FORMATS
    from cloud_hub.errors import Invalid
    from edge_sdk.system.files import write_atomic

    suffix = file.suffix.removeprefix(".")
    if suffix not in FORMATS:
        raise Invalid(f"{file}: expected a name that ends in .{', .'.join(FORMATS)}")
    raw = hub.client().fetch(f"models/{model}/datasets/{ref}/rows", format=suffix)
    try:
        write_atomic(file, raw)
    except OSError as error:
        raise Invalid(f"{file}: cannot be written; {error.strerror}") from error
    note(f"{ref} is in {file}")
    return Result({"file": str(file), "bytes": len(raw)}, lambda a: f"{a['bytes']:,} bytes")


def validation_text(ref: str, report: dict[str, Any]) -> str:
    """Return a report of a validation as lines."""
    checks, findings = report["checks"], report["findings"]
    skipped = [check for check in checks if check["skipped"]]
    against = f" against {report['before']}" if report["before"] else ""
    failed = sum(finding["level"] == "fails" for finding in findings)
    lines = [
        f"{ref}: {plural(report['rows'], 'row')} of {report['columns']} features{against}: "
        f"{plural(len(checks) - len(skipped), 'check')}, {failed} failed, "
        f"{len(findings) - failed} told"
    ]
    lines += [f"  {f['level']}: {f['check']}: {f['text']}" for f in findings]
    lines += [f"  not made: {check['check']}, {check['skipped']}" for check in skipped]
    return "\n".join(lines)


def _ref(record: dict[str, Any]) -> str:
    return f"{record['name']}@{record['number']}"


def _table(records: list[dict[str, Any]]) -> TextTable:
    columns = ("dataset", "rows", "columns", "added", "fingerprint", "tags", "source")
    rows = [
        (
            _ref(r), r["rows"], len(r["columns"]), local_time(r["added_at"]),
            r["fingerprint"][:12], r["tags"], r["source"],
        )
        for r in records
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no datasets; edge-hub data add MODEL NAME FILE")


def _shown(record: dict[str, Any]) -> View:
    range_ = "the rows have no time"
    if record["since"] is not None:
        range_ = f"from {local_time(record['since'])} to {local_time(record['until'])}"
    parent = f"{record['name']}@{record['parent']}" if record["parent"] else "none"
    made = [f"{version} ({', '.join(uses)})" for version, uses in record["versions"].items()]
    lines = [
        f"{record['model']}: {_ref(record)}, {plural(record['rows'], 'row')}, {range_}",
        f"  fingerprint {record['fingerprint']}",
        f"  added {local_time(record['added_at'])} by {record['actor'] or '-'}, from "
        f"{record['source'] or 'nobody said where'}; parent {parent}",
        f"  tags: {', '.join(record['tags']) or 'none'}; versions of the model: "
        f"{', '.join(made) or 'none yet'}",
    ]
    return ["\n".join(lines), _columns(record)]


def _columns(record: dict[str, Any]) -> TextTable:
    roles = {column["name"]: column["role"] for column in record["columns"]}
    rows = [
        (
            s["name"], s["kind"], roles.get(s["name"]) or "feature", s["missing"], s["distinct"],
            s["minimum"], s["maximum"], s["mean"], s["values"][:3],
        )
        for s in (record["statistics"] or {"columns": []})["columns"]
    ]  # fmt: skip
    names = ("column", "kind", "role", "missing", "distinct", "least", "most", "mean", "values")
    return TextTable(names, rows, empty="no statistics: its rows were deleted")


def _changes(diff: dict[str, Any]) -> View:
    before, after = diff["rows"]
    title = f"{diff['before']} to {diff['after']}: {before:,} to {after:,} rows"
    if diff["same"]:
        return f"{title}, the same content"
    rows = [(c["name"], c["change"], c["before"], c["after"]) for c in diff["columns"]]
    return TextTable(
        ("column", "change", "before", "after"), rows, title=title, empty="no column differs"
    )
