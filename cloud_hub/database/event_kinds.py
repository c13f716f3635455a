"""What kind of event each audited action is. Pure.

An action that is not named here is still an event, of kind ``hub``: an older hub shows what a newer
one wrote. A new action of the hub gets a line in :data:`ACTIONS`, or in :data:`FAMILIES` where its
first word says enough.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

EventKind = Literal[
    "version", "plan", "rollout", "gate", "alarm", "run", "device", "key", "policy", "data",
    "access", "hub",
]  # fmt: skip
"""What events are about.

``rollout``: experiments, and releases that were taken back. ``data``: datasets, features, packs and
batches. ``access``: people and tokens. ``hub``: everything else that the hub does.
"""

Severity = Literal["info", "warning", "critical"]
"""``warning``: somebody should look. ``critical``: something was undone, or is about to break."""

KINDS: Final[tuple[EventKind, ...]] = get_args(EventKind)
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""From the least severe."""


@dataclass(frozen=True)
class EventClass:
    """How an event is filed: its kind, its type (``edge.rollout.aborted``) and severity; the
    version and the device that it is about, ``None`` if it is about none.
    """

    kind: str
    type: str
    severity: str
    version: str | None = None
    device: str | None = None


ACTIONS: Final[Mapping[str, tuple[EventKind, str, Severity]]] = {
    "publish": ("version", "published", "info"),
    "alias set": ("version", "alias_set", "info"),
    "alias removed": ("version", "alias_removed", "info"),
    "tag set": ("version", "tag_set", "info"),
    "tag removed": ("version", "tag_removed", "info"),
    "description set": ("version", "description_set", "info"),
    "compliance exported": ("version", "evidence_exported", "info"),
    "release exported": ("version", "exported", "info"),
    "plan": ("plan", "changed", "info"),
    "refused release": ("rollout", "taken_back", "critical"),
    "gate overridden": ("gate", "overridden", "warning"),
    "alarm": ("alarm", "opened", "warning"),
    "alarm closed": ("alarm", "closed", "info"),
    "alarm acknowledged": ("alarm", "acknowledged", "info"),
    "trigger fired": ("run", "trigger_fired", "info"),
    "trigger re-armed": ("policy", "trigger_rearmed", "info"),
    "policy": ("policy", "changed", "info"),
    "keys": ("key", "renewed", "info"),
    "enrol": ("device", "enrolled", "info"),
    "approve": ("device", "approved", "info"),
    "revoke": ("device", "revoked", "warning"),
    "forget": ("device", "forgotten", "info"),
    "cloned": ("device", "cloned", "critical"),
    "flagged": ("device", "flagged", "warning"),
    "ask-logs": ("device", "log_asked", "info"),
    "ask-sync": ("device", "sync_asked", "info"),
    "import": ("device", "imported", "info"),
    "register": ("device", "registered", "info"),
    "enrol-token": ("access", "enrolment_token_made", "info"),
    "revoke-token": ("access", "enrolment_token_revoked", "info"),
    "webhook token": ("access", "webhook_token_made", "info"),
    "add-person": ("access", "person_added", "info"),
    "change-person": ("access", "person_changed", "info"),
    "disable-person": ("access", "person_disabled", "warning"),
    "enable-person": ("access", "person_enabled", "info"),
    "access-token": ("access", "access_token_made", "info"),
    "revoke-access-token": ("access", "access_token_revoked", "info"),
    "sign-in": ("access", "signed_in", "info"),
    "request-promotion": ("rollout", "promotion_requested", "warning"),
    "approve-promotion": ("rollout", "promotion_approved", "info"),
    "refused-promotion": ("rollout", "promotion_refused", "warning"),
    "withdrawn-promotion": ("rollout", "promotion_withdrawn", "info"),
    "restore": ("hub", "restored", "critical"),
}
"""By action: kind, last part of the type, severity."""

FAMILIES: Final[Mapping[str, EventKind]] = {
    **dict.fromkeys(("canary", "shadow", "ab", "interleave", "rush"), "rollout"),
    **dict.fromkeys(("run", "trigger"), "run"),
    **dict.fromkeys(("dataset", "features", "pack", "batch", "entities", "personalise"), "data"),
    **dict.fromkeys(("pipeline", "policy"), "policy"),
    **dict.fromkeys(("person", "people", "token", "access", "session", "sign", "role"), "access"),
    **dict.fromkeys(("gate",), "gate"),
    **dict.fromkeys(("device", "devices"), "device"),
    **dict.fromkeys(("alarm",), "alarm"),
    **dict.fromkeys(("key", "keys"), "key"),
}
"""Kinds by the first word of an action."""

CRITICAL: Final = frozenset({"aborted", "rolled_back"})
WARNING: Final = frozenset(
    {"failed", "refused", "rejected", "held", "differs", "dropped", "denied"}
)
"""Words of an action that say how severe it is."""

ABOUT_THEIR_ACTOR: Final = frozenset({"enrol", "flagged", "cloned"})
"""Actions whose actor is the device that they are about."""


def classified(actor: str, action: str, detail: Mapping[str, Any]) -> EventClass:
    """Return how an action is filed.

    Args:
        actor: who acted.
        action: such as ``canary aborted``.
        detail: of the entry; ``severity``, ``version`` and ``device`` in it are taken over.
    """
    words = re.findall(r"[a-z0-9_]+", action.lower())
    if action in ACTIONS:
        kind, what, severity = ACTIONS[action]
    else:
        kind = FAMILIES.get(words[0] if words else "", "hub")
        # ``canary aborted`` is edge.rollout.aborted: of which strategy it was, the data say.
        rest = words[1:] if kind != "hub" and len(words) > 1 else words
        what, severity = "_".join(rest)[:60] or "event", _severity(set(words))
    said = detail.get("severity")
    return EventClass(
        kind,
        f"edge.{kind}.{what}",
        said if said in SEVERITIES else severity,
        _text(detail.get("version") or detail.get("serving")),
        actor if action in ABOUT_THEIR_ACTOR else _text(detail.get("device")),
    )


def _severity(words: set[str]) -> Severity:
    if words & CRITICAL:
        return "critical"
    return "warning" if words & WARNING else "info"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
