"""``edge-hub batch`` and ``predictions``: answers by entity, computed on a schedule."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View, busy, cell, local_time, plural
from cloud_hub.cli.shared.registration import RELEASE, command, group

Job = Annotated[
    str, typer.Argument(parser=types.name, metavar="JOB", help="Name of the job in the policy.")
]
OnlyJob = Annotated[
    str | None,
    typer.Option("--job", parser=types.name, metavar="JOB", help="Where the policy has several."),
]
GenerationNumber = Annotated[
    int, typer.Argument(parser=types.whole(1), metavar="NUMBER", help="Number of the generation.")
]
OnlyGeneration = Annotated[
    int | None,
    typer.Option(
        "--generation", parser=types.whole(1), metavar="NUMBER", help="Default: what answers."
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Until it has ended; status 1 if it failed.")]
Every = Annotated[
    float,
    typer.Option(
        parser=types.duration, metavar="DURATION", help="From one moment to the next.",
        show_default="1d",
    ),
]  # fmt: skip
Entities = Annotated[list[str], typer.Argument(metavar="ENTITY...", help="Names of entities.")]
Target = Annotated[
    Path, typer.Argument(metavar="FILE", help="Ends with .parquet, .csv, .db or .sqlite.")
]
FORMATS: Final[dict[str, Literal["parquet", "csv", "sqlite"]]] = {
    ".parquet": "parquet", ".csv": "csv", ".db": "sqlite", ".sqlite": "sqlite",
}  # fmt: skip
WAIT_SECONDS: Final = 0.5


def add_commands(app: typer.Typer) -> None:
    """Add ``batch`` and ``predictions``."""
    text = "Batch jobs: answers by entity, computed on a schedule."
    actions = group(app, "batch", text, panel=RELEASE)
    command(actions, "list", example="edge-hub batch list shop")(_list)
    command(actions, "run", example="edge-hub batch run shop hotels --wait")(_run)
    command(actions, "show", example="edge-hub batch show 17")(_show)
    backfill = "edge-hub batch backfill shop hotels --since 30d --every 1d"
    command(actions, "backfill", example=backfill)(_backfill)
    command(actions, "cancel", example="edge-hub batch cancel 17 --reason 'wrong table'")(_cancel)
    command(actions, "drop", example="edge-hub batch drop 17 --reason 'wrong table'")(_drop)
    command(actions, "packs", example="edge-hub batch packs shop")(_packs)
    command(actions, "publish", example="edge-hub batch publish shop --wait")(_publish)
    command(actions, "pack", example="edge-hub batch pack shop eu.pack --share eu")(_pack)
    text = "Precomputed answers: look them up, take them along as a file."
    actions = group(app, "predictions", text, panel=RELEASE)
    command(actions, "get", example="edge-hub predictions get shop user-42")(_get)
    export = "edge-hub predictions export shop hotels hotels.parquet"
    command(actions, "export", example=export)(_export)


def _list(hub: HubAddress, model: types.Model) -> Result:
    """List the jobs of a model's policy, and their generations."""
    client = hub.client()
    jobs = client.get(f"models/{model}/batch")
    path = "models/{}/batch/{}/generations"
    generations = [r for j in jobs for r in client.get(path.format(model, j["job"]), limit=10)]
    return Result({"jobs": jobs, "generations": generations}, _list_view)


def _list_view(data: dict[str, Any]) -> View:
    jobs = [
        (
            job["job"], job["line"], (job["current"] or {}).get("id"),
            local_time((job["current"] or {}).get("valid_until")), local_time(job["next_at"]),
            job["kept"], (job["active"] or {}).get("status"),
        )
        for job in data["jobs"]
    ]  # fmt: skip
    columns = ("job", "answered by", "generation", "valid until", "next", "kept", "now")
    records = [
        (
            r["id"], r["job"], r["status"], r["cause"], r["version"], r["rows"],
            local_time(r["as_of"]), r["reason"],
        )
        for r in data["generations"]
    ]  # fmt: skip
    names = ("number", "job", "status", "cause", "version", "entities", "as of", "reason")
    return [
        TextTable(columns, jobs, empty="the policy has no batch jobs"),
        TextTable(names, records, "generations", "none"),
    ]


def _run(hub: HubAddress, model: types.Model, job: Job, wait: Wait = False) -> Result:
    """Compute a job now."""
    client = hub.client()
    record = client.post(f"models/{model}/batch/{job}/generations")
    if wait:
        with busy(f"generation {record['id']} is computed"):
            while record["status"] in ("waiting", "running"):
                time.sleep(WAIT_SECONDS)
                record = client.get(f"generations/{record['id']}")
    failed = record["status"] in ("failed", "cancelled")
    return Result(record, _record_text, status=int(failed))


def _show(hub: HubAddress, number: GenerationNumber) -> Result:
    """Show one generation: how far it is, what it read, why it failed."""
    return Result(hub.client().get(f"generations/{number}"), _record_text)


def _backfill(
    hub: HubAddress,
    model: types.Model,
    job: Job,
    since: types.SinceMonth = 30 * types.DAY,
    every: Every = types.DAY,
) -> Result:
    """Compute a job for moments in the past; those that are there stay."""
    from cloud_hub.errors import Invalid

    if every <= 0:
        raise Invalid("--every: expected more than 0")
    moments = past_moments(time.time(), since, every)
    body = json.dumps({"moments": moments}).encode()
    records = hub.client().post(f"models/{model}/batch/{job}/backfill", body)
    return Result(records, _backfill_view)


def past_moments(now: float, since: float, every: float) -> list[float]:
    """Return the moments between ``now - since`` and ``now`` that are multiples of ``every``.

    Multiples, and not steps from now: a command that is repeated asks for the same moments.
    """
    first = int((now - since) // every) + 1
    return [every * i for i in range(first, int(now // every) + 1)]


def _backfill_view(records: list[dict[str, Any]]) -> View:
    rows = [(r["id"], r["status"], local_time(r["as_of"])) for r in records]
    return TextTable(("number", "status", "as of"), rows, empty="no moments in that time")


def _cancel(hub: HubAddress, number: GenerationNumber, reason: types.NeededReason) -> Result:
    """End a generation that waits or is computed."""
    record = hub.client().post(f"generations/{number}/cancel", reason=reason)
    return Result(record, _record_text)


def _drop(hub: HubAddress, number: GenerationNumber, reason: types.NeededReason) -> Result:
    """Drop a generation; the one before answers then."""
    return Result(hub.client().post(f"generations/{number}/drop", reason=reason), _record_text)


def _packs(hub: HubAddress, model: types.Model) -> Result:
    """Show the packs of answers by entity that devices hold."""
    return Result(hub.client().get(f"models/{model}/entities"), _packs_view)


def _publish(hub: HubAddress, model: types.Model, wait: Wait = False) -> Result:
    """Publish the newest generation for devices, even if that was refused before."""
    client = hub.client()
    status = client.post(f"models/{model}/entities")
    if wait:
        with busy("packs are made"):
            while status["due"] is not None and not status["refused"]:
                time.sleep(WAIT_SECONDS)
                status = client.get(f"models/{model}/entities")
    return Result(status, _packs_view, status=int(bool(status["refused"])))


def _packs_view(status: dict[str, Any]) -> View:
    index = status["index"] or {"shares": {}}
    rows = [
        (
            value or "all", share["entities"], share["file"]["length"],
            (share["delta"] or {}).get("length"), share["file"]["sha256"],
        )
        for value, share in sorted(index["shares"].items())
    ]  # fmt: skip
    columns = (index.get("attribute") or "share", "entities", "bytes", "delta bytes", "sha256")
    title = "" if status["index"] is None else (
        f"{index['job']}, generation {index['generation']} by {index['version']}, computed "
        f"{local_time(index['computed_at'])}, valid until {local_time(index['valid_until'])}"
    )  # fmt: skip
    table = TextTable(columns, rows, title, "devices hold no answers by entity")
    if status["due"] is None:
        return table
    why = status["refused"] or "its packs are being made"
    return [table, f"generation {status['due']} is not published: {why}"]


def _pack(
    hub: HubAddress,
    model: types.Model,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="To look into with edge pack.")],
    share: Annotated[str, typer.Option("--share", metavar="VALUE", help="Of the attribute.")] = "",
) -> Result:
    """Save a pack that devices hold."""
    from cloud_hub.errors import NotFound

    client = hub.client()
    index = client.get(f"models/{model}/entities")["index"] or {"shares": {}}
    found = index["shares"].get(share)
    if found is None:
        known = ", ".join(sorted(index["shares"])[:20]) or "none"
        raise NotFound(f"{model}: expected the share of {known}, got {share!r:.60}")
    sha256 = found["file"]["sha256"]
    length = client.save(f"targets/packs/{model}/{sha256}.{sha256}.pack", file)
    data = {"file": str(file), "bytes": length, "entities": found["entities"]}
    return Result(data, lambda d: f"wrote {d['file']}, {d['entities']:,} entities")


def _record_text(record: dict[str, Any]) -> str:
    lines = [
        f"{record['model']} {record['job']}: generation {record['id']} is {record['status']}"
        f"{'; ' + record['reason'] if record['reason'] else ''}",
        f"  {plural(record['rows'], 'entity', 'entities')}, parts {record['done']} of "
        f"{record['partitions'] or 'unknown'}, answered by {record['line']} {record['version']}",
        f"  asked for {local_time(record['as_of'])} ({record['cause']}, {record['actor']})",
        f"  source {record['source'] or 'not read yet'}",
    ]
    if record["computed_at"]:
        took = record["computed_at"] - (record["started_at"] or record["computed_at"])
        lines.append(
            f"  computed {local_time(record['computed_at'])} in {took:.1f} s with "
            f"{record['peak_mb']} MB, valid until {local_time(record['valid_until'])}"
        )
    return "\n".join(lines)


def _get(hub: HubAddress, model: types.Model, entity: Entities, job: OnlyJob = None) -> Result:
    """Look entities up: the answer, where it comes from, and how old it is."""
    body = {"entities": list(entity), **({"job": job} if job else {})}
    answers = hub.client().post(f"models/{model}/predictions", json.dumps(body).encode())
    missing = any(answer["source"] == "none" for answer in answers)
    return Result(answers, _answers_view, status=int(missing))


def _answers_view(answers: list[dict[str, Any]]) -> View:
    about = {"entity", "job", "source", "version", "computed_at", "valid_until", "generation"}
    rows = [
        (
            answer["entity"], answer["source"], answer["version"],
            local_time(answer["computed_at"]),
            cell({name: value for name, value in answer.items() if name not in about}),
        )
        for answer in answers
    ]  # fmt: skip
    return TextTable(("entity", "source", "version", "computed", "answer"), rows)


def _export(
    hub: HubAddress, model: types.Model, job: Job, file: Target, generation: OnlyGeneration = None
) -> Result:
    """Write all answers of a job to a file."""
    from cloud_hub.errors import Invalid

    form = FORMATS.get(file.suffix.lower())
    if form is None:
        raise Invalid(f"{file}: expected a name that ends with {', '.join(FORMATS)}")
    path = f"models/{model}/batch/{job}/export"
    length = hub.client().save(path, file, format=form, generation=generation)
    at = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    data = {"file": str(file), "bytes": length, "format": form, "at": at}
    return Result(data, lambda d: f"wrote {d['file']}, {d['bytes']:,} bytes of {d['format']}")
