"""Checks before an experiment starts; each refuses with its reason. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.experiments.verdict.spec import ExperimentSpec

if TYPE_CHECKING:
    from cloud_hub.registry.service import VersionRecord
    from edge_sdk.contract.manifest import Manifest
    from edge_sdk.contract.plan import Cohort, Plan

GONE = ("retired", "rolled_back")


def check_plan(spec: ExperimentSpec, plan: Plan) -> None:
    """One experiment a model at a time: a second would share its devices; raises Conflict."""
    if plan.experiment is not None:
        raise Conflict(
            f"{plan.model}: {plan.experiment.id} runs; end it first (one experiment a model: two "
            "would mix on the same devices)"
        )
    for arm in spec.tried:
        if arm.version == plan.serving.version and arm.personalise is None:
            raise Conflict(f"{plan.model} {arm.version}: serves already")


def check_version(record: VersionRecord) -> None:
    """Refuse a version that may not be tried; raises Conflict."""
    if record.status in GONE:
        raise Conflict(
            f"{record.model} {record.version}: is {record.status}; publish it as a new version, or "
            "promote it by hand"
        )


def check_signature(candidate: Manifest, serving: Manifest) -> None:
    """Refuse a candidate that answers other questions than what serves.

    Raises:
        Conflict: says what differs.
    """
    mine, theirs = candidate.signature, serving.signature
    name = f"{candidate.model} {candidate.version}"
    if mine.inputs != theirs.inputs or mine.columns != theirs.columns:
        raise Conflict(
            f"{name}: takes other inputs than {serving.version}{_difference(mine, theirs)}"
        )
    if mine.state != theirs.state:
        raise Conflict(f"{name}: remembers other things from call to call than {serving.version}")


def _difference(mine: object, theirs: object) -> str:
    ours = {column.name for column in getattr(mine, "columns", ())}
    others = {column.name for column in getattr(theirs, "columns", ())}
    more, fewer = sorted(ours - others), sorted(others - ours)
    differences = [f"it has also {more[:5]}"] if more else []
    differences += [f"it lacks {fewer[:5]}"] if fewer else []
    return f": {', '.join(differences)}" if differences else ""


def check_metered(reporting: int, metered: int) -> None:
    """Refuse an outcome of energy that nobody measures.

    Where nobody reported anything nobody knows, and nothing is refused.

    Args:
        reporting: devices that reported lately.
        metered: those of them that reported energy.

    Raises:
        Invalid: there are some, and none measures energy.
    """
    if reporting and not metered:
        raise Invalid(
            f"outcomes: nobody reports energy, of {reporting} devices that reported lately; "
            "`edge status`, or status() in the app, says why"
        )


def check_cohorts(spec: ExperimentSpec, devices: Iterable[Mapping[str, str]]) -> None:
    """Refuse cohorts whose attribute or values no device has, or that have too few devices.

    Args:
        spec: the declared experiment.
        devices: attributes of each device of the model.

    Raises:
        Invalid: a cohort has no devices, or, where there are any, fewer than every arm should have.
    """
    values_of: dict[str, set[str]] = {}
    devices = list(devices)
    for attributes in devices:
        for name, value in attributes.items():
            values_of.setdefault(name, set()).add(value)
    for stage in spec.path:
        if stage.cohort is not None:
            _check_cohort(stage.cohort, values_of)
        have, least = sum(map(stage.includes, devices)), spec.minimum_devices
        if 0 < have < least:
            raise Invalid(
                f"minimum_devices: expected at most the {have} of {stage.name}, got {least}; too "
                "few devices decide nothing: promote by hand, or declare minimum_devices: 1"
            )


def _check_cohort(cohort: Cohort, values_of: Mapping[str, set[str]]) -> None:
    if cohort.attribute not in values_of:
        have = sorted(values_of)[:10] or "none"
        raise Invalid(f"cohort: no device has an attribute {cohort.attribute!r}; known: {have}")
    strange = sorted(set(cohort.values) - values_of[cohort.attribute])
    if strange:
        have = sorted(values_of[cohort.attribute])[:10]
        raise Invalid(f"cohort: no device has {cohort.attribute} {strange}; known: {have}")
