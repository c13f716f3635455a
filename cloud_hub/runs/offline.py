"""The offline gate with its data: holdout, fresh shared rows, two releases."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import GateRefused
from cloud_hub.runs.gate import Check, Costs, ReleaseAnswers, Slice, as_table, failures, judge
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model
from edge_sdk.model.values import category
from edge_sdk.telemetry.groups import Groups

if TYPE_CHECKING:
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.sections import GroupRule
    from cloud_hub.registry.dataset import Dataset
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.service import Telemetry
    from edge_sdk.contract.manifest import Signature
    from edge_sdk.model.release import Release

LOOKBACK_SECONDS: Final = 7 * 86_400.0
"""Age up to which shared rows count as fresh for a version that is published by hand."""

ROUNDS: Final = 200
"""Predictions of one row by each model, to compare latency."""


class OfflineGate:
    """Compares candidates with the serving version."""

    def __init__(self, registry: Registry, plans: Plans, telemetry: Telemetry) -> None:
        self._registry = registry
        self._plans = plans
        self._telemetry = telemetry

    def __call__(self, model: str, candidate: Release) -> list[Check]:
        """Return the gate's table for a version that is published by hand.

        Raises:
            GateRefused: a check failed.
        """
        fresh = self._telemetry.samples(model, since=time.time() - LOOKBACK_SECONDS)
        checks = self.check(model, candidate, fresh, required=False)
        failed = failures(checks)
        if failed:
            raise GateRefused(f"{model} {candidate.manifest.version}: {failed}", as_table(checks))
        return checks

    def check(
        self, model: str, candidate: Release, fresh: Dataset | None, *, required: bool = True
    ) -> list[Check]:
        """Return every check of a candidate; none if nothing serves yet.

        Args:
            model: name of the model.
            candidate: release to be compared with the serving version.
            fresh: labelled rows of now, if there are any.
            required: fail without rows to compare on (a person may publish without any).
        """
        plan = self._plans.current(model)
        if plan is None:
            return []
        incumbent = self._registry.release(model, plan.serving.version)
        if not _comparable(incumbent.manifest.signature, candidate.manifest.signature):
            note = "other inputs or answers: not compared"
            return [Check("columns", 0, None, None, None, None, not required, note)]
        policy = self._registry.policy(model).gate
        slices = {}
        for name, rows in (("fresh", fresh), ("history", self._registry.dataset(model, "holdout"))):
            if rows is not None and rows.labels is not None and len(rows):
                slices[name] = _slice(candidate, incumbent, rows, policy.groups)
        timed = fresh if policy.max_slowdown is not None else None
        costs = _costs(candidate, incumbent, timed)
        return judge(slices, policy, costs, required=required)


def answers(release: Release, data: Dataset) -> ReleaseAnswers:
    """Return the losses of a release on labelled rows, through the device's own runtime."""
    signature = release.manifest.signature
    outputs = Model.load(release).run(_schema(release).batch(data.rows))
    assert data.labels is not None
    value, label = signature.output("value"), signature.output("label")
    if label is None and value is not None:
        predicted = outputs[value.name].reshape(len(data), -1)[:, 0].astype(np.float64)
        return ReleaseAnswers(np.abs(predicted - data.labels.astype(np.float64)))
    assert label is not None
    truth = data.labels.astype(str)
    loss = (outputs[label.name].astype(str) != truth).astype(np.float64)
    scores = signature.output("probabilities")
    if scores is None:
        return ReleaseAnswers(loss)
    places = {str(name): i for i, name in enumerate(signature.classes)}
    # A label that the model does not know is -1: wrong, whatever the probabilities are.
    index = np.array([places.get(each, -1) for each in truth], dtype=np.int64)
    return ReleaseAnswers(loss, outputs[scores.name].astype(np.float64), index)


def _comparable(one: Signature, other: Signature) -> bool:
    """Same columns, and both answer with a label or both with a value."""
    kinds = [(s.output("label") is None, s.output("value") is None) for s in (one, other)]
    scored = kinds[0] == kinds[1] and kinds[0] != (True, True)
    return scored and one.columns == other.columns


def _slice(
    candidate: Release, incumbent: Release, data: Dataset, rules: tuple[GroupRule, ...]
) -> Slice:
    signature = candidate.manifest.signature
    names = [column.name for column in signature.columns]
    groups = {}
    for rule in rules:
        named = group_names(rule, data, names, candidate.manifest.groups)
        if named is not None:
            groups[rule.by] = named
    values = signature.output("label") is None
    return Slice(answers(candidate, data), answers(incumbent, data), groups, values)


def group_names(
    rule: GroupRule, data: Dataset, columns: list[str], declared: Sequence[GroupColumn] = ()
) -> NDArray[np.str_] | None:
    """Return the name of each row's group [N], ``None`` if the rule does not fit these rows.

    The group is the label, or the name that devices give to the group of a value in a column: by
    the rule's edges, by the groups that the release declares, or each value by itself.

    Args:
        rule: of the policy.
        data: rows [N, columns], and labels [N] if there are any.
        columns: names of the columns, in order.
        declared: groups of the release.
    """
    if rule.by == "label":
        return None if data.labels is None else data.labels.astype(str)
    if rule.by not in columns:
        return None
    values = data.rows[:, columns.index(rule.by)]
    grouped = {column.name: column for column in declared}
    if rule.edges:
        grouped = {rule.by: GroupColumn(rule.by, edges=rule.edges)}
    if rule.by not in grouped:
        return np.array([category(value) for value in values.tolist()])
    groups = Groups(grouped[rule.by])
    return np.array(groups.names)[groups.codes(values)]


def _costs(candidate: Release, incumbent: Release, rows: Dataset | None) -> Costs:
    """Sizes, and with ``rows`` also times."""
    sizes = [release.model_path.stat().st_size for release in (candidate, incumbent)]
    if rows is None or not len(rows):
        return Costs(sizes[0], sizes[1])
    seconds = _in_turns([candidate, incumbent], rows)
    return Costs(sizes[0], sizes[1], seconds[0], seconds[1])


def _in_turns(releases: list[Release], data: Dataset) -> list[float]:
    """Median seconds that each release takes for one row, measured in turns."""
    models = [Model.load(release) for release in releases]
    feeds = [_schema(release).batch(data.rows[:1]) for release in releases]
    seconds: list[list[float]] = [[] for _ in releases]
    # In turns: a machine that slows down meanwhile (heat, neighbours) slows both alike.
    for _ in range(ROUNDS):
        for i, (model, feed) in enumerate(zip(models, feeds, strict=True)):
            began = time.perf_counter()
            model.run(feed)
            seconds[i].append(time.perf_counter() - began)
    return [statistics.median(times) for times in seconds]


def _schema(release: Release) -> InputSchema:
    missing = release.manifest.training.get("missing") == "allowed"
    return InputSchema(release.manifest.signature, missing=missing)
