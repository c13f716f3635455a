"""Uploads as devices send them, which :mod:`cloud_hub.api.device_posts` takes without the general
way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.device_posts import SHORT
from cloud_hub.telemetry.envelope import open_upload
from edge_sdk.contract.codec import to_plain

if TYPE_CHECKING:
    from cloud_hub.api.device_posts import Answering
    from cloud_hub.database.records import EnrolledDevice
    from cloud_hub.telemetry.service import Telemetry
    from edge_sdk.contract.messages import UploadReply

PATH: Final = "/v1/messages"


async def taken(telemetry: Telemetry, device: EnrolledDevice, raw: bytes) -> UploadReply:
    """Take the body of an upload; short ones are opened in the event loop, long ones in a thread.

    Args:
        telemetry: that takes it.
        device: who sent it.
        raw: the body.

    Raises:
        ContractError: it is no list of messages.
        Unavailable: too much waits, or the database cannot be used.
    """
    if len(raw) <= SHORT:
        opened = open_upload(raw)
        reply = await telemetry.ingest_async(device, opened.upload, len(raw))
    else:
        opened = await run_in_threadpool(open_upload, raw)
        reply = await run_in_threadpool(telemetry.ingest, device, opened.upload)
    if not opened.unreadable:
        return reply
    return replace(reply, rejected=(*opened.unreadable, *reply.rejected))


def taking(telemetry: Telemetry) -> Answering:
    """Return what answers the body of an upload with the reply as JSON."""

    async def answer(device: EnrolledDevice, raw: bytes) -> Any:
        return to_plain(await taken(telemetry, device, raw))

    return answer
