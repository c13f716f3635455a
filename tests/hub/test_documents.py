"""Documents that every device reads: compressed for whoever takes that, resumed after a cut."""

from __future__ import annotations

import pytest
import requests

from cloud_hub.api.artifact_response import COMPRESSED_BYTES
from edge_sdk.system.compression import zstd
from tests.servers import HubProcess

ROLE = "/v1/metadata/1.root.json"


def raw(hub: HubProcess, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """Status, body as it was sent, headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    token = (hub.data / "admin.token").read_text().strip()
    asked = {"Accept-Encoding": "identity", "Authorization": f"Bearer {token}", **named}
    with requests.get(hub.url + ROLE, headers=asked, stream=True, timeout=60) as response:
        body = response.raw.read(decode_content=False)
        return response.status_code, body, {k.lower(): v for k, v in response.headers.items()}


def test_metadata_is_compressed_where_that_is_taken(hub: HubProcess) -> None:
    _, plain, headers = raw(hub)
    assert plain == (hub.data / "repository" / "metadata" / "1.root.json").read_bytes()
    assert len(plain) > COMPRESSED_BYTES
    assert "content-encoding" not in headers
    _, packed, compressed = raw(hub, Accept_Encoding="zstd")
    assert zstd.decompress(packed) == plain
    assert len(packed) < len(plain) / 1.5
    assert (compressed["content-encoding"], compressed["vary"]) == ("zstd", "Accept-Encoding")
    assert compressed["etag"] != headers["etag"]


@pytest.mark.parametrize("encoding", ["identity", "zstd"])
def test_a_rest_is_given_of_what_was_sent_and_of_nothing_else(
    hub: HubProcess, encoding: str
) -> None:
    _, whole, headers = raw(hub, Accept_Encoding=encoding)
    asked = {"Accept_Encoding": encoding, "Range": "bytes=100-"}
    status, rest, _ = raw(hub, **asked, If_Range=headers["etag"])
    assert (status, rest) == (206, whole[100:])
    for other in ('"another"', headers["etag"].replace('"', "")):
        assert raw(hub, **asked, If_Range=other)[:2] == (200, whole)
    assert raw(hub, **asked)[:2] == (200, whole)
    beyond = {**asked, "Range": "bytes=900000-", "If_Range": headers["etag"]}
    assert raw(hub, **beyond)[:2] == (200, whole)
    known = raw(hub, Accept_Encoding=encoding, If_None_Match=headers["etag"])
    assert known[:2] == (304, b"")
