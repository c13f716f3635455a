"""What ``make arm64`` asks of the emulated device, on this machine: it is no part of CI itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_hub.data.dataset import Dataset
from tests.deploy import arm64, on_device
from tests.edge.builders import make_release, rows
from tests.servers import running_hub
from tests.waiting import wait_for


def test_a_pack_of_what_the_device_was_asked_answers_at_its_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    X = rows(12)
    np.save(tmp_path / "rows.npy", X)
    with running_hub(tmp_path) as hub:
        arm64.publish(hub, make_release(tmp_path / "packed", "packed"))
        hub.admin.post("models/packed/datasets/catalogue", Dataset.of(X, None).to_bytes())
        hub.admin.put("models/packed/policy", arm64.POLICY)
        arguments = [str(tmp_path / "d"), hub.url, hub.token("packed"), "packed", "1.0"]

        def told() -> dict[str, Any]:
            on_device.main(*arguments, str(tmp_path / "rows.npy"))
            said: dict[str, Any] = json.loads(capsys.readouterr().out)
            return said

        assert (first := told())["sources"] == ["model"], first
        wait_for(lambda: hub.admin.get("models/packed/packs"), "a pack at the hub")
        then = told()
        assert then["sources"] == ["pack"], then
        assert then["labels"] == first["labels"]
