"""Signing requests in words: what the owner of an offline key puts their name to. Pure.

Everything is read from the metadata that is signed, nothing from what somebody wrote beside it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from tuf.api.metadata import Metadata, Root, Targets

from cloud_hub.registry.keys.changes import GROUPS, IN_ROOT, IN_TARGETS
from cloud_hub.registry.roles import RELEASES


def describe(
    role: str, following: Metadata[Any], current: Metadata[Any] | None, now: datetime.datetime
) -> list[str]:
    """Return what signing would say, a sentence each.

    Args:
        role: ``root``, ``targets`` or ``releases``.
        following: to be signed.
        current: of the same role, that is in force; ``None`` if it is not known here.
        now: when it is.
    """
    signed = following.signed
    before = current.signed if current else None
    was = f"{before.version} -> " if before else ""
    days = (signed.expires - now).days
    lines = [f"{role} {was}{signed.version}, valid until {signed.expires:%Y-%m-%d} ({days} days)"]
    if isinstance(signed, Root):
        names = [name for group in GROUPS for name in IN_ROOT[group]]
        return lines + [line for name in names for line in _keys(name, signed, before)]
    if role == RELEASES:
        return [*lines, _files(signed, before)]
    names = [name for group in GROUPS for name in IN_TARGETS[group]]
    lines += [line for name in names for line in _keys(name, signed, before)]
    return lines + list(_unusual(signed, before))


def _files(signed: Targets, before: Targets | None) -> str:
    """Return what releases list; a stolen hub might slip in a model."""
    if before is None:
        return f"WARNING: it lists {len(signed.targets)} files; what is in force is not shown"
    known = before.targets
    other = sorted(p for p, t in signed.targets.items() if known.get(p) != t)
    gone = len(known.keys() - signed.targets.keys())
    if not (other or gone):
        return f"it lists {len(signed.targets)} files, as before"
    shown = ", ".join(f"{path!r:.80}" for path in other[:5])
    return f"WARNING: it lists {len(other)} other files ({shown}) and lacks {gone}; expected none"


def _keys(name: str, signed: Root | Targets, before: Root | Targets | None) -> list[str]:
    role = signed.get_delegated_role(name)
    line = f"keys of {name}: {role.threshold} of {len(role.keyids)}"
    if before is None:
        return [f"{line}: {_short(role.keyids)}"]
    old = before.get_delegated_role(name)
    added = [keyid for keyid in role.keyids if keyid not in old.keyids]
    removed = [keyid for keyid in old.keyids if keyid not in role.keyids]
    parts = [f"added {_short(added)}"] if added else []
    parts += [f"removed {_short(removed)}"] if removed else []
    if old.threshold != role.threshold:
        parts.append(f"threshold {old.threshold} -> {role.threshold}")
    return [f"{line}; {'; '.join(parts) or 'as before: ' + _short(role.keyids)}"]


def _unusual(signed: Targets, before: Targets | None) -> Iterable[str]:
    """What no command here ever makes, and a stolen hub might slip in."""
    if signed.targets:
        yield f"WARNING: it signs {len(signed.targets)} files itself; expected none"
    paths = (
        {n: r.paths for n, r in (signed.delegations.roles or {}).items()}
        if signed.delegations
        else {}
    )
    known = before.delegations.roles if before and before.delegations else None
    if known is not None and paths != {name: role.paths for name, role in known.items()}:
        yield f"WARNING: other roles or paths are delegated than before: {paths}"


def _short(keyids: Iterable[str]) -> str:
    return ", ".join(keyid[:12] for keyid in keyids)
