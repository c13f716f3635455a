"""Cards of a fleet at their first start: each lets one device in, and forgets its secret."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from cloud_hub.cli.main import main as edge_hub
from edge_sdk.cli.main import main as edge
from tests.conftest import Publish
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for


def first_start(state: Path, card: Path) -> subprocess.CompletedProcess[str]:
    """``edge run`` until the end of its rows: there are none."""
    words = ["run", str(state), "--first-boot", str(card), "--log-level", "info"]
    return subprocess.run(
        [sys.executable, "-m", "edge_sdk.cli.main", *words],
        input="", capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_a_card_joins_once_and_is_removed(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("cards")
    root = hub.data / "repository" / "metadata" / "1.root.json"
    words = ["--count", "2", "--hub", hub.url, "--root", str(root), "--attribute", "region=eu"]
    assert edge(["provision", str(tmp_path / "cards"), *words]) == 0
    serials = str(tmp_path / "cards" / "serials.csv")
    register = ["devices", "register", serials, "--model", "cards", "--data", str(hub.data)]
    assert edge_hub(register) == 0
    card = tmp_path / "cards" / "SN-0001" / "edge.json"
    twin = Path(shutil.copy(card, tmp_path / "twin.json"))

    done = first_start(tmp_path / "a", card)
    assert done.returncode == 0, done.stderr
    assert not card.exists()
    assert "was removed" in done.stderr
    (device,) = [d for d in hub.admin.get("devices") if d["serial"] == "SN-0001"]
    assert device["attributes"] == {"region": "eu"}

    # The card of somebody who copied it before: what it holds is used up.
    again = first_start(tmp_path / "b", twin)
    assert again.returncode == 1
    assert "edge: " + str(twin) in again.stderr
    assert f"serial SN-0001: has joined as {device['device']}; forget that" in again.stderr
    assert twin.exists()

    # Killed after it had joined, before the card was cleaned: the device is who it was.
    shutil.copy(twin, card)
    assert first_start(tmp_path / "a", card).returncode == 0
    assert not card.exists()
    assert len([d for d in hub.admin.get("devices") if d["serial"] == "SN-0001"]) == 1
    assert first_start(tmp_path / "a", card).returncode == 0  # and never needs it again


def test_a_device_that_starts_before_its_hub_joins_when_it_is_there(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("late-cards")
    (tmp_path / "tokens").write_text(hub.token("late-cards"))
    words = ["--tokens", str(tmp_path / "tokens"), "--hub", "http://127.0.0.1:1"]
    assert edge(["provision", str(tmp_path / "cards"), *words]) == 0
    card = tmp_path / "cards" / "card-1" / "edge.json"
    words = ["run", str(tmp_path / "d"), "--first-boot", str(card), "--log-level", "info"]
    command = [sys.executable, "-m", "edge_sdk.cli.main", *words]
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=file)
    try:
        wait_for(lambda: "trying again in" in log.read_text(), "an attempt without a hub")
        assert card.exists()
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0  # it stops in peace while it waits
    # Somebody corrects the address: the same identity joins, by the token that nobody has used.
    card.write_text(card.read_text().replace("http://127.0.0.1:1", hub.url))
    assert first_start(tmp_path / "d", card).returncode == 0
    assert not card.exists()
