"""A hub that is killed while it delivers: nothing that happened is lost on its way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloud_hub.cli.main import main
from tests.hub.alerts.receiver import receiving
from tests.servers import HubProcess
from tests.waiting import wait_for

KILLS, EACH = 3, 10


@pytest.mark.slow
def test_every_event_arrives_in_order_however_the_hub_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving(tmp_path / "receiver") as receiver:
        hub = HubProcess(tmp_path, tick=0.05, options=("--alert-network", "127.0.0.0/8"))
        try:
            at = ["--data", str(hub.data)]
            rules = ["--severity", "info", "--kind", "access"]
            assert main(["alerts", "add", "ops", receiver.url, *rules, *at]) == 0
            made = []
            for _ in range(KILLS):
                for _ in range(EACH):
                    made.append(hub.token("demo"))
                hub.kill()  # somewhere between the first and the last of these on their way
                hub.start()
            assert main(["alerts", "resume", "ops", *at]) == 0

            def arrived() -> list[str]:
                return list(dict.fromkeys(got["headers"]["webhook-id"] for got in receiver.got()))

            wait_for(lambda: len(arrived()) >= KILLS * EACH, "every event")
            capsys.readouterr()
            assert main(["events", "--kind", "access", "--json", *at]) == 0
            told = [str(e["id"]) for e in json.loads(capsys.readouterr().out)["events"]]
            assert [name.rpartition("_")[2] for name in arrived()] == told
            assert main(["alerts", "log", "ops", *at]) == 0
            assert main(["alerts", "list", *at]) == 0
            assert main(["alarms", "list", *at]) in (0, 1)
            assert "answered 200" in capsys.readouterr().out
        finally:
            hub.close()
