"""Uploads, opened one envelope at a time: a message that cannot be read costs no other one."""

from __future__ import annotations

from typing import Any, NamedTuple

from cloud_hub.telemetry.storing import REASON
from edge_sdk.contract.codec import from_plain, parse_json
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.limits import LARGEST_INTEGER, UPLOAD_MESSAGES
from edge_sdk.contract.messages import Message, Rejection, Upload
from edge_sdk.contract.names import check_name


class OpenedUpload(NamedTuple):
    """The messages that can be read, in order, and a rejection for each of the others."""

    upload: Upload
    unreadable: tuple[Rejection, ...]


def open_upload(raw: bytes) -> OpenedUpload:
    """Read the body of ``POST /v1/messages``.

    Raises:
        ContractError: it is no JSON, or no list of messages; then nothing of it counts.
    """
    plain = parse_json(raw, "Upload")
    items = plain.get("messages") if isinstance(plain, dict) else None
    if not isinstance(items, list):
        raise ContractError("Upload.messages: expected an array")
    if len(items) > UPLOAD_MESSAGES:
        raise ContractError(f"Upload: expected at most {UPLOAD_MESSAGES}, got {len(items)}")
    messages, unreadable = [], []
    for i, item in enumerate(items):
        try:
            messages.append(from_plain(Message, item, f"messages[{i}]"))
        except ContractError as error:
            unreadable.append(_rejection(item, str(error)))
    return OpenedUpload(Upload(tuple(messages)), tuple(unreadable))


def _rejection(item: Any, reason: str) -> Rejection:
    """Name the message as far as it says its name; a device counts rejections all the same.

    Only a good name is repeated: the reply must be one that the device can read.
    """
    named: dict[str, Any] = item if isinstance(item, dict) else {}
    boot, sequence = named.get("boot", ""), named.get("sequence", 0)
    try:
        check_name("boot", boot)
    except ContractError:
        boot = ""
    known = type(sequence) is int and 0 < sequence <= LARGEST_INTEGER
    return Rejection(boot, sequence if known else 0, reason[:REASON])
