"""What events mean, in words: for pages, messages and the command line. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloud_hub.events.event import StreamEvent

WORDS: Final[Mapping[str, str]] = {
    "version.published": "A version was published",
    "version.alias_set": "A version was given an alias",
    "version.alias_removed": "An alias was taken away",
    "version.tag_set": "A model or a version was tagged",
    "version.tag_removed": "A tag was taken away",
    "version.description_set": "A model or a version was described",
    "version.evidence_exported": "The evidence of a version was exported",
    "version.exported": "A version was exported to a registry",
    "plan.changed": "What serves was changed",
    "rollout.started": "An experiment began",
    "rollout.passed": "An experiment passed a step",
    "rollout.aborted": "An experiment was aborted",
    "rollout.promoted": "A candidate was promoted",
    "rollout.stopped": "An experiment was stopped",
    "rollout.paused": "An experiment was paused",
    "rollout.resumed": "An experiment goes on",
    "rollout.dropped": "A candidate was dropped",
    "rollout.waits_for_approval": "A candidate waits for approval",
    "rollout.taken_back": "Devices refused a release: what served before serves again",
    "rollout.promotion_requested": "A promotion waits for a second person",
    "rollout.promotion_approved": "A second person approved a promotion",
    "rollout.promotion_refused": "A second person refused a promotion",
    "rollout.promotion_withdrawn": "A promotion was withdrawn",
    "gate.overridden": "The offline gate was overridden",
    "alarm.opened": "An alarm opened",
    "alarm.closed": "An alarm closed",
    "alarm.acknowledged": "An alarm was acknowledged",
    "run.trigger_fired": "A trigger fired",
    "run.requested": "A run was asked for",
    "run.failed": "A run failed",
    "run.rejected": "The gate rejected what a run trained",
    "run.held": "What a run trained is held",
    "run.cancelled": "A run was cancelled",
    "run.promoted": "What a run trained serves",
    "run.rolled_back": "What a run trained was taken back",
    "device.enrolled": "A device joined",
    "device.approved": "A device was let in",
    "device.revoked": "A device was stopped",
    "device.forgotten": "A device was forgotten",
    "device.cloned": "A device's identity was copied; it is stopped",
    "device.flagged": "A device claimed what cannot be",
    "device.registered": "Serial numbers were registered",
    "device.log_asked": "Somebody asked for a device's log",
    "device.sync_asked": "A device was asked to sync",
    "device.imported": "A history was imported as a device",
    "key.renewed": "Signatures were renewed",
    "policy.changed": "A policy was changed",
    "policy.trigger_rearmed": "A trigger was armed again",
    "data.dataset": "A version of a dataset was added",
    "data.tag": "A version of a dataset was tagged",
    "data.pack": "A pack of answers was published",
    "data.entities": "Answers by entity were published",
    "data.refused": "Answers by entity were refused",
    "data.batch": "A batch job is done",
    "data.failed": "A batch job failed",
    "data.features": "Features were published",
    "data.declared": "A set of features was declared",
    "data.taken": "Rows of features were taken in",
    "access.person_added": "A person was added",
    "access.person_changed": "A person's rights were changed",
    "access.person_disabled": "A person was disabled",
    "access.person_enabled": "A person was enabled",
    "access.access_token_made": "An access token was made",
    "access.access_token_revoked": "An access token was revoked",
    "access.signed_in": "Somebody signed in",
    "access.webhook_token_made": "A token for a webhook was made",
    "access.enrolment_token_made": "A token for devices was made",
    "access.enrolment_token_revoked": "A token for devices was revoked",
    "hub.restored": "The hub was made of a backup",
    "hub.test": "A test: nothing happened",
}
"""By type, without ``edge.``; one that is not here is told by its own words."""


def words_of(event: StreamEvent) -> str:
    """Return what an event means, without a stop: ``A run failed``."""
    name = event.type.removeprefix("edge.")
    if name in WORDS:
        return WORDS[name]
    kind, _, what = name.partition(".")
    return f"{kind} {what}".strip().replace("_", " ").replace(".", " ").capitalize()
