"""Plans policies (what would change), and applies them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.policy.schema.parse import Change, changes, parse_policy
from cloud_hub.policy.schema.sections import Policy, TrainPolicy
from cloud_hub.text.spelling import did_you_mean, listed
from edge_sdk.personalise.basis import bases_of

if TYPE_CHECKING:
    from cloud_hub.database.documents import Document
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry

SENT: Final = ("reporting", "sharing", "cascade", "providers", "personalise")
"""Sections that stand in the plan of devices: a change of them makes a new plan."""


@dataclass(frozen=True)
class PolicyPlan:
    """Changes that applying a policy makes. ``digest`` names the policy that it was compared with;
    ``replan`` says that devices get a new plan; ``warnings`` are for a person to look at.
    """

    model: str
    changes: tuple[Change, ...]
    digest: str
    replan: bool
    warnings: tuple[str, ...] = ()

    def document(self) -> Document:
        """As JSON, with a line of text for each change."""
        rows = [{**vars(change), "line": change.line()} for change in self.changes]
        return {**vars(self), "changes": rows}


class Policies:
    """Policies of all models."""

    def __init__(
        self,
        registry: Registry,
        plans: Plans,
        *,
        train_problem: Callable[[TrainPolicy], str],
        switched_off: Callable[[str], bool],
    ) -> None:
        self._registry = registry
        self._plans = plans
        self._train_problem = train_problem
        """Says why this machine cannot train so; empty if it can."""
        self._switched_off = switched_off
        """Whether a person has switched personalisation of a model off, whatever policies say."""

    def text(self, model: str) -> str:
        """Return the file in force, as it was applied; empty until there is one."""
        return self._registry.policy_text(model)

    def plan(self, model: str, text: str, *, check: bool = True) -> PolicyPlan:
        """Return what :meth:`apply` would change; raises Invalid.

        Args:
            model: name of the model.
            text: YAML.
            check: also try whether a training could begin; takes as long as its import.
        """
        after = self._read(model, text)
        current = self.text(model)
        differences = tuple(changes(_readable(current), after))
        sent = any(change.path.split(".")[0] in SENT for change in differences)
        serves = self._plans.current(model) is not None
        problem = self._problem(after) if check else ""
        possible = [self._new_here(model), _relative(after), self._unscored(model, after)]
        possible += [self._textual(model, after), self._impersonal(model, after), problem]
        warnings = tuple(text for text in possible if text)
        return PolicyPlan(model, differences, digest(current), sent and serves, warnings)

    def apply(
        self,
        model: str,
        text: str,
        *,
        actor: str,
        expected: str | None = None,
        override: str | None = None,
    ) -> PolicyPlan:
        """Put a policy in force.

        Args:
            model: name of the model.
            text: YAML.
            actor: the person, for the audit log.
            expected: ``digest`` of the plan that the person looked at.
            override: reason for a policy whose training cannot begin on this machine now.

        Raises:
            Invalid: the text is no policy, or one for another model, or its training cannot begin
                and ``override`` gives no reason.
            Conflict: another policy was applied since ``expected`` was planned.
        """
        # Cheap refusals first: the import of a training may take most of a minute.
        plan = self.plan(model, text, check=False)
        if expected is not None and expected != plan.digest:
            raise Conflict(f"{model}: another policy was applied meanwhile; plan again")
        problem = "" if override else self._problem(self._read(model, text))
        if problem:
            raise Invalid(f"{problem}; put it right, or insist with --override REASON")
        if self.text(model) != text:  # applied again: no second entry in the audit log
            self._registry.set_policy(model, text, actor, override)
        if plan.replan:
            # The same plan anew: it takes its terms from the policy that is in force now.
            reason = f"policy: {', '.join(change.path for change in plan.changes)}"
            self._plans.change(model, lambda current: current, actor=actor, reason=reason[:500])
        return plan

    def _problem(self, policy: Policy) -> str:
        return self._train_problem(policy.train) if policy.train is not None else ""

    def _unscored(self, model: str, policy: Policy) -> str:
        """Warn that no label will ever be right, where something waits for that."""
        serving = self._plans.current(model)
        if serving is None or policy.reporting.right_within is not None:
            return ""
        manifest = self._registry.release(model, serving.serving.version).manifest
        if manifest.task != "regression" or not policy.needs_accuracy:
            return ""
        return (
            f"reporting: {model} answers with numbers, and none is right unless right_within says "
            "how far off it may be: performance triggers and canaries would wait for ever; or "
            "judge by the error itself (experiment.metric: mae, performance: {mae_above: …})"
        )

    def _textual(self, model: str, policy: Policy) -> str:
        """Warn that rows with texts are shared, but no training gets them as they were."""
        serving = self._plans.current(model)
        if serving is None or policy.train is None or not policy.sharing.samples:
            return ""
        signature = self._registry.release(model, serving.serving.version).manifest.signature
        texts = [column.name for column in signature.columns if column.dtype == "string"]
        if not texts:
            return ""
        return (
            f"train: {model} has texts ({', '.join(texts[:5])}), and retraining from shared rows "
            "is for models with numeric columns; encode texts before the model"
        )

    def _impersonal(self, model: str, policy: Policy) -> str:
        """Warn that units change nothing of what serves, or of its single answers."""
        if policy.personalise.terms is None:
            return ""
        if self._switched_off(model):
            return (
                f"personalise: {model} is switched off by hand, and stays so whatever the policy "
                f"says; edge-hub personalise on {model}"
            )
        serving = self._plans.current(model)
        if serving is None:
            return ""
        if bases_of(self._registry.release(model, serving.serving.version).manifest):
            return ""
        return (
            f"personalise: {model} answers with neither a class and its probabilities nor a "
            "number, one row at a time, so no prior can be fitted; only rankings adapt to a unit"
        )

    def _new_here(self, model: str) -> str:
        """Warn that the model is new, unless it is the first: a typo looks the same."""
        models = self._registry.models()
        if model in models or not models:
            return ""
        return f"{model}: is new here; {did_you_mean(model, models)}this hub has {listed(models)}"

    def _read(self, model: str, text: str) -> Policy:
        policy = parse_policy(text)
        if policy.model not in (None, model):
            raise Invalid(f"policy.yaml: is for model {policy.model}, not {model}")
        return policy


def _relative(policy: Policy) -> str:
    """Warn of a relative folder: the hub may be started elsewhere next time."""
    path = policy.train.path if policy.train is not None else None
    if path is None or Path(path).is_absolute():
        return ""
    return (
        f"train.path: {path} is relative to the folder in which the hub was started; write an "
        "absolute path, so that a hub that is started elsewhere finds it too"
    )


def _readable(text: str) -> Policy:
    """The policy in force; all defaults if this hub cannot read it any more, so that another can
    take its place.
    """
    try:
        return parse_policy(text)
    except Invalid:
        return Policy()


def digest(text: str) -> str:
    """Return the SHA-256 of a policy's text, which names it."""
    return hashlib.sha256(text.encode()).hexdigest()
