"""The offline gate with its data: holdout, fresh shared rows, two releases."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.fit import fitted
from cloud_hub.datasets.records import HOLDOUT
from cloud_hub.errors import GateRefused
from cloud_hub.runs.answers import ReleaseAnswers
from cloud_hub.runs.evaluation import Evaluation, evaluate
from cloud_hub.runs.gate import (
    ASSUMED,
    HIDDEN,
    Check,
    Costs,
    Slice,
    as_table,
    failures,
    judge,
    verdicts_on,
)
from cloud_hub.runs.gate_uses import GateUses
from cloud_hub.statistics.noninferiority import rows_needed
from cloud_hub.statistics.reuse import Wear
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.model.values import category
from edge_sdk.telemetry.groups import Groups

if TYPE_CHECKING:
    from cloud_hub.data.dataset import Dataset
    from cloud_hub.datasets.service import Datasets
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.sections import GatePolicy, GroupRule
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.service import Telemetry
    from edge_sdk.contract.manifest import Manifest, Role, Signature
    from edge_sdk.model.release import Release

LOOKBACK_SECONDS: Final = 7 * 86_400.0
"""Age up to which shared rows count as fresh for a version that is published by hand."""


Evaluate = Callable[["Release", "Release", Mapping[str, "Dataset"], "Dataset | None"], Evaluation]
"""Runs a candidate and an incumbent on rows, see :func:`cloud_hub.runs.evaluation.evaluate`."""


@dataclass(frozen=True)
class HoldoutWear:
    """How worn the holdout of a model is.

    Attributes:
        model: name of the model.
        rows: labelled rows that there are.
        uses: how often the gate was asked of them.
        alpha: chance that any verdict on them is ever wrong.
        left: what is left of it for all uses to come.
        level: of the next use.
        allowed: loss that is just too much, ``max_forgetting``.
        needed: rows with which a candidate that is as good would then pass with a chance of 80%, if
            versions differ on 5% of the rows; ``None`` if no number would do.
    """

    model: str
    rows: int
    uses: int
    alpha: float
    left: float
    level: float
    allowed: float
    needed: int | None


class OfflineGate:
    """Compares candidates with the serving version."""

    def __init__(
        self,
        registry: Registry,
        datasets: Datasets,
        plans: Plans,
        telemetry: Telemetry,
        uses: GateUses,
    ) -> None:
        self._registry = registry
        self._datasets = datasets
        self._plans = plans
        self._telemetry = telemetry
        self._uses = uses

    def __call__(self, model: str, candidate: Release) -> list[Check]:
        """Return the gate's table for a version that is published by hand.

        Raises:
            GateRefused: a check failed.
        """
        since = time.time() - LOOKBACK_SECONDS
        fresh = self._telemetry.samples(model, since=since)
        checks = self.check(model, candidate, fresh, since=since, required=False)
        failed = failures(checks)
        if failed:
            raise GateRefused(f"{model} {candidate.manifest.version}: {failed}", as_table(checks))
        return checks

    def inputs(
        self, model: str, candidate: Release | None = None, *, forgetting: float | None = None
    ) -> dict[str, Any]:
        """Return what a verdict depends on, beside the rows of now.

        Args:
            model: name of the model, of which a version serves.
            candidate: release to be compared with it; without one, what does not depend on it.
            forgetting: in place of the policy's ``max_forgetting``.
        """
        plan, holdout = self._plans.current(model), self._datasets.newest(model, HOLDOUT)
        serving = None if plan is None else self._registry.release(model, plan.serving.version)
        own = {} if candidate is None else {"release": candidate.digest}
        return {
            **own,
            "incumbent": None if serving is None else serving.digest,
            "holdout": None if holdout is None else holdout.fingerprint,
            "thresholds": asdict(self._policy(model, forgetting)),
        }

    def _policy(self, model: str, forgetting: float | None) -> GatePolicy:
        policy = self._registry.policy(model).gate
        return policy if forgetting is None else replace(policy, max_forgetting=forgetting)

    def check(
        self,
        model: str,
        candidate: Release,
        fresh: Dataset | None,
        *,
        since: float = 0.0,
        required: bool = True,
        run: Evaluate = evaluate,
        forgetting: float | None = None,
    ) -> list[Check]:
        """Return every check of a candidate; none if nothing serves yet.

        Args:
            model: name of the model.
            candidate: release to be compared with the serving version.
            fresh: labelled rows of now, if there are any.
            since: when the oldest of them was predicted, Unix seconds; uses before saw other rows.
            required: fail without rows to compare on (a person may publish without any).
            run: runs both releases; in this process only what a publisher signed.
            forgetting: in place of the policy's ``max_forgetting``.
        """
        plan = self._plans.current(model)
        if plan is None:
            return []
        incumbent = self._registry.release(model, plan.serving.version)
        policy = self._policy(model, forgetting)
        return self.compare(
            model, candidate, incumbent, fresh, policy=policy, since=since, required=required,
            run=run,
        )  # fmt: skip

    def compare(
        self,
        model: str,
        candidate: Release,
        incumbent: Release,
        fresh: Dataset | None,
        *,
        policy: GatePolicy,
        since: float,
        until: float = math.inf,
        required: bool,
        run: Evaluate = evaluate,
    ) -> list[Check]:
        """Return every check of a candidate against an incumbent; one more use of the rows.

        Args:
            model: name of the model.
            candidate: release to be judged.
            incumbent: release that it is compared with.
            fresh: labelled rows, if there are any; the holdout is the model's.
            policy: the thresholds.
            since: when the oldest of them was predicted, Unix seconds; uses before saw other rows.
            until: uses after it saw other rows, too.
            required: fail without rows to compare on.
            run: runs both releases; in this process only what a publisher signed.
        """
        if not _comparable(incumbent.manifest.signature, candidate.manifest.signature):
            note = "other inputs or answers: not compared"
            return [Check("columns", 0, None, None, None, None, not required, note)]
        kinds = {"fresh": fresh}
        if policy.max_forgetting < 1:  # else there is nothing to ask, and asking wears the rows
            kinds["history"] = self._holdout(model, candidate)
        rows = {
            name: data
            for name, data in kinds.items()
            if data is not None and data.label is not None and len(data)
        }
        timed = fresh if policy.max_slowdown is not None else None
        done = run(candidate, incumbent, rows, timed)
        manifest = candidate.manifest
        slices = {
            name: _slice(manifest, done.answers[name], data, policy.groups)
            for name, data in rows.items()
        }
        costs = _costs(candidate, incumbent, done)

        def judged(wear: Mapping[str, Wear]) -> list[Check]:
            return judge(slices, policy, costs, required=required, wear=wear)

        return self._as_next_use(model, manifest.version, rows, (since, until), judged)

    def _holdout(self, model: str, candidate: Release) -> Dataset | None:
        """Return the rows of the holdout; note that the candidate was judged on them."""
        record = self._datasets.newest(model, HOLDOUT)
        if record is None or not record.blob:
            return None
        self._datasets.set_uses(model, candidate.manifest.version, "judged", [record.ref])
        return self._datasets.open(record)

    def _as_next_use(
        self,
        model: str,
        version: str,
        rows: Mapping[str, Dataset],
        span: tuple[float, float],
        judged: Callable[[Mapping[str, Wear]], list[Check]],
    ) -> list[Check]:
        """Return the checks of a candidate by what was asked of the same rows before; note the use.

        Args:
            model: name of the model.
            version: of the candidate.
            rows: by slice.
            span: uses between, in Unix seconds, have seen some of the fresh ones.
            judged: the gate's table, for the wear of each slice.
        """
        # A holdout is known by its content; fresh rows are others each time, but for those that an
        # earlier use since the oldest of them has seen.
        data = {name: each.fingerprint() if name == HIDDEN else "" for name, each in rows.items()}
        seen = {name: (0.0, math.inf) if name == HIDDEN else span for name in rows}
        with self._uses.alone():
            wear = {
                name: self._uses.wear(
                    model, name, data=data[name], since=seen[name][0], until=seen[name][1]
                )
                for name in rows
            }
            checks = judged(wear)
            for name in rows:
                self._uses.note(
                    model, name, verdicts_on(name, checks), data=data[name], version=version,
                    now=time.time(),
                )  # fmt: skip
        return checks

    def holdout_wear(self, model: str) -> HoldoutWear | None:
        """Return how worn the holdout of a model is; ``None`` if it has none."""
        data = self._datasets.rows(model, HOLDOUT)
        if data is None:
            return None
        policy = self._registry.policy(model).gate
        wear = self._uses.wear(model, "history", data=data.fingerprint())
        level = wear.level(policy.alpha)
        return HoldoutWear(
            model=model,
            rows=len(data),
            uses=wear.uses,
            alpha=policy.alpha,
            left=wear.left(policy.alpha),
            level=level,
            allowed=policy.max_forgetting,
            needed=rows_needed(ASSUMED, policy.max_forgetting, level),
        )


_ANSWERS: Final[tuple[Role, ...]] = ("label", "value", "scores")


def _comparable(one: Signature, other: Signature) -> bool:
    """Same columns, and a label, a value, or several of the same labels from both."""
    kinds = [[s.output(role) is not None for role in _ANSWERS] for s in (one, other)]
    scored = kinds[0] == kinds[1] and any(kinds[0])
    several = one.output("scores") is not None
    same_labels = not several or one.classes == other.classes
    return scored and same_labels and one.columns == other.columns


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
    is_value = not any(manifest.signature.output(role) for role in ("label", "scores"))
    return Slice(*answers, groups, is_value)


def group_names(
    rule: GroupRule, data: Dataset, columns: list[str], declared: Sequence[GroupColumn] = ()
) -> NDArray[np.str_] | None:
    """Return the name of each row's group [N], ``None`` if the rule does not fit these rows.

    The group is the label, or the name that devices give to the group of a value in a column: by
    the rule's edges, by the groups that the release declares, or each value by itself.

    Args:
        rule: of the policy.
        data: rows, with labels if there are any.
        columns: names of the features, in order.
        declared: groups of the release.
    """
    if rule.by == "label":
        return None if data.labels is None else data.labels.astype(str)
    if rule.by not in columns:
        return None
    values = fitted(data, columns, "the rule").column(rule.by)
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
