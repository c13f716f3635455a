"""Messages of a history that was answered elsewhere. Pure: which of them a replay can have made."""

from __future__ import annotations

from typing import Final, NamedTuple

from cloud_hub.telemetry.storing import rejection
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.messages import Body, Rejection, UpdateEvent, Upload, Windowed

NO_PART: Final = "a replayed history takes no part in updates and experiments"


class ReplayedMessages(NamedTuple):
    """What of an upload counts, what is refused, and when its first window began, Unix seconds."""

    upload: Upload
    refused: tuple[Rejection, ...]
    begin: float


def replayed_messages(upload: Upload, now: float) -> ReplayedMessages:
    """Take out of an upload what no replay makes, so that it moves no gate of a live fleet.

    One that cannot be read stays: it is refused with its reason when it is taken in.

    Args:
        upload: of an administrator.
        now: Unix seconds.
    """
    kept, refused, begin = [], [], now
    for message in upload.messages:
        try:
            body = message.open()
        except ContractError:
            kept.append(message)
            continue
        if _speaks_of_others(body):
            refused.append(rejection(message, NO_PART))
            continue
        kept.append(message)
        if isinstance(body, Windowed):
            begin = min(begin, float(body.window.start))
    return ReplayedMessages(Upload(tuple(kept)), tuple(refused), begin)


def _speaks_of_others(body: Body) -> bool:
    if isinstance(body, Windowed):
        return body.window.experiment is not None
    return isinstance(body, UpdateEvent)
