"""Session features on a real hub: declared, kept on devices, told by processes, trained on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cloud_hub.cli.main import main as edge_hub
from edge_sdk import EdgeDevice
from edge_sdk.errors import InputError
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release
from tests.hub.features.sessions import TEXT
from tests.servers import HubProcess

ITEM = "  - {name: item, dtype: string, kind: last, field: item, default: none}\n"


class Visits:
    """A hub with a set of sessions for one model, and the command line."""

    def __init__(self, hub: HubProcess, folder: Path, model: str) -> None:
        self.hub, self.folder, self.model = hub, folder, model
        self.file = folder / "visit.yaml"
        self.token = hub.token(model)

    def run(self, *words: object) -> int:
        return edge_hub([*map(str, words), "--data", str(self.hub.data)])

    def apply(self, old: str = "", new: str = "") -> None:
        text = TEXT.replace(ITEM, "").replace("demo", self.model)
        self.file.write_text(text.replace("name: visit", f"name: v-{self.model}").replace(old, new))
        assert self.run("features", "apply", self.file) == 0

    def opened(self, **more: Any) -> EdgeDevice:
        more = {"background": False, "config": PATIENT} | more
        return EdgeDevice(
            self.folder / "d", hub=self.hub.url, token=self.token, model=self.model, **more
        )


@pytest.fixture
def visits(hub: HubProcess, publish: Publish, tmp_path: Path) -> Visits:
    model = f"s{time.time_ns()}"
    publish(model)
    return Visits(hub, tmp_path, model)


def test_a_declaration_reaches_devices_and_its_sessions_outlive_a_restart_and_a_version(
    visits: Visits, publish: Publish
) -> None:
    with visits.opened() as device:
        with pytest.raises(InputError, match="no session features are declared"):
            device.session("u")
        visits.apply()
        device.sync()
        session = device.session("user-42")
        for price in (3.0, 6.0):
            session.event({"price": price, "paid": True})
        assert session.predict({"f3": 0.5}).label is not None
        publish(visits.model, "2.0", seed=7)
        device.sync()
        assert device.status()["version"] == "2.0"
        assert session.features()["f0"] == 2
    with visits.opened() as device:
        session = device.session("user-42")
        values = session.features()
        assert (values["f0"], values["f2"]) == (2, 2)
        assert 3.0 < values["f1"] < 6.0
        assert device.forget("user-42")
        assert session.features()["f0"] == 0
        assert not device.forget("user-42")
        kept = visits.folder / "d" / "models" / visits.model / "sessions.db"
        assert kept.exists()
        visits.apply("keep: true", "keep: false")
        session.event({"price": 1.0})
        device.sync()
        assert not kept.exists()
        assert session.features()["f0"] == 1  # the rules are the same: it goes on


def test_other_processes_tell_events_of_the_same_session(visits: Visits) -> None:
    visits.apply()
    with (
        visits.opened(background=True) as device,
        EdgeDevice.attach(visits.folder / "d") as attached,
    ):
        session = attached.session("u")
        session.event({"price": 3.0})
        device.session("u").event({"price": 3.0}, at=time.time())
        assert session.features()["f0"] == 2
        assert (
            session.predict({"f3": 0.5}).probabilities
            == device.predict({"f3": 0.5, **session.features()}).probabilities
        ).all()
        with pytest.raises(InputError, match="'price': expected a number"):
            session.event({"price": "3"})
        with pytest.raises(InputError, match="unit: expected a text"):
            attached.session("")
        model = attached.model(visits.model)
        assert model.session("u").end()
        assert device.session("u").features()["f0"] == 0


def test_a_log_is_joined_by_the_command_line_and_the_declaration_exported(
    visits: Visits, capsys: pytest.CaptureFixture[str]
) -> None:
    visits.apply()
    name, folder = f"v-{visits.model}", visits.folder
    labels, events, out = (folder / n for n in ("labels.csv", "events.csv", "out.parquet"))
    labels.write_text("user_id,time,y\n007,100,1\n008,100,0\n")
    events.write_text(
        "user_id,event_timestamp,item,price,paid\n007,90,x,3.0,true\n007,95,,,\n007,101,z,9.0,true\n"
    )
    join = ("features", "join", labels, "--as-of", "time", "--out", out, "--set", name)
    assert visits.run(*join, "--events", events) == 0
    joined = pd.read_parquet(out)
    assert joined["user_id"].tolist() == ["007", "008"]
    assert joined["f0"].tolist() == [2.0, 0.0]
    assert joined["f1"].tolist() == [3.0, 0.0]
    assert visits.run(*join) != 0
    assert "--events" in capsys.readouterr().err
    exported = folder / "visit.json"
    assert visits.run("features", "export", name, "--out", exported) == 0
    with EdgeDevice.offline(make_release(folder / "r").folder, sessions=exported) as device:
        device.session("u").event({"price": 3.0})
        assert device.session("u").predict({"f3": 0.5}).source == "model"
    for words in (("show", name), ("list",)):
        assert visits.run("features", *words) == 0
    shown = capsys.readouterr().out
    assert "computed on devices, of events with" in shown
    assert "given with the plans of" in shown
    assert "no release uses it yet" not in shown
    assert "half-life=60" in shown
    assert visits.run("features", "import", name, labels) != 0
    assert "is of sessions and has no rows" in capsys.readouterr().err
