"""Personal priors from the hub to a device: fitted, signed, served, replaced, switched off."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import TargetFile

from cloud_hub.cli.main import main as edge_hub
from cloud_hub.registry import signing
from cloud_hub.registry.repository import Repository
from cloud_hub.registry.roles import RELEASES
from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.contract.plan import PriorRef, ReleaseRef
from edge_sdk.contract.serving_terms import Personalisation
from edge_sdk.update.state import ORDER
from tests.campaigns.state_damage import AWAY
from tests.conftest import Publish
from tests.e2e.live import PATIENT, publish_plan
from tests.edge.personalise.unit_release import unit_prior
from tests.hub.personalise.people import rows_file, rows_of
from tests.model_folder import model_folder
from tests.processes.ready import run_ready
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for

STRANGER = 1_000
"""A person who is in no row that a prior was fitted to."""

ON = "personalise: {mode: on, unit_column: person}"
LEARN = "personalise: {mode: learn, unit_column: person}"


class Personal:
    """A model at a hub that personalises, and a device of it."""

    def __init__(self, hub: HubProcess, model: str, folder: Path) -> None:
        self.hub, self.model, self.folder = hub, model, folder
        self.device = self.opened()

    def opened(self, hub: str | None = None) -> EdgeDevice:
        return EdgeDevice(
            self.folder / "state", hub=hub or self.hub.url, token=self.hub.token(self.model),
            model=self.model, config=PATIENT, background=False,
        )  # fmt: skip

    def run(self, *words: object) -> int:
        return edge_hub([*map(str, words), "--data", str(self.hub.data)])

    def apply(self, policy: str) -> None:
        file = self.folder / "policy.yaml"
        file.write_text(f"model: {self.model}\n{policy}\n")
        assert self.run("policy", "apply", file) == 0

    def fit(self, people: int = 24, *more: object) -> dict[str, Any]:
        rows = self.folder / "rows.parquet"
        rows.write_bytes(rows_file(people).getvalue())
        assert self.run("personalise", "fit", self.model, rows, "--unit", "person", *more) == 0
        newest: dict[str, Any] = self.status()["generations"][0]
        return newest

    def status(self) -> dict[str, Any]:
        return dict(self.hub.admin.get(f"models/{self.model}/personalise"))

    def plan(self) -> dict[str, Any]:
        return dict(self.hub.admin.get(f"models/{self.model}/plan"))

    def use(self, labels: int = 40, unit: str = "stranger") -> list[bool]:
        """Predictions of a stranger with their labels; which were personalised."""
        x, y = rows_of(STRANGER, labels)
        served = []
        for row, label in zip(x, y.tolist(), strict=True):
            prediction = self.device.predict(row, unit=unit)
            served.append(prediction.personalised)
            self.device.feedback(prediction.id, label=label)
        return served

    def stored(self) -> set[str]:
        return {path.stem for path in model_folder(self.folder / "state").glob("packs/*.prior")}


@pytest.fixture
def personal(
    hub: HubProcess, publish: Publish, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Personal]:
    model = f"m{abs(hash(request.node.name)) % 10**8}"
    publish(model)
    personal = Personal(hub, model, tmp_path)
    personal.apply(ON)
    yield personal
    personal.device.close()


def test_a_prior_fitted_by_the_command_line_personalises_a_stranger_within_the_session(
    personal: Personal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not any(personal.use(5))  # nothing without a prior
    record = personal.fit()
    assert personal.device.sync().update == "activated"
    assert personal.stored() == {record["sha256"]}
    served = personal.use(40)
    assert not served[0]
    assert served[-1]
    capsys.readouterr()
    assert personal.run("personalise", "show", personal.model) == 0
    shown = capsys.readouterr().out
    assert "mode: on" in shown
    assert "rows.parquet" in shown


def test_a_fit_whose_prior_no_device_gets_says_why_and_what_to_do(
    personal: Personal, capsys: pytest.CaptureFixture[str]
) -> None:
    personal.fit()
    said = capsys.readouterr()
    assert "no device gets it yet" not in said.err
    assert personal.run("personalise", "off", personal.model, "--reason", "complaints") == 0
    personal.fit()
    assert f"edge-hub personalise on {personal.model}" in capsys.readouterr().err
    assert personal.run("personalise", "show", personal.model) == 0
    shown = capsys.readouterr().out
    assert f"edge-hub personalise on {personal.model}" in shown
    assert "units left out gained" in shown
    personal.apply("personalise: {mode: off}")
    personal.fit()
    assert "apply one with mode: learn, or on" in capsys.readouterr().err


def test_a_newer_generation_replaces_the_file_and_units_keep_what_they_taught(
    personal: Personal,
) -> None:
    first = personal.fit()
    personal.device.sync()
    personal.use(40)
    second = personal.fit(30)
    assert personal.device.sync().update == "activated"
    assert second["generation"] == first["generation"] + 1
    assert personal.stored() >= {second["sha256"]}
    assert personal.use(1) == [True]  # at once: nothing was forgotten
    personal.fit(26)
    personal.device.sync()
    personal.device.sync()
    assert first["sha256"] not in personal.stored()  # swept: neither current nor the one before


def test_off_ends_personalised_answers_at_the_next_sync_and_on_brings_them_back(
    personal: Personal,
) -> None:
    personal.fit()
    personal.device.sync()
    assert personal.use(40)[-1]
    assert personal.run("personalise", "off", personal.model, "--reason", "complaints") == 0
    assert "personalise" not in personal.plan()
    assert "prior" not in personal.plan()["serving"]
    personal.device.sync()
    assert not any(personal.use(10))
    assert personal.status()["switched_off"]["reason"] == "complaints"
    assert personal.run("personalise", "on", personal.model) == 0
    personal.device.sync()
    assert personal.use(1) == [True]


def test_learn_gathers_and_serves_nobody_a_correction(personal: Personal) -> None:
    personal.fit()
    personal.apply(LEARN)
    personal.device.sync()
    assert not any(personal.use(40))
    personal.apply(ON)
    personal.device.sync()
    assert personal.use(1) == [True]  # what was learned meanwhile serves at once


def test_a_hub_that_is_killed_and_a_device_that_restarts_go_on_where_they_were(
    personal: Personal,
) -> None:
    record = personal.fit()
    personal.device.sync()
    personal.use(40)
    personal.device.close()
    personal.hub.kill()
    personal.hub.start()
    assert personal.status()["generations"][0]["sha256"] == record["sha256"]
    personal.device = personal.opened()
    assert personal.use(1) == [True]
    assert personal.device.sync().update == "unchanged"


def test_a_data_set_with_the_column_of_units_is_fitted_to_by_itself(personal: Personal) -> None:
    rows = personal.folder / "rows.parquet"
    rows.write_bytes(rows_file(24).getvalue())
    assert personal.run("data", "add", personal.model, "units", rows) == 0
    wait_for(lambda: personal.status()["generations"], "a prior of units@1")
    (record,) = personal.status()["generations"]
    assert (record["source"], record["actor"]) == ("units@1", "hub")
    personal.device.sync()
    assert personal.use(40)[-1]
    rows.write_bytes(rows_file(30).getvalue())
    assert personal.run("data", "add", personal.model, "units", rows) == 0
    wait_for(lambda: len(personal.status()["generations"]) > 1, "a prior of units@2")
    assert personal.status()["generations"][0]["source"] == "units@2"


def test_a_fit_that_fails_by_itself_is_told_once_and_stops_nothing(personal: Personal) -> None:
    rows = personal.folder / "rows.parquet"
    rows.write_bytes(rows_file(1).getvalue())
    assert personal.run("data", "add", personal.model, "units", rows) == 0
    wait_for(lambda: personal.status()["failures"], "the reason why there is no prior")
    failed = personal.status()["failures"]["1.0"]
    assert failed["source"] == "units@1"
    assert "two units or more" in failed["reason"]
    told = [
        entry
        for entry in personal.hub.admin.get("audit", model=personal.model)
        if entry["action"] == "personalise fit failed"
    ]
    assert len(told) == 1
    assert personal.hub.admin.get("health")["loop"] == {}


def _named(personal: Personal, ref: PriorRef) -> None:
    """Let the newest plan name another file as the prior of what serves."""
    serving = personal.plan()["serving"]
    release = ReleaseRef(serving["version"], serving["manifest"], prior=ref)
    publish_plan(personal.hub, personal.model, serving=release)


def test_a_prior_that_no_publisher_signed_is_refused_and_what_served_goes_on(
    personal: Personal,
) -> None:
    record = personal.fit()
    personal.device.sync()
    personal.use(40)
    _named(personal, PriorRef(FileRef(record["length"], "ab" * 32)))
    errors = personal.device.sync().errors
    assert "a personal prior that no publisher signed" in errors["update"]
    assert personal.use(1) == [True]


def test_a_signed_prior_of_another_release_is_not_served_and_the_hub_is_told_why(
    personal: Personal,
) -> None:
    personal.fit()
    personal.device.sync()
    (file,) = model_folder(personal.folder / "state").glob("packs/*.prior")
    swapped = replace(PersonalPrior.from_bytes(file.read_bytes()), manifest="cd" * 32)
    _named(personal, _signed(personal.hub, personal.model, swapped.to_bytes()))
    assert personal.device.sync().update == "activated"
    assert not any(personal.use(40))
    status = personal.device.status()
    (model,) = status["models"].values()
    assert "is for" in model["prior_trouble"]
    assert any("serves without its personal prior" in each for each in status["words"])
    assert model["damaged"] == {}  # another download would bring the same
    personal.device.sync()
    events = personal.hub.admin.get(f"models/{personal.model}/telemetry")["events"]
    assert any(e["outcome"] == "fell_back" and "is for" in (e["reason"] or "") for e in events)


def _signed(hub: HubProcess, model: str, raw: bytes) -> PriorRef:
    """Sign a file as the publisher does, below the path of priors."""
    repository = Repository(hub.data / "repository", hub.data / "keys")
    ref = PriorRef(FileRef(len(raw), hashlib.sha256(raw).hexdigest()))
    path = ref.target(model)
    targets = {path: TargetFile.from_data(path, raw)}
    signer = repository.signer(RELEASES)
    signed = signing.add_targets(repository.releases(), targets, signer)
    repository.accept_releases(signed, lambda digest: raw)
    return ref


@pytest.mark.parametrize("step", ORDER[:-1])
def test_a_device_killed_while_a_newer_prior_comes_has_one_of_both_whole_and_then_the_newer(
    hub: HubProcess, publish: Publish, tmp_path: Path, step: str
) -> None:
    model = f"kill-prior-{step}"
    release, token = publish(model), hub.token(model)
    older, newer = (
        _signed(hub, model, unit_prior(release, generation=i, seed=i).to_bytes()) for i in (1, 2)
    )
    serving = ReleaseRef("1.0", release.digest, prior=older)
    publish_plan(hub, model, serving=serving, personalise=Personalisation())
    state = tmp_path / "d"
    with EdgeDevice(state, hub=hub.url, token=token, model=model, config=PATIENT, background=False):
        pass
    publish_plan(hub, model, serving=replace(serving, prior=newer), personalise=Personalisation())
    words = ["-m", "tests.e2e.device.killed", state, hub.url, "", model, step]
    killed = run_ready("device", words)
    assert killed.returncode == -signal.SIGKILL
    with EdgeDevice(state, hub=AWAY, config=PATIENT, background=False) as device:
        assert device.predict([0, 0, 0, 0], unit="somebody").version == "1.0"
        assert device.status()["prior_trouble"] is None
        before = step in ("download", "verify", "stage", "probe")
        assert _prior_of(device) == (older if before else newer).file.sha256
    with EdgeDevice(state, hub=hub.url, config=PATIENT, background=False) as device:
        assert device.sync().errors == {}
        assert _prior_of(device) == newer.file.sha256
        assert device.status()["prior_trouble"] is None


def _prior_of(device: EdgeDevice) -> str | None:
    assert device._models.own._link is not None
    current = device._models.own._link.updater.state.current
    return None if current is None else current.prior


def test_a_damaged_prior_is_not_served_and_the_next_sync_brings_it_again(
    personal: Personal,
) -> None:
    personal.fit()
    personal.device.sync()
    personal.use(40)
    personal.device.close()
    (file,) = model_folder(personal.folder / "state").glob("packs/*.prior")
    sound = file.read_bytes()
    file.write_bytes(bytes([*sound[:-1], sound[-1] ^ 1]))
    personal.device = personal.opened(AWAY)
    (model,) = personal.device.status()["models"].values()
    assert "SHA-256 differs" in model["prior_trouble"]
    assert "SHA-256 differs" in model["damaged"]["1.0"]["prior"]
    assert not any(personal.use(3))
    personal.device.close()
    personal.device = personal.opened()
    personal.device.sync()
    assert file.read_bytes() == sound
    (model,) = personal.device.status()["models"].values()
    assert (model["prior_trouble"], model["damaged"]) == (None, {})
    assert personal.use(1) == [True]


def test_a_prior_that_is_damaged_while_it_serves_is_found_and_brought_again(
    personal: Personal,
) -> None:
    personal.fit()
    personal.device.sync()
    personal.use(40)
    (file,) = model_folder(personal.folder / "state").glob("packs/*.prior")
    sound = file.read_bytes()
    file.unlink()
    serving = personal.device._service.serving
    assert serving is not None
    while serving.scrub.step():
        pass
    assert "cannot be read" in personal.device.status()["damaged"]["1.0"]["prior"]
    assert personal.use(1) == [True]  # its content is in memory
    assert personal.device.sync().update == "repaired"
    assert file.read_bytes() == sound
    assert personal.use(1) == [True]


def test_a_device_whose_plan_has_no_personalisation_loads_nothing_of_it(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("plain")
    code = (
        "import sys; from edge_sdk import EdgeDevice\n"
        f"with EdgeDevice({str(tmp_path / 'd')!r}, hub={hub.url!r}, token={hub.token('plain')!r},"
        " model='plain', background=False) as device:\n"
        "    device.predict([0, 0, 0, 0], unit='somebody')\n"
        "    device.sync()\n"
        "print([m for m in sys.modules if m.startswith('edge_sdk.personalise')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.strip() == "[]"
