"""Answers to rows that devices voted for: in shares, here or on the nodes of an engine.

Shares are cut in the same way wherever they are answered, since a batch of another size may round
its last bit otherwise.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_hub.engine.engine import SpreadTask
from cloud_hub.engine.folders import packed_folder
from cloud_hub.packs.predictions import Answered, Row, Rows, answer_each

if TYPE_CHECKING:
    from cloud_hub.engine.apart import Cancelling
    from cloud_hub.engine.engine import Engine
    from edge_sdk.contract.manifest import Manifest
    from edge_sdk.model.release import Feed, Release

SHARE_ROWS: Final = 4_096
LENGTH: Final = struct.Struct("<Q")
"""Of the manifest that goes before the packed release."""

Ask = Callable[["Release", Sequence[Row], "Manifest"], "Feed"]
"""Gives outputs of a release as the asking one has them; raises Invalid."""


def answered_here(ask: Ask, cloud: Release, asking: Manifest, rows: Rows) -> Answered:
    """Have rows answered in this process.

    Args:
        ask: runs a release.
        cloud: the release that answers.
        asking: of the release that the answers are for.
        rows: at least one.
    """
    found = (answer_each(lambda some: ask(cloud, some, asking), part) for part in _shares(rows))
    return _joined(found)


def answered_elsewhere(
    engine: Engine, cloud: Release, asking: Manifest, rows: Rows, going: Cancelling
) -> Answered:
    """Have rows answered by an engine; they are the same.

    Args:
        engine: that computes.
        cloud: the release that answers; it travels once.
        asking: of the release that the answers are for.
        rows: at least one.
        going: ends the wait.

    Raises:
        EngineUnavailable: the engine cannot be reached.
        HubFault: a task failed.
    """
    told = asking.to_json()
    common = b"".join((LENGTH.pack(len(told)), told, packed_folder(Path(cloud.folder))))
    items = (
        json.dumps([[key.hex(), list(row)] for key, row in part.items()]).encode()
        for part in _shares(rows)
    )
    # By its name alone: it runs models, which this process of the hub may never do.
    spread = engine.spread(SpreadTask("cloud_hub.packs.answer_share:answer_share", common), items)
    going.tell(spread.cancel)
    return _joined(_read(raw) for raw in spread)


def _shares(rows: Rows) -> Iterator[dict[bytes, Row]]:
    left = iter(rows.items())
    while part := dict(islice(left, SHARE_ROWS)):
        yield part


def _joined(found: Iterator[Answered]) -> Answered:
    whole = Answered({}, {})
    for each in found:
        whole.answers.update(each.answers)
        whole.refused.update(each.refused)
    return whole


def _read(raw: bytes) -> Answered:
    answers, refused = json.loads(raw)
    return Answered(
        {bytes.fromhex(key): answer for key, answer in answers.items()},
        {bytes.fromhex(key): reason for key, reason in refused.items()},
    )
