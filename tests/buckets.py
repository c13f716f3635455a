"""An S3-compatible server of the tests' own (moto, in a process of its own) with fresh buckets.

It takes any credential and any signature: what is signed how is not shown by it.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

NUMBERS = itertools.count(1)
MISSING = "an S3-compatible server is not installed here (pip install 'moto[server]')"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example-secret",
    "AWS_REGION": "us-east-1",
}
SERVER = """
import sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

lock = threading.Lock()
moto = DomainDispatcherApplication(create_backend_app)

def one_at_a_time(environ, start_response):
    with lock:  # moto is not safe from two requests for one object
        return moto(environ, start_response)

server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.port}", flush=True)
sys.stdin.read()  # until the tests end
"""


class BucketServer:
    """A server that ends with the tests, however they end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    def bucket(self) -> str:
        """The artifacts URL of a new bucket."""
        name = f"bucket-{next(NUMBERS)}-{os.getpid()}"
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{name}", method="PUT")).close()
        return f"s3://{name}/hub?endpoint={self.url}"

    def close(self) -> None:
        self._process.communicate()


def running_server() -> Iterator[BucketServer]:
    """A server, or a skip that says what is missing."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip(MISSING)
    server = BucketServer()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield server
    server.close()
