"""Promotions that wait for a second person, where a model's policy asks for one.

Invariant: whoever asks never approves, and what is approved is what was asked for: the same version
over the same plan. The decision and what follows from it are one transaction.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Engine, insert, select, true, update

from cloud_hub.api.roles import Person, Role
from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import reading, transaction
from cloud_hub.database.locks import exclusive
from cloud_hub.database.records import ApprovalRecord
from cloud_hub.errors import Conflict, Forbidden, NotFound
from cloud_hub.people.tables import approvals
from cloud_hub.policy.schema.parse import parse_policy

if TYPE_CHECKING:
    from cloud_hub.experiments.service import Experiments
    from cloud_hub.experiments.verdict.spec import ExperimentSpec
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.approvals import ApprovalPolicy
    from edge_sdk.contract.plan import Plan

PENDING: Final = "pending"
EXPIRED: Final = "expired"


class Approvals:
    """The promotions of one hub that wait.

    Args:
        engine: of its database.
        audit: where both people are named.
        plans: which change once two people want it.
        experiments: whose arms may be promoted.
        policy_of: what a model's policy asks.
        clock: Unix seconds.
    """

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        plans: Plans,
        experiments: Experiments,
        policy_of: Callable[[str], ApprovalPolicy],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._audit, self._clock = engine, audit, clock
        self._plans, self._experiments, self._policy_of = plans, experiments, policy_of

    def promote(
        self, model: str, version: str, *, by: Person, reason: str, override: str | None = None
    ) -> Plan | ApprovalRecord:
        """Let a version serve everybody, or ask for that where the policy wants a second person.

        Args:
            model: name of the line.
            version: one of its published versions.
            by: who wants it.
            reason: why, for the audit log.
            override: reason to promote a version that an experiment took back.

        Raises:
            HubFault: as promoting does; a request that could not be carried out is none.
            Forbidden: two people have to decide, and it is no person who asks.
        """
        preview = self._plans.preview_promotion(model, version, override=override)
        if not preview.changes or not self._policy_of(model).promote:
            return self._plans.promote(
                model, version, actor=by.name, reason=reason, override=override
            )
        return self._ask(model, version, by, {"reason": reason, "override": override})

    def promote_arm(
        self, experiment: str, *, by: Person, reason: str, arm: str | None = None
    ) -> Any:
        """Let an arm serve everybody, or ask for that where the policy wants a second person.

        Args:
            experiment: its id.
            by: who wants it.
            reason: why, for the audit log.
            arm: the winner, or the only one, if left out.

        Returns:
            The record of the experiment, or an :class:`ApprovalRecord`.

        Raises:
            HubFault: as :meth:`promote`.
        """
        record = self._experiments.get(experiment)
        if not self._policy_of(record.model).promote:
            return self._experiments.promote(experiment, actor=by.name, reason=reason, arm=arm)
        _, chosen, version = self._experiments.arm_to_promote(experiment, arm)
        asked = {"reason": reason, "experiment": experiment, "arm": chosen}
        return self._ask(record.model, version, by, asked)

    def _ask(self, model: str, version: str, by: Person, asked: dict[str, Any]) -> ApprovalRecord:
        _check_human(by, "asks for")
        now, plan = self._clock(), self._plans.current(model)
        row = {
            "model": model, "version": version, "serial": plan.serial if plan else 0,
            "requested_by": by.name, "requested_at": now, "state": PENDING,
            "expires_at": now + self._policy_of(model).expires_seconds, **asked,
        }  # fmt: skip
        with exclusive(self._engine, f"approvals {model}"), transaction(self._engine) as db:
            for waiting in self.list(model):
                same = (waiting.version, waiting.serial) == (version, row["serial"])
                if waiting.state == PENDING and same:
                    if waiting.requested_by == by.name:
                        return waiting  # asked again, because an answer was lost
                    raise Conflict(
                        f"{model} {version}: {waiting.requested_by} asked for it already; "
                        f"edge-hub approvals approve {waiting.id}"
                    )
            made = db.execute(insert(approvals).values(**row)).inserted_primary_key
            assert made is not None
            number = int(made[0])
            noted = {"request": number, "version": version, "reason": asked["reason"]}
            self._audit.record(by.name, "request-promotion", model, noted)
        return self.get(number)

    def get(self, id_: int) -> ApprovalRecord:
        """Return one request; raises NotFound."""
        found = self._records(approvals.c.id == id_)
        if not found:
            raise NotFound(f"request {id_}: no such one; see edge-hub approvals list")
        return found[0]

    def list(self, model: str | None = None) -> Sequence[ApprovalRecord]:
        """Return requests, oldest first: of a model, or of all."""
        return self._records(true() if model is None else approvals.c.model == model)

    def _records(self, which: ColumnElement[bool]) -> Sequence[ApprovalRecord]:
        query = select(approvals).where(which).order_by(approvals.c.id)
        with reading(self._engine) as db:
            rows = [ApprovalRecord(**row) for row in db.execute(query).mappings()]
        now = self._clock()
        return [
            dataclasses.replace(row, state=EXPIRED)
            if row.state == PENDING and row.expires_at <= now
            else row
            for row in rows
        ]

    def approve(self, id_: int, *, by: Person) -> ApprovalRecord:
        """Carry out what somebody else asked for.

        Args:
            id_: of the request.
            by: the second person.

        Raises:
            NotFound: there is no such request.
            Forbidden: it is who asked, or no person.
            Conflict: it was decided or expired, or the plan is another one by now.
            HubFault: promoting does not work any more.
        """
        _check_human(by, "approves")
        request = self.get(id_)
        if request.requested_by == by.name:
            raise Forbidden(f"request {id_}: {by.name} asked for it, and somebody else approves it")
        with exclusive(self._engine, f"approvals {request.model}"), transaction(self._engine):
            self._decide(request, "approved", by)
            plan = self._plans.current(request.model)
            if (plan.serial if plan else 0) != request.serial:
                raise Conflict(
                    f"request {id_}: the plan of {request.model} changed since it was asked for; "
                    "look at it, and ask again"
                )
            noted = {"request": id_, "version": request.version, "asked": request.requested_by}
            self._audit.record(by.name, "approve-promotion", request.model, noted)
            self._carry_out(request, by)
        return self.get(id_)

    def _carry_out(self, request: ApprovalRecord, by: Person) -> None:
        reason = f"{request.reason} (approved by {by.name}, request {request.id})"
        actor = request.requested_by
        if request.experiment is not None:
            self._experiments.promote(
                request.experiment, actor=actor, reason=reason, arm=request.arm
            )
            return
        self._plans.promote(
            request.model, request.version, actor=actor, reason=reason, override=request.override
        )

    def refuse(self, id_: int, *, by: Person, reason: str) -> ApprovalRecord:
        """Have a request come to nothing; who asked withdraws it so.

        Args:
            id_: of the request.
            by: who decides that.
            reason: why, for the audit log.

        Raises:
            NotFound: there is no such request.
            Conflict: it was decided or expired.
        """
        request = self.get(id_)
        state = "withdrawn" if request.requested_by == by.name else "refused"
        with transaction(self._engine):
            self._decide(request, state, by)
            noted = {"request": id_, "version": request.version, "reason": reason}
            self._audit.record(by.name, f"{state}-promotion", request.model, noted)
        return self.get(id_)

    def _decide(self, request: ApprovalRecord, state: str, by: Person) -> None:
        t, now = approvals.c, self._clock()
        # One statement looks and decides: of two at once, one comes too late.
        open_ = (t.id == request.id) & (t.state == PENDING) & (t.expires_at > now)
        values = {"state": state, "decided_by": by.name, "decided_at": now}
        with transaction(self._engine) as db:
            if db.execute(update(approvals).where(open_).values(**values)).rowcount != 1:
                was = self.get(request.id).state
                raise Conflict(f"request {request.id}: is {was}; ask again")

    def check_experiment(self, spec: ExperimentSpec) -> None:
        """Refuse an experiment by which one person's own terms would promote.

        What a policy declares is the policy's decision; what somebody brings along is theirs.

        Raises:
            Conflict: two people have to decide, and it would promote what wins by itself.
        """
        if self._policy_of(spec.model).promote and spec.promotes and not spec.approval:
            raise Conflict(
                f"{spec.model}: two people decide what serves, and this experiment would by "
                "itself; say approval: true, so that what wins waits, or on_success: conclude"
            )

    def check_policy(self, model: str, text: str, by: Person) -> None:
        """Let administrators alone drop the second person from a policy.

        Args:
            model: whose policy it is.
            text: YAML that would be in force.
            by: who applies it.

        Raises:
            Forbidden: the policy in force asks for a second person, and the new one does not.
            Invalid: the text is no policy.
        """
        if by.may(Role.ADMINISTRATOR):
            return
        if self._policy_of(model).promote and not parse_policy(text).approvals.promote:
            raise Forbidden(
                f"{model}: its policy asks for a second person (approvals.promote), and only an "
                f"administrator may drop that; {by.name} is {by.role.word}"
            )


def _check_human(person: Person, does: str) -> None:
    if not person.is_human:
        raise Forbidden(
            f"two people have to decide, and {person.name} is none: a person {does} it with a "
            "token of their own; see edge-hub people"
        )
