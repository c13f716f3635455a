"""A replay that is computed elsewhere: the history of a model travels, firings come back.

Rules share one budget, so all rules of one replay are one task. What comes back is read as data: a
node may say what it likes, and nothing of it is unpickled.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloud_hub.database.documents import as_documents
from cloud_hub.engine.engine import SpreadTask
from cloud_hub.errors import HubFault
from cloud_hub.triggers.replay import Moment, Replay, replay

if TYPE_CHECKING:
    from cloud_hub.engine.engine import Engine
    from cloud_hub.policy.schema.sections import BudgetPolicy, TriggerRule
    from cloud_hub.triggers.facts import ServingHistory


@dataclass(frozen=True)
class ReplayOrder:
    """The arguments of :func:`cloud_hub.triggers.replay.replay`."""

    rules: tuple[TriggerRule, ...]
    history: ServingHistory
    budget: BudgetPolicy
    since: float
    until: float
    step: float


def replayed(engine: Engine, order: ReplayOrder) -> list[Replay]:
    """Replay a history, here or elsewhere.

    Args:
        engine: that computes.
        order: what to replay.

    Returns:
        One replay a rule; from elsewhere the evidence of its moments is a document, of the same
        JSON.

    Raises:
        EngineUnavailable: the engine cannot be reached.
        HubFault: the task failed.
    """
    if not engine.elsewhere:
        return _replay(order)
    task = SpreadTask(f"{__name__}:replay_history", pickle.dumps(order))
    [raw] = engine.spread(task, [b""])
    return replays_from(raw, [rule.name for rule in order.rules])


def replay_history(common: bytes, item: bytes) -> bytes:
    """Replay a history on a node.

    Args:
        common: a pickled :class:`ReplayOrder`, of the hub's own making.
        item: nothing.

    Returns:
        The replays, as JSON.
    """
    order: ReplayOrder = pickle.loads(common)
    return json.dumps(as_documents(_replay(order))).encode()


def _replay(order: ReplayOrder) -> list[Replay]:
    return replay(
        order.rules, order.history, order.budget,
        since=order.since, until=order.until, step=order.step,
    )  # fmt: skip


def replays_from(raw: bytes, names: Sequence[str]) -> list[Replay]:
    """Read what :func:`replay_history` returned.

    Args:
        raw: from a node.
        names: of the rules.

    Raises:
        HubFault: it is no replay, or one of other rules.
    """
    try:
        found = [
            Replay(
                str(each["trigger"]),
                tuple(
                    Moment(float(m["at"]), str(m["version"]), dict(m["evidence"]))
                    for m in each["firings"]
                ),
                {str(name): int(count) for name, count in each["outcomes"].items()},
            )
            for each in json.loads(raw)
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise HubFault(f"triggers: a task returned no replay; {error}") from error
    if [each.trigger for each in found] != list(names):
        raise HubFault("triggers: a task returned the replay of other rules")
    return found
