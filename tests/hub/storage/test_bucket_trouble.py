"""A bucket that is away, slow, read-only or cut: one error says so, nothing is half-visible."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cloud_hub.errors import Invalid, Unavailable
from cloud_hub.storage.artifact_store import read
from cloud_hub.storage.bucket import BucketClient, Limits
from cloud_hub.storage.bucket_address import BucketAddress
from cloud_hub.storage.bucket_store import BucketStore
from cloud_hub.storage.self_test import self_test
from tests.buckets import CREDENTIALS, BucketServer
from tests.cutting_proxy import CuttingProxy

pytestmark = pytest.mark.s3
QUICK = Limits(connect=5.0, silence=1.0, retries=0, retrying=1.0)
LARGE = bytes(range(256)) * (36 << 10)  # 9 MiB: two parts


@pytest.fixture
def address(buckets: BucketServer) -> BucketAddress:
    return BucketAddress.parse(buckets.bucket())


@pytest.fixture
def store(address: BucketAddress) -> BucketStore:
    return BucketStore(BucketClient(address, "blobs"))


def through(address: BucketAddress, endpoint: str) -> BucketStore:
    """The same store by another way."""
    return BucketStore(BucketClient(replace(address, endpoint=endpoint), "blobs", QUICK))


def test_a_bucket_that_is_away_is_one_error_without_secrets(
    address: BucketAddress, store: BucketStore
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
    away = through(address, nowhere)
    for work in (lambda: away.put("x", b""), lambda: read(away, "x"), lambda: away.exists("x")):
        with pytest.raises(Unavailable, match="blobs: could not") as told:
            work()
        assert (told.value.status, told.value.headers) == (503, {"Retry-After": "5"})
        assert not any(value in str(told.value) for value in list(CREDENTIALS.values())[:2])


def test_a_bucket_that_says_nothing_is_given_up(address: BucketAddress) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = through(address, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Unavailable, match="could not write x"):
            slow.put("x", b"")


def test_an_upload_in_parts_that_is_torn_leaves_nothing_to_be_seen(
    address: BucketAddress, store: BucketStore
) -> None:
    proxy = CuttingProxy(str(address.endpoint), seed=1, mean=20)  # within the first answer
    torn = through(address, proxy.url)
    try:
        with pytest.raises(Unavailable, match="could not write"):
            torn.put("x", LARGE)
        assert (store.exists("x"), list(store.list())) == (False, [])
        store.put("x", LARGE)
        with pytest.raises(Unavailable, match="could not write"):
            torn.put("x", LARGE[::-1])
        assert read(store, "x") == LARGE
        with pytest.raises(Unavailable, match="could not read"):
            read(torn, "x")  # and never a part of it
    finally:
        proxy.close()


class ReadOnly(BaseHTTPRequestHandler):
    """Forbids all that writes, as S3 does."""

    def forbid(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST = do_DELETE = forbid

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def read_only() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), ReadOnly)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_right_that_is_missing_is_named_before_the_hub_serves(
    address: BucketAddress, read_only: str
) -> None:
    bucket = BucketClient(replace(address, endpoint=read_only), "metadata", QUICK)
    with pytest.raises(Unavailable, match=r"cannot write an object \(it takes s3:PutObject\)") as e:
        self_test(bucket)
    assert "AccessDenied: Access Denied" in str(e.value)


def test_a_bucket_that_is_none_is_told(address: BucketAddress) -> None:
    bucket = BucketClient(replace(address, bucket="no-such-bucket"), "metadata", QUICK)
    with pytest.raises(Unavailable, match="there is no such bucket; make it"):
        self_test(bucket)


ADDRESSES = {
    "": "expected a URL such as",
    "/folder": "expected a URL such as",
    "http://bucket": "expected a URL such as",
    "s3://": "expected a URL such as",
    "s3://bucket?colour=red": "got colour",
    "s3://bucket?region=a&region=b": "got one twice",
    "s3://bucket/a//b": "without empty parts",
    "s3://bucket/../x": "without empty parts or dots",
    "s3://bucket?redirect=maybe": "expected yes or no",
    "s3://bucket?endpoint=minio": "endpoint: expected a URL",
    "gs://bucket?region=x": "got region",
}


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_that_is_none_says_what_is_expected(url: str) -> None:
    with pytest.raises(Invalid, match=ADDRESSES[url]):
        BucketAddress.parse(url)


@pytest.mark.parametrize(
    "url", ["s3://AKID:hush@bucket", "s3://bucket?secret_access_key=hush", "s3://b?token=hush"]
)
def test_credentials_in_an_address_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(Invalid, match="must not carry credentials") as told:
        BucketAddress.parse(url)
    assert "hush" not in str(told.value)


def test_an_address_is_read() -> None:
    url = "s3://models/prod/eu?endpoint=http://minio:9000/&region=eu&redirect=no"
    address = BucketAddress.parse(url)
    assert address == BucketAddress(
        "s3", "models", "prod/eu", "http://minio:9000", region="eu", redirects=False
    )
    assert str(address) == "s3://models/prod/eu at http://minio:9000"
