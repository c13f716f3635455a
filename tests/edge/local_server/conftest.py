"""A device and its server, one for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk import EdgeDevice
from edge_sdk.local_server.server import LocalServer
from edge_sdk.model.release import Release
from tests.edge.builders import make_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def device(release: Release) -> Iterator[EdgeDevice]:
    with EdgeDevice.offline(release.folder) as device:
        yield device


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "edge.sock"


@pytest.fixture(scope="module")
def server(device: EdgeDevice, socket_path: Path) -> Iterator[LocalServer]:
    with LocalServer(device, port=0, path=socket_path) as server:
        yield server
