"""What is another in one run than in another: parameters, data, code, figures, artefacts. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cloud_hub.policy.schema.sections import TrainPolicy
    from cloud_hub.runs.code.service import PipelineVersion
    from cloud_hub.runs.steps.names import StepName
    from cloud_hub.runs.steps.store import StepRecord
    from cloud_hub.runs.store import RunRecord

HASH: Final = 12
"""Characters of a digest that are shown."""


@dataclass(frozen=True)
class ComparedValue:
    """One line: its kind, its name, and the value in each run, ``None`` where there is none."""

    kind: str
    name: str
    before: Any
    after: Any

    @property
    def same(self) -> bool:
        """Whether both runs have the same."""
        return bool(self.before == self.after)


@dataclass(frozen=True)
class RunComparison:
    """Two runs, and all values that both or one of them have."""

    before: int
    after: int
    values: tuple[ComparedValue, ...]

    def document(self) -> Mapping[str, Any]:
        """Return it with what is the same marked."""
        values = [{**dataclasses.asdict(v), "same": v.same} for v in self.values]
        return {"before": self.before, "after": self.after, "values": values}


@dataclass(frozen=True)
class RunFacts:
    """A run with its steps and the version of its code."""

    run: RunRecord
    steps: Sequence[StepRecord]
    code: PipelineVersion | None

    def inputs(self, name: StepName) -> Mapping[str, Any]:
        """Return what a step was given; nothing if it was not taken."""
        return next((step.inputs for step in self.steps if step.step == name), {})

    def outputs(self, name: StepName) -> Mapping[str, Any]:
        """Return what a step made; nothing if it was not taken."""
        return next((step.outputs for step in self.steps if step.step == name), {})


def compare_runs(before: RunFacts, after: RunFacts) -> RunComparison:
    """Return every value of two runs side by side, in order of kind and name."""
    values = []
    for kind in _KINDS:
        one, other = (_KINDS[kind](facts) for facts in (before, after))
        for name in sorted({*one, *other}):
            values.append(ComparedValue(kind, name, one.get(name), other.get(name)))
    return RunComparison(before.run.id, after.run.id, tuple(values))


def as_parameters(policy: TrainPolicy) -> dict[str, Any]:
    """Return the section ``train`` as flat names and plain values."""
    flat = _flat("", dataclasses.asdict(policy))
    return {name: value for name, value in flat.items() if value is not None}


def _flat(path: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for name, item in value.items():
            found |= _flat(f"{path}.{name}" if path else str(name), item)
        return found
    return {path: list(value) if isinstance(value, tuple) else value}


def _parameters(facts: RunFacts) -> Mapping[str, Any]:
    return facts.run.parameters


def _data(facts: RunFacts) -> Mapping[str, Any]:
    collected = facts.outputs("collect")
    digests = {ref: _short(digest) for ref, digest in collected.get("datasets", {}).items()}
    found: dict[str, Any] = {
        ref.partition("@")[0]: f"{ref} {digests.get(ref, '')}".strip() for ref in facts.run.datasets
    }
    if collected.get("rehearsal"):
        found["rehearsal"] = collected["rehearsal"]
    joined = facts.inputs("train").get("features", {})
    return found | {f"features {ref}": _short(digest) for ref, digest in joined.items()}


def _code(facts: RunFacts) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    if environment := facts.inputs("train").get("environment"):
        found["packages"] = _short(environment)
    if facts.code is None:
        return found
    found |= {"pipeline": facts.code.number, "lock": _short(facts.code.lock)}
    if facts.code.elsewhere is not None:
        found["elsewhere"] = facts.code.elsewhere
    files = {f"file {path}": _short(digest) for path, digest in facts.code.files.items()}
    return {**found, **files}


def _result(facts: RunFacts) -> Mapping[str, Any]:
    run = facts.run
    return {
        "status": run.status, "version": run.version, "parent": run.parent, "mode": run.mode,
        "fresh rows": run.rows, "peak MB": run.peak_mb,
    }  # fmt: skip


def _metrics(facts: RunFacts) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for step in facts.steps:
        found |= {f"{step.step} {name}": value for name, value in step.metrics.items()}
    for check in facts.run.gate:
        found[f"gate {check.check}"] = check.verdict or ("ok" if check.ok else "refused")
    return found


def _artefacts(facts: RunFacts) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for step in facts.steps:
        if step.step == "train" and step.outputs.get("trained"):
            found["trained model"] = _short(step.outputs["trained"])
        for name, digest in step.outputs.get("files", {}).items():
            found[name] = _short(digest)
    return found


def _seconds(facts: RunFacts) -> Mapping[str, Any]:
    return {step.step: step.resources.get("seconds") for step in facts.steps}


def _short(digest: Any) -> str:
    return str(digest)[:HASH]


_KINDS: Final = {
    "result": _result,
    "parameter": _parameters,
    "data": _data,
    "code": _code,
    "metric": _metrics,
    "artefact": _artefacts,
    "seconds": _seconds,
}
"""Kinds of values, in the order in which they are shown."""
