"""A bucket that is full: told in health and log, nothing of what was refused is seen, then it goes
on.
"""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cloud_hub.errors import Unavailable
from cloud_hub.hub import Hub, open_hub
from cloud_hub.observability.readiness import Readiness
from cloud_hub.settings import Settings
from tests.buckets import BucketServer
from tests.edge.builders import make_release
from tests.new_hub import initialise
from tests.waiting import PATIENCE

pytestmark = pytest.mark.s3
FULL = b"<Error><Code>XMinioStorageFull</Code><Message>Storage backend is full.</Message></Error>"


class FillingBucket:
    """A way to a bucket that takes nothing more while it is ``full``, as MinIO says it."""

    def __init__(self, server: str) -> None:
        self.full = False
        bucket, where = self, urlsplit(server).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if bucket.full and self.command in ("PUT", "POST"):
                    self._answer(507, {"Content-Type": "application/xml"}, FULL)
                    return
                connection = http.client.HTTPConnection(where, timeout=PATIENCE)
                connection.request(self.command, self.path, body, dict(self.headers))
                got = connection.getresponse()
                self._answer(got.status, dict(got.getheaders()), got.read())
                connection.close()

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

            def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
                self.send_response(status)
                passed = ("ETag", "Content-Type", "Last-Modified", "Content-Range")
                for name in (each for each in headers if each.title() in map(str.title, passed)):
                    self.send_header(name, headers[name])
                length = headers.get("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def bucket(buckets: BucketServer) -> Iterator[FillingBucket]:
    bucket = FillingBucket(buckets.url)
    yield bucket
    bucket.close()


@pytest.fixture
def hub(buckets: BucketServer, bucket: FillingBucket, tmp_path: Path) -> Iterator[Hub]:
    place = buckets.bucket().replace(buckets.url, bucket.url)
    settings = Settings(tmp_path / "hub", tick_seconds=0, artifacts=place)
    initialise(settings)
    hub = open_hub(settings)
    hub.registry.publish(make_release(tmp_path / "made"), actor="test")
    hub.registry.publish(make_release(tmp_path / "next", version="1.1", seed=2), actor="test")
    hub.plans.promote("demo", "1.0", actor="test", reason="first")
    yield hub
    hub.close()


def test_a_full_bucket_is_told_and_nothing_is_half_published(
    hub: Hub, bucket: FillingBucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen, now = hub.repository.files.timestamp(), [0.0]
    readiness = Readiness(hub, clock=lambda: now[0])
    readiness.tick(0.0)
    bucket.full, now[0] = True, 100.0
    third = make_release(tmp_path / "third", version="1.2", seed=3)
    with pytest.raises(Unavailable, match="XMinioStorageFull: Storage backend is full"):
        hub.registry.publish(third, actor="test")
    with pytest.raises(Unavailable, match="Storage backend is full"):
        hub.plans.promote("demo", "1.1", actor="test", reason="second")  # kept, and goes out later
    with caplog.at_level(logging.ERROR):
        readiness.tick(0.0)
    (check,) = (check for check in readiness.checks() if check.name == "artifacts")
    assert (check.state, "Storage backend is full" in check.says) == ("fail", True)
    assert "Storage backend is full" in caplog.text
    assert hub.repository.files.timestamp() == seen
    assert [record.version for record in hub.registry.versions("demo")] == ["1.0", "1.1"]
    bucket.full = False
    hub.plans.tick(0.0)
    hub.registry.publish(third, actor="test")
    plan = hub.plans.current("demo")
    assert plan is not None
    assert (plan.serving.version, hub.repository.has_plan(plan)) == ("1.1", True)
