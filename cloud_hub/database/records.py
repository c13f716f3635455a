"""Records that several features pass on; the feature that owns the table reads them from it."""

from __future__ import annotations

from dataclasses import dataclass

from cloud_hub.errors import Invalid


@dataclass(frozen=True)
class EnrolledDevice:
    """A device that showed a credential.

    Attributes:
        device: its name.
        models: whose fleets it is in.
    """

    device: str
    models: tuple[str, ...]

    def check_model(self, model: str) -> None:
        """Refuse a model that is none of the device's.

        Raises:
            Invalid: it is not.
        """
        if model not in self.models:
            names = ", ".join(self.models)
            raise Invalid(f"model: this device belongs to {names}, not to {model:.80}")


@dataclass(frozen=True)
class DeviceRecord:
    """One model on a device, and the state that was last reported of it.

    Attributes:
        device: its name.
        model: that it serves.
        enrolled_at: Unix seconds.
        seen_at: Unix seconds of its last check-in, or of its enrolment.
        attributes: by which cohorts are chosen.
        version: that it serves; ``None`` before the first one.
        plan: serial of the plan that it follows; 0 for none.
        pack: SHA-256 of its pack of answers.
        phase: of its update.
        failed: releases that failed on it.
        waiting: messages in its outbox.
        sharing: it may share rows.
        software: versions of its operating system and SDK; runtime, variant and provider of what
            serves.
        interval: seconds from one contact of the device to the next, as it said; ``None`` if it did
            not.
        standing: ``active``, ``pending``, ``revoked`` or ``cloned``; only active ones take part.
        reason: why it is not active.
        enrolled_by: what it joined with: ``token:ID`` or ``serial:SN``.
        vouched_by: who vouched for it; devices of the same voucher are one voter, whatever they
            say, because whoever holds a token of many uses could be all of them.
        serial: its serial number, if it was registered by one.
    """

    device: str
    model: str
    enrolled_at: float
    seen_at: float
    attributes: dict[str, str]
    version: str | None
    plan: int
    pack: str | None
    phase: str
    failed: list[str]
    waiting: int
    sharing: bool
    software: dict[str, str]
    interval: float | None = None
    standing: str = "active"
    reason: str | None = None
    enrolled_by: str = ""
    vouched_by: str = ""
    serial: str | None = None


@dataclass(frozen=True)
class ApprovalRecord:
    """A promotion that somebody asked for, and what became of it.

    Attributes:
        id: its number.
        model: whose plan it changes.
        version: that would serve everybody.
        serial: of the plan that was in force when it was asked for; 0 for none.
        reason: why, in words of who asked.
        override: reason to promote a version that an experiment took back.
        experiment: of which it promotes an arm; ``None`` for none.
        arm: that arm.
        requested_by: who asked.
        requested_at: Unix seconds.
        expires_at: Unix seconds; nobody can approve it from then on.
        state: ``pending``, ``approved``, ``refused``, ``withdrawn`` or ``expired``.
        decided_by: who decided.
        decided_at: Unix seconds.
    """

    id: int
    model: str
    version: str
    serial: int
    reason: str
    override: str | None
    experiment: str | None
    arm: str | None
    requested_by: str
    requested_at: float
    expires_at: float
    state: str
    decided_by: str | None
    decided_at: float | None
