"""What the hub logs for its operator, and that it configures nothing by itself."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_hub.database.leader import FileLeadership
from cloud_hub.hub import Hub, initialise, open_hub
from cloud_hub.loop import Loop
from cloud_hub.settings import Settings
from tests.edge.builders import make_release
from tests.simulated_device import enrolled
from tests.waiting import PATIENCE


def test_importing_the_hub_configures_no_logging() -> None:
    code = (
        "import logging, cloud_hub.hub, cloud_hub.app\n"
        "logging.getLogger('cloud_hub.anything').warning('to nobody')\n"
        "print(logging.getLogger().handlers, logging.getLogger('cloud_hub').handlers)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout == "[] [<NullHandler (NOTSET)>]\n"
    assert done.stderr == ""


def test_the_life_of_a_hub_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(tmp_path / "hub", tick_seconds=0)
    with caplog.at_level(logging.INFO, "cloud_hub"):
        initialise(settings)
        open_hub(settings).close()
    assert caplog.messages == [
        f"hub {settings.data} initialised",
        f"hub {settings.data} opened with sqlite",
        f"hub {settings.data} closed",
    ]


def test_no_token_and_no_row_is_logged(
    inner: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "cloud_hub"):
        inner.registry.publish(make_release(tmp_path / "made"), actor="ci")
        inner.plans.promote("demo", "1.0", actor="ann", reason="first")
        token = inner.fleet.new_token("demo", uses=1, seconds=60, actor="ann")
        enrolled(inner, token)
    admin = (inner.settings.data / "admin.token").read_text()
    assert caplog.messages[0] == "demo 1.0 published by ci"
    assert not any(secret in caplog.text for secret in (token, admin))


def test_a_part_of_the_loop_that_fails_is_logged_once_and_when_it_works_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = iter([OSError("full"), OSError("full"), OSError("broken"), None, None])

    def part(now: float) -> None:
        error = next(outcomes)
        if error is not None:
            raise error

    loop = Loop({"packs": part}, 0, FileLeadership(tmp_path / "lock"))
    with caplog.at_level(logging.INFO, "cloud_hub"):
        for now in range(5):
            loop.tick(float(now))
    assert caplog.messages == [
        "the loop's part packs failed",
        "the loop's part packs failed",
        "the loop's part packs works again",
    ]
    assert loop.errors == {}
