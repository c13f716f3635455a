"""Planning and applying policies: what would change, then the change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.plans.service import Plans
from cloud_hub.policy.reading import Change, changes, parse_policy
from cloud_hub.policy.rules import Policy
from cloud_hub.registry.service import Registry

TOLD: Final = ("reporting", "sharing", "cascade")
"""Sections that devices must know: a change of them makes a new plan."""


@dataclass(frozen=True)
class PolicyPlan:
    """What applying a policy changes. ``digest`` names the policy that it was compared with;
    ``replan`` says that devices get a new plan.
    """

    model: str
    changes: tuple[Change, ...]
    digest: str
    replan: bool

    def as_json(self) -> dict[str, Any]:
        """For the wire, with a line of text for each change."""
        rows = [{**vars(change), "line": change.line()} for change in self.changes]
        return {**vars(self), "changes": rows}


class Policies:
    """Policies of all models."""

    def __init__(self, registry: Registry, plans: Plans) -> None:
        self._registry = registry
        self._plans = plans

    def text(self, model: str) -> str:
        """The file that is in force, as it was applied; empty until there is one."""
        return self._registry.policy_text(model)

    def plan(self, model: str, text: str) -> PolicyPlan:
        """What :meth:`apply` would change; raises Invalid."""
        after = self._read(model, text)
        current = self.text(model)
        found = tuple(changes(_readable(current), after))
        told = any(change.path.split(".")[0] in TOLD for change in found)
        serves = self._plans.current(model) is not None
        return PolicyPlan(model, found, digest(current), told and serves)

    def apply(
        self, model: str, text: str, *, actor: str, expected: str | None = None
    ) -> PolicyPlan:
        """Put a policy in force.

        Args:
            model: whose.
            text: YAML.
            actor: who wants it.
            expected: ``digest`` of the plan that was looked at.

        Raises:
            Invalid: the text is no policy, or one for another model.
            Conflict: another policy was applied since ``expected`` was planned.
        """
        plan = self.plan(model, text)
        if expected is not None and expected != plan.digest:
            raise Conflict(f"{model}: another policy was applied meanwhile; plan again")
        if self.text(model) != text:
            self._registry.set_policy(model, text, actor)
        if plan.replan:
            reason = f"policy: {', '.join(change.path for change in plan.changes)}"
            self._plans.change(model, lambda current: current, actor=actor, reason=reason[:500])
        return plan

    def _read(self, model: str, text: str) -> Policy:
        policy = parse_policy(text)
        if policy.model not in (None, model):
            raise Invalid(f"policy.yaml: is for model {policy.model}, not {model}")
        return policy


def _readable(text: str) -> Policy:
    """The policy in force; all defaults if this hub cannot read it any more, so that another can
    take its place.
    """
    try:
        return parse_policy(text)
    except Invalid:
        return Policy()


def digest(text: str) -> str:
    """The name of a policy's text."""
    return hashlib.sha256(text.encode()).hexdigest()
