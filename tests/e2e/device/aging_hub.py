"""A hub in this process whose clock a test moves, with its offline keys on a stick, over real HTTP.

Devices are given the same clock, or a wrong one.
"""

from __future__ import annotations

import contextlib
import datetime
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from cloud_hub.app import create_app
from cloud_hub.client import AdminClient
from cloud_hub.hub import initialise, open_hub
from cloud_hub.registry.key_folder import OfflineKeys
from cloud_hub.registry.keys.request import SigningRequest
from cloud_hub.registry.keys.service import KeyOutcome, Keys
from cloud_hub.registry.signing import load_signer
from cloud_hub.settings import Settings
from edge_sdk import EdgeDevice
from tests.clock import Clock
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release
from tests.hub.registry.keys.old_hub import DAY, age
from tests.waiting import PATIENCE, wait_for

MODEL = "lasting"


class AgingHub:
    """Serves model ``lasting`` 1.0; two of its three offline keys sign."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Clock()
        self.stick = folder / "stick"
        settings = Settings(folder / "hub", tick_seconds=0)
        initialise(settings, OfflineKeys(self.stick, 3, 2))
        self.hub = open_hub(settings)
        self.repository = self.hub.repository
        self.machine = age(self.repository, self.clock)
        self.keys = Keys(self.repository)
        self.publish("1.0")
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(create_app(self.hub), log_config=None, access_log=False)
        )
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        wait_for(lambda: self._server.started, "the hub")

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self.hub.close()

    def publish(self, version: str) -> None:
        """A new version that serves everybody."""
        seed = int(version.replace(".", ""))
        release = make_release(self.folder / "made" / version, MODEL, version, seed=seed)
        self.hub.registry.publish(release, actor="test", override="test")
        self.hub.plans.promote(MODEL, version, actor="test", reason="test")

    def live(self, days: float) -> None:
        """Days pass while the hub's loop runs."""
        while days > 0:
            step = min(days, 60.0)
            self.machine.run(step * DAY)
            self.tick()
            days -= step

    def tick(self) -> None:
        """What the loop does about keys."""
        self.hub.loop.parts["renewal"](self.clock())

    def device(self, state: Path, **more: Any) -> EdgeDevice:
        options = {"clock": self.clock, "config": PATIENT, "background": False} | more
        admin = AdminClient(self.url, (self.folder / "hub" / "admin.token").read_text())
        token = admin.post("enrolment-tokens", model=MODEL, uses=1)["token"]
        return EdgeDevice(state, hub=self.url, token=token, model=MODEL, **options)

    def sign_elsewhere(self, outcome: KeyOutcome, numbers: Sequence[int] = (1, 3)) -> None:
        """Carry a request to the holders of offline keys, and back."""
        path = self.stick / "request.json"
        request = outcome.request
        for number in numbers:
            assert request is not None
            request.write(path, outcome.says)
            request = SigningRequest.read(path)
            request.sign({"key": load_signer(self.stick / f"offline-{number}.pem")})
        assert request is not None
        self.keys.take([request])
        self.tick()

    @property
    def now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.clock(), datetime.UTC)


@contextlib.contextmanager
def aging_hub(folder: Path) -> Iterator[AgingHub]:
    hub = AgingHub(folder)
    try:
        yield hub
    finally:
        hub.close()
