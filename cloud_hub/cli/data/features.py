"""``edge-hub features``: sets of features by entity, joined in trainings and on devices."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import (
    Result,
    TextTable,
    View,
    busy,
    local_time,
    pairs,
    plural,
    warn,
)
from cloud_hub.cli.shared.registration import RELEASE, command, group

PATIENT_SECONDS: Final = 3_600.0
"""For a join of many labels, or a query that takes its time."""

COVERAGE: Final = "X-Feature-Coverage"
_COVERAGE: Final = ("set", "rows", "defaults", "stale")

Set = Annotated[
    str, typer.Argument(parser=types.name, metavar="SET", help="Name of the set of features.")
]
Rows = Annotated[Path, typer.Argument(metavar="FILE", help="Parquet, or CSV with a header.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Parquet file to write.")]
AsOf = Annotated[
    str, typer.Option("--as-of", metavar="COLUMN", help="Column with the moment of each label.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SET", help="Only these sets; default all of these entities."),
]
Events = Annotated[
    Path | None,
    typer.Option(
        "--events", metavar="FILE", help="Log of events (Parquet or CSV), for a set of sessions."
    ),
]
Ages = Annotated[bool, typer.Option("--ages", help="Also how old the values were, in seconds.")]
Ago = Annotated[
    float | None,
    typer.Option(
        "--ago", parser=types.duration, metavar="DURATION", help="As of so long ago, such as 7d."
    ),
]
Defaults = Annotated[
    list[str] | None,
    typer.Option("--default", metavar="NAME=VALUE", help="Of a column, for other entities."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Forget all entities of before.")]
Expiry = Annotated[
    float | None,
    typer.Option(
        "--hours",
        parser=types.amount(types.LONGEST_HOURS),
        metavar="HOURS",
        help="After which devices stop using them.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add ``features``."""
    text = "Features by entity: declared in YAML, kept with their history, joined as of a moment."
    actions = group(app, "features", text, panel=RELEASE)
    command(actions, "apply", example="edge-hub features apply user_orders.yaml")(_apply)
    command(actions, "list", example="edge-hub features list --json")(_list)
    command(actions, "show", example="edge-hub features show user_orders")(_show)
    command(actions, "import", example="edge-hub features import user_orders rows.parquet")(_import)
    command(actions, "compute", example="edge-hub features compute user_orders --ago 7d")(_compute)
    join = "edge-hub features join labels.parquet --as-of time --out train.parquet"
    command(actions, "join", example=join)(_join)
    command(actions, "export", example="edge-hub features export user_orders -o all.parquet")(
        _export
    )
    command(actions, "skew", example="edge-hub features skew shop")(_skew)
    put = "edge-hub features put shop users.csv --default orders=0"
    command(actions, "put", example=put)(_put)
    command(actions, "status", example="edge-hub features status shop")(_status)


def _apply(hub: HubAddress, file: types.YamlFile) -> Result:
    """Declare a set, or change one."""
    from cloud_hub.features.declaration import parse_set
    from cloud_hub.text.yaml import text_of

    raw = file.read_bytes()
    parse_set(text_of(raw, str(file)), str(file))  # mistakes with the lines of this file
    answer = hub.client().response("PUT", "features", raw).json()
    for text in answer["warnings"]:
        warn(text)
    return Result(answer, lambda a: f"{a['ref']}: declared")


def _list(hub: HubAddress) -> Result:
    """Show all sets."""
    return Result(hub.client().get("features"), _sets_view)


def _show(hub: HubAddress, name: Set) -> Result:
    """Show a set: what is declared, its rows, and who uses it."""
    return Result(hub.client().get(f"features/{name}"), _set_view)


def _import(hub: HubAddress, name: Set, file: Rows) -> Result:
    """Take rows into a set, and give the newest values to devices."""
    raw = _checked_rows(file)
    with busy(f"taking {file} in"):
        answer = hub.client(timeout=PATIENT_SECONDS).post(
            f"features/{name}/rows", raw, source=file.name
        )
    return _taken(answer)


def _compute(hub: HubAddress, name: Set, ago: Ago = None) -> Result:
    """Ask the declared query or function for rows, now or as of an earlier moment."""
    as_of = None if ago is None else time.time() - ago
    with busy(f"computing {name}"):
        answer = hub.client(timeout=PATIENT_SECONDS).post(f"features/{name}/compute", as_of=as_of)
    return _taken(answer)


def _join(
    hub: HubAddress,
    labels: Rows,
    as_of: AsOf,
    out: Out,
    sets: Sets = None,
    ages: Ages = False,
    events: Events = None,
) -> Result:
    """Write labels with what serving would have had at their moments."""
    from edge_sdk.system.files import write_atomic

    raw = _checked_rows(labels)
    query = {"as_of": as_of, "ages": ages or None}
    with busy(f"joining {labels}"):
        if events is None:
            rows, content = _joined(hub, raw, sets=sets or None, **query)
            write_atomic(out, content)
        else:
            rows = _joined_with_events(hub, raw, events, out, sets or [], query)
    data = {"file": str(out), "sets": [dict(zip(_COVERAGE, row, strict=True)) for row in rows]}
    return Result(data, lambda d: [TextTable(_COVERAGE, rows), f"wrote {d['file']}"])


def _joined(hub: HubAddress, raw: bytes, **query: Any) -> tuple[list[tuple[Any, ...]], bytes]:
    """Return what labels got of each set, and the file that the hub made of them."""
    answer = hub.client(timeout=PATIENT_SECONDS).response("POST", "features/join", raw, **query)
    counts = dict(each.split("=") for each in answer.headers.get(COVERAGE, "").split())
    return [(ref, *map(int, text.split("/"))) for ref, text in counts.items()], answer.content


def _joined_with_events(
    hub: HubAddress, raw: bytes, events: Path, out: Path, sets: list[str], query: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """Write labels joined by the hub with sets of rows, and here with those of sessions."""
    import io

    import pyarrow.parquet as pq

    from cloud_hub.cli.data.session_join import chosen_sets, join_sessions
    from cloud_hub.features.row_files import read_rows, write_parquet

    rows: list[tuple[Any, ...]] = []
    known = hub.client().get("features")
    texts = {each["declared"]["entity"] for each in known}
    table = read_rows(raw, "labels", texts)
    chosen = chosen_sets(known, table.column_names, sets)
    if chosen.with_rows:
        rows, content = _joined(hub, raw, sets=chosen.with_rows, **query)
        table = pq.read_table(io.BytesIO(content))
    table, coverage = join_sessions(table, chosen.of_sessions, events, query["as_of"])
    write_parquet(table, out)
    return [*rows, *((c.ref, c.rows, c.defaulted, c.stale) for c in coverage)]


def _export(hub: HubAddress, name: Set, out: Out) -> Result:
    """Write all rows of a set to a Parquet file; of sessions, what devices are given (JSON)."""
    from edge_sdk.contract.codec import encode
    from edge_sdk.system.files import write_atomic

    source = hub.client().get(f"features/{name}")["declared"]["source"]
    if source is not None and source["session"] is not None:
        write_atomic(out, encode(hub.client().get(f"features/{name}/sessions")))
        return Result({"file": str(out)}, lambda d: f"wrote {d['file']}")
    write_atomic(out, hub.client(timeout=PATIENT_SECONDS).fetch(f"features/{name}/rows"))
    return Result({"file": str(out)}, lambda d: f"wrote {d['file']}")


def _skew(hub: HubAddress, model: types.Model) -> Result:
    """Compare what devices have with what trainings see, for the same entities."""
    report = hub.client(timeout=PATIENT_SECONDS).post(f"models/{model}/features/skew")
    return Result(report, _skew_view)


def _put(
    hub: HubAddress,
    model: types.Model,
    file: Annotated[Path, typer.Argument(metavar="CSV", help="The entity, then columns.")],
    default: Defaults = None,
    replace: Replace = False,
    hours: Expiry = None,
) -> Result:
    """Give a model features by hand, without a declared set and its history."""
    # The file is read and checked here: a mistake in line 1,000,000 is told before the upload.
    from cloud_hub.features.table import parse_defaults, read_csv
    from edge_sdk.contract.codec import encode

    table = read_csv(file, parse_defaults(default or []))
    expires = int(time.time() + 3_600 * hours) if hours else None
    path, raw = f"models/{model}/features", encode(table)
    hub.client().post(path, raw, expires=expires, replace=replace or None)
    return _status(hub, model)


def _status(hub: HubAddress, model: types.Model) -> Result:
    """Show the features that devices of a model are given."""
    return Result(hub.client().get(f"models/{model}/features"), _features_view)


def _checked_rows(file: Path) -> bytes:
    """Return a file that can be read as rows; raises Invalid."""
    from cloud_hub.errors import Invalid
    from cloud_hub.features.row_files import read_rows

    try:
        raw = file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file}: cannot read it; {error.strerror}") from error
    read_rows(raw, str(file))
    return raw


def _taken(answer: dict[str, Any]) -> Result:
    for text in answer["warnings"]:
        warn(text)
    same = "" if answer["new"] else "; the same rows were there already"
    return Result(answer, lambda a: f"{a['ref']}: {plural(a['rows'], 'row')}{same}")


def _sets_view(sets: list[dict[str, Any]]) -> View:
    columns = ("set", "entity", "features", "rows", "newest", "stale", "models", "owner")
    rows = [
        (
            *(each["ref"], each["declared"]["entity"], len(each["declared"]["features"])),
            *(each["rows"], local_time(each["until"]), each["stale"]),
            *(each["declared"]["models"], each["declared"]["owner"]),
        )
        for each in sets
    ]
    return TextTable(columns, rows, empty="no set is declared; edge-hub features apply FILE")


def _set_view(status: dict[str, Any]) -> View:
    declared = status["declared"]
    lines = [f"{status['ref']}: {declared['description'] or 'features'} of {declared['entity']}"]
    lines.append(f"  owner: {declared['owner']}")
    session = (declared["source"] or {}).get("session")
    if session is not None:
        lines.append(f"  computed on devices, of events with {pairs(session['fields'])}")
        lines.append(f"  a session is over after {session['idle_seconds']:,.0f} s without an event")
        lines.append(f"  given with the plans of {', '.join(declared['models']) or 'no model'}")
        # Which versions serve it devices know: only trainings are noted.
        uses = [_uses_table(status)] if status["uses"] else []
        return ["\n".join(lines), _running_table(declared), *uses]
    lines.append(f"  rows: {status['rows']:,}, {status['bytes']:,} bytes")
    lines.append(f"  from {local_time(status['since'])} to {local_time(status['until'])}")
    if status["stale"]:
        lines.append("  stale: the newest row is older than the declared freshness")
    features = [
        (f["name"], f["dtype"], f["default"], f["description"]) for f in declared["features"]
    ]
    return [
        "\n".join(lines),
        TextTable(("feature", "dtype", "default", "description"), features),
        _uses_table(status),
    ]


def _running_table(declared: dict[str, Any]) -> TextTable:
    """Return the features of sessions with their terms."""
    rows = []
    for each in declared["features"]:
        terms = {
            "window": each["window_seconds"],
            "half-life": each["half_life_seconds"],
            "nth": each["nth"] if each["kind"] == "last" else None,
            "up to": each["most"] if each["kind"] == "distinct" else None,
            **each["where"],
        }
        told = pairs({name: value for name, value in terms.items() if value is not None})
        of = (each["kind"], each["field"], told)
        rows.append((each["name"], each["dtype"], *of, each["default"], each["description"]))
    columns = ("feature", "dtype", "kind", "field", "terms", "default", "description")
    return TextTable(columns, rows)


def _uses_table(status: dict[str, Any]) -> TextTable:
    uses = [
        (
            f"{u['model']} {u['version']}",
            u["kind"],
            f"{u['name']}@{u['set_version']}",
            local_time(u["at"]),
        )
        for u in status["uses"]
    ]
    return TextTable(("release", "use", "set", "since"), uses, empty="no release uses it yet")


def _skew_view(report: dict[str, Any]) -> View:
    rows = [
        (f["feature"], f["compared"], f["different"], f["alarming"], f["example"])
        for f in report["features"]
    ]
    title = f"{report['model']} {report['version']}: devices against trainings"
    if not report["settled"]:
        title += "; rows are on their way to devices, look again in a minute"
    columns = ("feature", "entities", "different", "alarm", "entity, served, trained on")
    return TextTable(columns, rows, title)


def _features_view(status: dict[str, Any]) -> View:
    lines = [f"{status['model']}: {plural(status['entities'], 'entity', 'entities')}"]
    lines.append(f"  sets: {', '.join(status['sets']) or 'none, put by hand'}")
    lines.append(f"  defaults: {pairs(status['defaults']) or 'none'}")
    lines.append(f"  updated: {local_time(status['updated_at'])}")
    if status["expires"]:
        lines.append(f"  not used after: {local_time(status['expires'])}")
    rows = [(v, file["bytes"], file["sha256"][:12]) for v, file in status["files"].items()]
    files = TextTable(("version", "bytes", "sha256"), rows, empty="no plan hands them out yet")
    return ["\n".join(lines), files]
