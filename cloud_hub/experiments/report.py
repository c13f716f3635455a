"""The report of one experiment: everything that it was decided on, over time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from cloud_hub.database.records import DeviceRecord
from cloud_hub.experiments import report_text, schedule
from cloud_hub.experiments.store import ExperimentRecord
from cloud_hub.experiments.verdict.device_counts import shares
from cloud_hub.experiments.verdict.spec import ArmSpec, ExperimentSpec

MOST_COHORTS: Final = 12
ADDED: Final = ("predictions", "errors", "labelled", "correct", "energy_n", "energy_sum")
Plain = dict[str, Any]


def build(
    record: ExperimentRecord,
    history: Sequence[Plain],
    sums: Sequence[Plain],
    devices: Mapping[str, DeviceRecord],
) -> Plain:
    """The report as plain JSON.

    Args:
        record: of the experiment.
        history: its looks, oldest first.
        sums: exposure by device and arm since the start.
        devices: of the model.
    """
    spec = record.declared
    arms = [_arm(record, arm) for arm in spec.tried]
    counts = record.figures.get("devices", {})
    return {
        "experiment": asdict(record),
        "now": now(record),
        "tried": report_text.tried(spec, arms),
        "arms": arms,
        "path": report_text.path(spec, record.stage, record.step, record.status),
        "rules": report_text.rules(spec),
        "timeline": [_event(spec, look) for look in history if look["event"] != "look"],
        "outcomes": _outcomes(history),
        "guardrails": _guardrails(history),
        "exposure": _exposure(history),
        "beside": _beside(history),
        "sessions": _sessions(history),
        "allocation": record.figures.get("allocation", []),
        "devices": {arm: {**row, "shares": shares(row)} for arm, row in counts.items()},
        "cohorts": by_cohort(spec, sums, devices),
    }


def told(record: ExperimentRecord) -> Plain:
    """How it stands, as plain JSON; ``now`` is the step that it is in, for people."""
    return {**asdict(record), "now": now(record)}


def now(record: ExperimentRecord) -> str:
    """The step that it is in, for people."""
    spec = record.declared
    return schedule.shown(spec, record.stage, min(record.step, _last(spec, record.stage)))


def by_cohort(
    spec: ExperimentSpec, sums: Sequence[Plain], devices: Mapping[str, DeviceRecord]
) -> list[Plain]:
    """Every arm in every cohort: of the stages, or of the attribute that tells most apart."""
    found: dict[tuple[str, str], Plain] = {}
    names = _cohort_names(spec, devices)
    for row in sums:
        cohort = names.get(row["device"], "unknown")
        have = found.setdefault((cohort, row["arm"]), dict.fromkeys(("devices", *ADDED), 0))
        have["devices"] += 1
        for name in ADDED:
            have[name] += row[name]
    return [
        {
            "cohort": cohort,
            "arm": arm,
            **row,
            "accuracy": _share(row["correct"], row["labelled"]),
            "joules_a_prediction": _share(row["energy_sum"], row["energy_n"]),
        }
        for (cohort, arm), row in sorted(found.items())
    ]


def _cohort_names(spec: ExperimentSpec, devices: Mapping[str, DeviceRecord]) -> dict[str, str]:
    if spec.stages:
        names = {}
        for device, record in devices.items():
            fits = (
                stage.name
                for stage in spec.path
                if stage.cohort is None or stage.cohort.includes(record.attributes)
            )
            names[device] = next(fits, "outside")
        return names
    values: dict[str, set[str]] = defaultdict(set)
    for record in devices.values():
        for name, value in record.attributes.items():
            values[name].add(value)
    fit = {name: found for name, found in values.items() if len(found) <= MOST_COHORTS}
    if not fit:
        return dict.fromkeys(devices, "everybody")
    chosen = max(sorted(fit), key=lambda name: len(fit[name]))
    return {d: f"{chosen}={r.attributes.get(chosen, '?')}" for d, r in devices.items()}


def _arm(record: ExperimentRecord, arm: ArmSpec) -> Plain:
    """A candidate: its version, what has become of it, and of one that was dropped on what figures.

    ``state`` is ``runs``, ``dropped``, ``won`` (where nothing is promoted by itself, or a person is
    waited for), or how the experiment ended.
    """
    dropped = record.dropped.get(arm.name)
    won = record.state.get("winner") == arm.name
    ended = "not promoted" if record.status == "promoted" else record.status
    state = "dropped" if dropped else "runs" if record.open else ended
    if won:
        state = "promoted" if record.status == "promoted" else "won"
    return {"arm": arm.name, "version": arm.version, "state": state, "dropped": dropped}


def _event(spec: ExperimentSpec, look: Plain) -> Plain:
    step = min(look["step"], _last(spec, look["stage"]))
    place = schedule.shown(spec, look["stage"], step)
    return {"at": look["at"], "event": look["event"], "step": place, "reason": look["reason"]}


def _last(spec: ExperimentSpec, stage: int) -> int:
    return len(spec.path[stage].steps) - 1


def _outcomes(history: Sequence[Plain]) -> list[Plain]:
    """By outcome and arm: the confidence sequence over time, and how it stands."""
    found: dict[tuple[str, str], Plain] = {}
    for look in history:
        for row in look["figures"].get("outcomes", []):
            if not isinstance(row, dict) or "gain" not in row:
                continue  # a declaration's outcomes, in the look of the start
            empty = {"outcome": row["outcome"], "arm": row["arm"], "points": []}
            series = found.setdefault((row["outcome"], row["arm"]), empty)
            point = {"at": look["at"], "step": [look["stage"], look["step"]]}
            series["points"].append(
                {**point, **{name: row[name] for name in ("gain", "low", "high", "p", "n")}}
            )
            series["latest"] = row
    return list(found.values())


def _guardrails(history: Sequence[Plain]) -> list[Plain]:
    found: dict[tuple[str, str], Plain] = {}
    for look in history:
        for row in look["figures"].get("guardrails", []):
            if not isinstance(row, dict):
                continue  # a declaration's guardrails
            empty = {"name": row["name"], "arm": row["arm"], "points": []}
            series = found.setdefault((row["name"], row["arm"]), empty)
            if "e_value" in row["figures"]:
                value = row["figures"]["e_value"]
                series["points"].append({"at": look["at"], "e_value": value})
            series["latest"] = row
            series["tripped"] = series.get("tripped", False) or row["trips"]
    return list(found.values())


def _exposure(history: Sequence[Plain]) -> list[Plain]:
    """Predictions of each arm in the step, over time."""
    found: dict[str, Plain] = {}
    for look in history:
        for arm, row in _arms(look).items():
            series = found.setdefault(arm, {"arm": arm, "points": []})
            counts = {name: row[name] for name in ("devices", "predictions")}
            place = {"at": look["at"], "step": [look["stage"], look["step"]]}
            series["points"].append({**place, **counts})
    return list(found.values())


def _arms(look: Plain) -> dict[str, Plain]:
    figures = look["figures"]
    if isinstance(figures.get("shadow"), dict):
        found = figures["shadow"]
        return {"candidate": {"devices": found["devices"], "predictions": found["compared"]}}
    if isinstance(figures.get("interleave"), dict):
        return {"sessions": {"devices": None, "predictions": figures["interleave"]["sessions"]}}
    arms = figures.get("arms", {})
    return arms if isinstance(arms, dict) else {}  # a declaration's arms are a list


def _sessions(history: Sequence[Plain]) -> list[Plain]:
    """The candidate's share of the decided sessions over time."""
    return [
        {"at": look["at"], **{name: found["signs"][name] for name in ("share", "low", "high")}}
        for look in history
        if isinstance(found := look["figures"].get("interleave"), dict)
    ]


def _beside(history: Sequence[Plain]) -> Plain:
    """How a shadow run or interleaving stands."""
    for look in reversed(history):
        for name in ("shadow", "interleave"):
            if isinstance(look["figures"].get(name), dict):
                return {"kind": name, **look["figures"][name]}
    return {}


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
