"""``edge-hub runs``: queue, steps and logs of runs; resumed, repeated, compared, overridden."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from cloud_hub.cli.data.datasets import validation_text
from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, local_time, note, pairs
from cloud_hub.cli.shared.registration import RETRAIN, command, group
from cloud_hub.runs.steps.names import STEPS

Mode = Annotated[
    Literal["stateful", "stateless"] | None,
    typer.Option(help="Fine-tune the parent, or train from scratch; default: as the policy."),
]
Step = Annotated[
    str | None,
    typer.Option("--step", metavar="STEP", help=f"One step alone: {', '.join(STEPS)}."),
]
Begin = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="STEP",
        help=f"Begin there: {', '.join(STEPS)}; default: the first that failed or has changed.",
    ),
]
Attempt = Annotated[
    int | None,
    typer.Option(parser=types.whole(1), metavar="NUMBER", help="Attempt; default: the last."),
]
Other = Annotated[
    int, typer.Argument(parser=types.whole(1), metavar="OTHER", help="Number of the other run.")
]
All = Annotated[bool, typer.Option("--all", help="Also what is the same in both.")]
Tail = Annotated[
    int | None,
    typer.Option(parser=types.whole(1), metavar="LINES", help="The last lines only."),
]


def add_commands(app: typer.Typer) -> None:
    """Add ``runs``."""
    text = "Retraining runs: queue, logs, override of the gate."
    actions = group(app, "runs", text, panel=RETRAIN)
    command(actions, "list", example="edge-hub runs list digits")(_list)
    command(actions, "show", example="edge-hub runs show 7")(_show)
    start = "edge-hub runs start digits --mode stateless --reason 'new labels'"
    command(actions, "start", example=start)(_start)
    command(actions, "steps", example="edge-hub runs steps 7")(_steps)
    command(actions, "logs", example="edge-hub runs logs 7 --step convert --tail 20")(_logs)
    command(actions, "resume", example="edge-hub runs resume 7 --from convert")(_resume)
    command(actions, "compare", example="edge-hub runs compare 7 9")(_compare)
    command(actions, "repeat", example="edge-hub runs repeat 7")(_repeat)
    command(actions, "cancel", example="edge-hub runs cancel 7 --reason 'wrong data'")(_cancel)
    override = "edge-hub runs override 7 --reason 'the holdout is outdated'"
    command(actions, "override", example=override)(_override)
    command(actions, "holdout", example="edge-hub runs holdout digits")(_holdout)


def _list(hub: HubAddress, model: types.Model) -> Result:
    """List every run with its causes and its gate."""
    return Result(hub.client().get(f"models/{model}/runs"), _runs_table)


def _show(hub: HubAddress, number: types.RunNumber) -> Result:
    """Show one run: state, gate, and from what its training was kept."""
    return Result(hub.client().get(f"runs/{number}"), _run_text)


def _start(
    hub: HubAddress, model: types.Model, mode: Mode = None, reason: types.Reason = "by hand"
) -> Result:
    """Ask for a run now."""
    return Result(hub.client().post(f"models/{model}/runs", mode=mode, reason=reason), _run_line)


def _steps(hub: HubAddress, number: types.RunNumber, attempt: Attempt = None) -> Result:
    """Show the steps of a run: how each ended, how long it took, what it made."""
    return Result(hub.client().get(f"runs/{number}/steps", attempt=attempt), _steps_table)


def _resume(
    hub: HubAddress, number: types.RunNumber, begin: Begin = None, reason: types.Reason = "by hand"
) -> Result:
    """Take up a run that failed, was rejected or cancelled; earlier steps are not done again."""
    answer = hub.client().post(f"runs/{number}/resume", step=begin, reason=reason)
    return Result(answer, _run_line)


def _compare(
    hub: HubAddress, number: types.RunNumber, other: Other, everything: All = False
) -> Result:
    """Show two runs side by side: parameters, data, code, figures, artefacts."""
    answer = hub.client().get(f"runs/{number}/comparison/{other}")
    return Result(answer, lambda a: _comparison_table(a, everything))


def _repeat(hub: HubAddress, number: types.RunNumber) -> Result:
    """Make a run once more from its data and code, to see that the same bytes come out."""
    return Result(hub.client().post(f"runs/{number}/repeat"), _run_line)


def _logs(hub: HubAddress, number: types.RunNumber, step: Step = None, tail: Tail = None) -> Result:
    """Print what a run printed, or one of its steps."""
    lines = str(hub.client().get(f"runs/{number}/log", step=step)["log"]).splitlines()
    if not lines:
        note(f"run {number} has printed nothing")
    log = "\n".join(lines[-tail:] if tail else lines)
    return Result({"log": log}, lambda data: str(data["log"]))


def _cancel(hub: HubAddress, number: types.RunNumber, reason: types.NeededReason) -> Result:
    """End a run that waits or trains."""
    return Result(hub.client().post(f"runs/{number}/cancel", reason=reason), _run_line)


def _override(hub: HubAddress, number: types.RunNumber, reason: types.NeededReason) -> Result:
    """Publish a candidate that the offline gate refused."""
    return Result(hub.client().post(f"runs/{number}/override", reason=reason), _run_line)


def _holdout(hub: HubAddress, model: types.Model) -> Result:
    """Show how worn the rows are that the gate compares candidates on."""
    return Result(hub.client().get(f"models/{model}/holdout"), _wear_text)


def _steps_table(steps: list[dict[str, Any]]) -> TextTable:
    columns = ("step", "status", "seconds", "cpu s", "peak MB", "figures", "reason")
    rows = [
        (
            s["step"], s["status"], s["resources"].get("seconds"),
            s["resources"].get("cpu_seconds"), s["resources"].get("peak_mb"),
            pairs({name: round(value, 4) for name, value in list(s["metrics"].items())[:4]}),
            s["reason"],
        )
        for s in steps
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no steps")


def _comparison_table(answer: dict[str, Any], everything: bool) -> TextTable:
    shown = [v for v in answer["values"] if everything or not v["same"]]
    names = [f"run {answer[side]}" for side in ("before", "after")]
    rows = [(v["kind"], v["name"], v["before"], v["after"]) for v in shown]
    return TextTable(("kind", "name", *names), rows, empty="nothing differs")


def _wear_text(wear: dict[str, Any]) -> str:
    """Uses of a holdout, and what the next one can tell."""
    needed, allowed = wear["needed"], f"that an equal one loses less than {wear['allowed']:g}"
    show = f"no number of rows shows {allowed}"
    if needed is not None:
        show = f"{needed:,} rows show {allowed} (if versions differ on 5% of them)"
    times = {0: "not asked yet", 1: "asked once"}.get(wear["uses"], f"asked {wear['uses']} times")
    lines = [
        f"{wear['model']}: holdout of {wear['rows']:,} rows, {times}; all verdicts on it are "
        f"right with {1 - wear['alpha']:.0%} confidence, {wear['left']:.2%} of the error is left",
        f"  the next candidate is judged at a level of {wear['level']:.3g}; {show}",
    ]
    if needed is None or needed > wear["rows"]:
        lines.append(
            "  worn, or too small: upload other rows as a new holdout with edge-hub data add"
        )
    return "\n".join(lines)


def _run_line(run: dict[str, Any]) -> str:
    """Number, status and reason of one run."""
    reason = f"; {run['reason']}" if run["reason"] else ""
    return f"{run['model']}: run {run['id']} is {run['status']} ({run['mode']}){reason}"


def _run_text(run: dict[str, Any]) -> str:
    lines = [
        _run_line(run),
        f"  parent {run['parent']}, version {run['version'] or 'none yet'}, "
        f"pipeline {_pipeline(run)}, data {', '.join(run['datasets']) or 'none'}",
        f"  {_remarks(run)}",
        *(f"  {_check_text(check)}" for check in run["gate"]),
        *(f"  {validation_text(r['dataset'], r)}" for r in run["validation"]),
        f"  isolation: {run['isolation'] or 'no process of the hub has trained yet'}",
    ]
    if run["mode_reason"]:
        lines.insert(2, f"  {run['mode']}, because {run['mode_reason']}")
    return "\n".join(lines)


def _pipeline(run: dict[str, Any]) -> str:
    """Version of the code that a run trained with."""
    unnamed = "elsewhere, of no known version" if run["parameters"].get("webhook") else "none yet"
    return str(run["pipeline"] or unnamed)


def _check_text(check: dict[str, Any]) -> str:
    """One row of the gate's table."""
    figures = ""
    if check["candidate"] is not None and check["incumbent"] is not None:
        figures = f", {check['candidate']:.3f} against {check['incumbent']:.3f}"
    verdict = check.get("verdict") or ("ok" if check["ok"] else "refused")
    use = f", use {check['use']} of these rows" if check.get("use") else ""
    level = f" at level {check['level']:.3g}" if check.get("level") is not None else ""
    told = f"; {check['note']}" if check["note"] else ""
    return f"{check['check']}: {verdict}{level}{figures} ({check['rows']} rows{use}){told}"


def _runs_table(runs: list[dict[str, Any]]) -> TextTable:
    columns = ("run", "status", "mode", "parent", "version", "created", "cause, gate, reason")
    rows = [
        (
            run["id"], run["status"], run["mode"], run["parent"], run["version"],
            local_time(run["created_at"]), _remarks(run),
        )
        for run in runs
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no runs")


def _remarks(run: dict[str, Any]) -> str:
    causes = [cause.get("trigger") or cause.get("kind", "?") for cause in run["causes"]]
    refusing = [row["check"] for row in run["gate"] if not row["ok"]]
    gate = f"gate refuses: {', '.join(refusing)}" if refusing else "gate agrees" * bool(run["gate"])
    return "; ".join(part for part in (", ".join(causes), gate, run["reason"]) if part)
