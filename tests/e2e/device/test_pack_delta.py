"""A new pack over the wire from a real hub: by delta where it can be, whole where it cannot."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.data.dataset import Dataset
from edge_sdk import EdgeDevice
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import KeyVotes, Message, Upload
from edge_sdk.errors import PackError
from edge_sdk.hub.client import HubClient
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.delta import apply_delta
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows
from tests.model_folder import model_folder
from tests.servers import HubProcess, Proxy
from tests.simulated_device import join
from tests.waiting import PATIENCE, wait_for

ROWS = rows(400)
POLICY = b"packs: {every: 0.05, minimum_devices: 1}\nreporting: {window: 1s, votes: 1000}\n"


class Line:
    """One model at the hub: devices vote for rows, packs are built, a device follows."""

    def __init__(self, hub: HubProcess, release: Release) -> None:
        self.hub, self.model = hub, release.manifest.model
        self._canonicaliser = Canonicaliser(release.manifest.signature)
        self._client = HubClient(hub.url, timeout=PATIENCE)
        join(self._client, hub.token(self.model), self.model)
        catalogue = Dataset.of(ROWS, None).to_bytes()
        hub.admin.post(f"models/{self.model}/datasets/catalogue", catalogue)
        hub.admin.put(f"models/{self.model}/policy", POLICY)

    def vote(self, first: int, last: int) -> None:
        """One device wants rows ``first`` to ``last``; wait until the pack with them is out."""
        before = len(self.packs())
        keys = tuple(self._canonicaliser.key(row.tobytes()).hex() for row in ROWS[first:last])
        # A period of today: the hub forgets older votes once a minute, so also within a slow test.
        body = to_plain(KeyVotes(self.model, "1.0", int(time.time()), keys))
        self._client.upload(Upload((Message("b", last, "votes", body),)))
        wait_for(lambda: len(self.packs()) > before, "the pack")

    def packs(self) -> list[dict[str, object]]:
        return list(self.hub.admin.get(f"models/{self.model}/packs"))


@pytest.fixture
def line(hub: HubProcess, publish: Publish, request: pytest.FixtureRequest) -> Line:
    model = f"line-{zlib.crc32(request.node.name.encode())}"
    line = Line(hub, publish(model))
    line.vote(0, 350)
    return line


def opened(line: Line, state: Path, proxy: Proxy) -> EdgeDevice:
    token = line.hub.token(line.model)
    return EdgeDevice(
        state, hub=proxy.url, token=token, model=line.model, config=PATIENT, background=False
    )


def pack_downloads(proxy: Proxy) -> list[tuple[str, int]]:
    """What was asked of the hub's packs: (ending, bytes of the body)."""
    return [(path.rpartition(".")[2], size) for path, size in proxy.served if "/packs/" in path]


def the_pack(state: Path, digest: object) -> bytes:
    return (model_folder(state) / "packs" / f"{digest}.pack").read_bytes()


def test_a_device_that_holds_the_pack_before_downloads_the_delta_alone(
    line: Line, proxy: Proxy, tmp_path: Path
) -> None:
    with opened(line, tmp_path / "d", proxy) as device:
        proxy.served.clear()
        line.vote(350, 360)
        assert device.sync().update == "activated"
        new = line.packs()[-1]
        assert pack_downloads(proxy) == [("delta", new["delta"])]
        assert int(str(new["delta"])) < int(str(new["length"])) / 4
        folder, name = f"packs/{line.model}", f"{new['sha256']}.pack"
        published = line.hub.data / "repository" / "targets" / folder / f"{new['sha256']}.{name}"
        assert the_pack(tmp_path / "d", new["sha256"]) == published.read_bytes()
        assert device.predict(ROWS[355]).source == "pack"
        assert not list((model_folder(tmp_path / "d") / "packs").glob("*.delta*"))


@pytest.mark.parametrize("fault", ["error", "flip"])
def test_a_delta_that_does_not_arrive_whole_gives_way_to_the_whole_pack(
    line: Line, proxy: Proxy, tmp_path: Path, fault: str
) -> None:
    with opened(line, tmp_path / "d", proxy) as device:
        line.vote(350, 360)
        proxy.served.clear()
        proxy.fault, proxy.only = fault, ".delta"
        assert device.sync().update == "activated"
        new = line.packs()[-1]
        assert pack_downloads(proxy)[-1] == ("pack", new["length"])
        assert device.predict(ROWS[355]).source == "pack"


def damaged(pack: Path) -> None:
    raw = bytearray(pack.read_bytes())
    raw[-70] ^= 1
    pack.write_bytes(raw)


@pytest.mark.parametrize("harm", [damaged, Path.unlink])
def test_a_base_that_is_damaged_or_gone_is_not_built_upon(
    line: Line, proxy: Proxy, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    state = tmp_path / "d"
    opened(line, state, proxy).close()
    (pack,) = (model_folder(state) / "packs").glob("*.pack")
    harm(pack)
    line.vote(350, 360)
    with opened(line, state, proxy) as device:
        proxy.served.clear()
        assert device.sync().update == "activated"
        new = line.packs()[-1]
        assert pack_downloads(proxy)[-1] == ("pack", new["length"])
        assert device.predict(ROWS[355]).source == "pack"


def test_a_delta_that_cannot_be_applied_here_gives_way_to_the_whole_pack(
    line: Line, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk while the new pack is made of the old one."""

    def full(old: Path, delta: Path, path: Path) -> None:
        apply_delta(old, delta, path.with_name("elsewhere") / "p")

    with opened(line, tmp_path / "d", proxy) as device:
        line.vote(350, 360)
        proxy.served.clear()
        with monkeypatch.context() as patch:
            patch.setattr("edge_sdk.update.packs.apply_delta", full)
            assert device.sync().update == "activated"
        assert [ending for ending, _ in pack_downloads(proxy)] == ["delta", "pack"]
    with pytest.raises(PackError):
        full(tmp_path / "a", tmp_path / "b", tmp_path / "c")


def test_a_device_that_never_held_a_pack_downloads_the_whole(
    line: Line, proxy: Proxy, tmp_path: Path
) -> None:
    line.vote(350, 360)
    with opened(line, tmp_path / "d", proxy) as device:
        assert [ending for ending, _ in pack_downloads(proxy)] == ["pack"]
        assert np.isfinite(device.predict(ROWS[355]).probabilities).all()
