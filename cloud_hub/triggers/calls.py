"""Bodies with which other systems call a webhook."""

from __future__ import annotations

from cloud_hub.database.documents import Document
from cloud_hub.errors import Invalid
from edge_sdk.contract.codec import check_plain, parse_json
from edge_sdk.contract.errors import ContractError


def read_call(raw: bytes) -> Document:
    """Parse the JSON object in a body, ``{}`` if it is empty; raises Invalid."""
    if not raw.strip():
        return {}
    try:
        payload = parse_json(raw, "webhook")
        check_plain("webhook", payload)
    except ContractError as error:
        raise Invalid(str(error)) from error
    if not isinstance(payload, dict):
        raise Invalid(f"webhook: expected a JSON object, got {type(payload).__name__}")
    return payload
