"""The offline gate with its data: holdout, fresh shared rows, two releases."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import GateRefused
from cloud_hub.runs.answers import ReleaseAnswers
from cloud_hub.runs.evaluation import Evaluation, evaluate
from cloud_hub.runs.gate import Check, Costs, Slice, as_table, failures, judge
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.model.values import category
from edge_sdk.telemetry.groups import Groups

if TYPE_CHECKING:
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.sections import GroupRule
    from cloud_hub.registry.dataset import Dataset
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.service import Telemetry
    from edge_sdk.contract.manifest import Manifest, Signature
    from edge_sdk.model.release import Release

LOOKBACK_SECONDS: Final = 7 * 86_400.0
"""Age up to which shared rows count as fresh for a version that is published by hand."""


Evaluate = Callable[["Release", "Release", Mapping[str, "Dataset"], "Dataset | None"], Evaluation]
"""Runs a candidate and an incumbent on rows, see :func:`cloud_hub.runs.evaluation.evaluate`."""


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
        self,
        model: str,
        candidate: Release,
        fresh: Dataset | None,
        *,
        required: bool = True,
        run: Evaluate = evaluate,
    ) -> list[Check]:
        """Return every check of a candidate; none if nothing serves yet.

        Args:
            model: name of the model.
            candidate: release to be compared with the serving version.
            fresh: labelled rows of now, if there are any.
            required: fail without rows to compare on (a person may publish without any).
            run: runs both releases; in this process only what a publisher signed.
        """
        plan = self._plans.current(model)
        if plan is None:
            return []
        incumbent = self._registry.release(model, plan.serving.version)
        if not _comparable(incumbent.manifest.signature, candidate.manifest.signature):
            note = "other inputs or answers: not compared"
            return [Check("columns", 0, None, None, None, None, not required, note)]
        policy = self._registry.policy(model).gate
        kinds = {"fresh": fresh, "history": self._registry.dataset(model, "holdout")}
        rows = {
            name: data
            for name, data in kinds.items()
            if data is not None and data.labels is not None and len(data)
        }
        timed = fresh if policy.max_slowdown is not None else None
        done = run(candidate, incumbent, rows, timed)
        manifest = candidate.manifest
        slices = {
            name: _slice(manifest, done.answers[name], data, policy.groups)
            for name, data in rows.items()
        }
        return judge(slices, policy, _costs(candidate, incumbent, done), required=required)


def _comparable(one: Signature, other: Signature) -> bool:
    """Same columns, and both answer with a label or both with a value."""
    kinds = [(s.output("label") is None, s.output("value") is None) for s in (one, other)]
    scored = kinds[0] == kinds[1] and kinds[0] != (True, True)
    return scored and one.columns == other.columns


def _slice(
    manifest: Manifest,
    answers: tuple[ReleaseAnswers, ReleaseAnswers],
    data: Dataset,
    rules: tuple[GroupRule, ...],
) -> Slice:
    names = [column.name for column in manifest.signature.columns]
    groups = {}
    for rule in rules:
        named = group_names(rule, data, names, manifest.groups)
        if named is not None:
            groups[rule.by] = named
    return Slice(*answers, groups, manifest.signature.output("label") is None)


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


def _costs(candidate: Release, incumbent: Release, done: Evaluation) -> Costs:
    sizes = [release.model_path.stat().st_size for release in (candidate, incumbent)]
    return Costs(*sizes, *(done.seconds or ()))
