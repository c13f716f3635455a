"""Units on a device: what they learn, keep, lose with a version, and forget."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.aio.calls import AsyncCalls
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.experiment_reports import ShadowReport
from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.contract.serving_terms import Personalisation, Reporting
from edge_sdk.errors import InputError, PackError, StateError
from edge_sdk.fleet.active_releases import RETIRED, ActiveReleases
from edge_sdk.fleet.device_model import DeviceModel
from edge_sdk.fleet.unit_places import UnitPlaces
from edge_sdk.local_server.server import LocalServer
from edge_sdk.model.release import Release
from edge_sdk.processes.answers import (
    batch_from_plain,
    batch_to_plain,
    prediction_from_plain,
    prediction_to_plain,
)
from edge_sdk.processes.calls import OwnerCalls
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.telemetry.energy import energy_use
from tests.clock import Clock
from tests.edge.local_server.asking import INFER, ask, row_request, tensors
from tests.edge.personalise.unit_release import (
    another_generation,
    unit_prior,
    unit_release,
    unit_rows,
)
from tests.forked import in_a_child
from tests.waiting import PATIENCE, wait_for

UNIT = "user-42"


def written(prior: PersonalPrior, folder: Path) -> Path:
    path = folder / "personal.prior"
    path.write_bytes(prior.to_bytes())
    return path


def opened(tmp_path: Path, **options: Any) -> EdgeDevice:
    there = next(tmp_path.glob("release/*"), None)
    release = unit_release(tmp_path / "release") if there is None else Release.open(there)
    path = written(unit_prior(release), tmp_path)
    return EdgeDevice.offline(release.folder, prior=path, background=False, **options)


def state_of(device: EdgeDevice, unit: str = UNIT) -> Any:
    personal = device._service.serving.personal  # type: ignore[union-attr]
    assert personal is not None
    return personal.find(unit).state


def teach(device: EdgeDevice, unit: str = UNIT, labels: int = 9) -> None:
    """Labels that follow a rule of the unit's own, which the release cannot know."""
    for row in unit_rows(labels, 4, 77):
        p = device.predict(row, unit=unit)
        device.feedback(p.id, label=int(row[0] > 0))


def test_a_unit_with_a_rule_of_its_own_is_answered_better_within_the_session(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as device:
        teach(device, labels=120)
        x = unit_rows(200, 4, 5)
        truth = (x[:, 0] > 0).astype(int)
        own = np.mean([device.predict(row).label == t for row, t in zip(x, truth, strict=True)])
        served = [device.predict(row, unit=UNIT) for row in x]
        right = np.mean([p.label == t for p, t in zip(served, truth, strict=True)])
        assert served[0].personalised
        assert right > own + 0.1
        status = device.status()["personal"]
        assert (status["units"], status["generation"], status["basis"]) == (1, 1, "features")
        assert status["waiting_personalised"] >= 200


def test_labels_of_one_unit_change_no_other_units_answers(tmp_path: Path) -> None:
    with opened(tmp_path) as device:
        teach(device, "liar", 60)
        p = device.predict(unit_rows(1)[0], unit="honest")
        assert not p.personalised
        assert state_of(device, "honest") is None


def test_a_device_without_a_prior_loads_nothing_of_personalisation(tmp_path: Path) -> None:
    release = unit_release(tmp_path)
    code = f"""
import sys, numpy as np
from edge_sdk import EdgeDevice
with EdgeDevice.offline({str(release.folder)!r}) as device:
    p = device.predict(np.zeros(4, np.float32), unit="somebody")
    device.feedback(p.id, label=1)
    device.forget("somebody"); device.status()
print([m for m in sys.modules if "personalise" in m or m == "sqlite3"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.strip() == "[]"


def test_what_a_unit_learned_outlives_the_process_where_a_folder_is_given(tmp_path: Path) -> None:
    with opened(tmp_path, units=tmp_path / "units") as device:
        teach(device)
        learned = state_of(device).sums
    with opened(tmp_path, units=tmp_path / "units") as device:
        np.testing.assert_allclose(state_of(device).sums, learned, rtol=1e-2, atol=1e-2)
        assert device.status()["personal"]["stored"] == 1
        assert device.forget(UNIT)
        assert state_of(device) is None
        assert not device.forget(UNIT)
    with opened(tmp_path) as device:
        assert state_of(device) is None
    assert UNIT.encode() not in b"".join(
        path.read_bytes() for path in (tmp_path / "units").rglob("*") if path.is_file()
    )


def test_two_processes_do_not_share_a_folder_of_units(tmp_path: Path) -> None:
    first = opened(tmp_path, units=tmp_path / "units")
    with pytest.raises(StateError, match="another process"):
        opened(tmp_path, units=tmp_path / "units")
    first.close()
    opened(tmp_path, units=tmp_path / "units").close()


def test_an_opening_that_failed_keeps_no_folder_of_units(tmp_path: Path) -> None:
    release = unit_release(tmp_path / "release")
    path = tmp_path / "other.prior"
    path.write_bytes(b"{}")
    with pytest.raises(PackError):
        EdgeDevice.offline(release.folder, prior=path, units=tmp_path / "units")
    opened(tmp_path, units=tmp_path / "units").close()


def test_a_forked_child_keeps_its_units_in_memory(tmp_path: Path) -> None:
    with opened(tmp_path, units=tmp_path / "units") as device:
        teach(device)

        def child() -> None:
            teach(device, "child's", 3)
            assert state_of(device, "child's").labels == 3
            assert state_of(device) is None
            device.close()

        assert in_a_child(child) == 0
        assert state_of(device).labels == 9
        assert state_of(device, "child's") is None


def test_after_forget_labels_of_earlier_predictions_teach_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as device:
        teach(device)
        late = device.predict(unit_rows(1)[0], unit=UNIT)
        batch = device.predict_batch(unit_rows(3), unit=UNIT)
        ids = batch.ids
        assert device.forget(UNIT)
        device.feedback(late.id, label=1)
        device.feedback(ids[0], label=1)
        assert state_of(device) is None
        p = device.predict(unit_rows(1)[0], unit=UNIT)
        device.feedback(p.id, label=1)
        assert state_of(device).labels == 1


def test_a_unit_that_only_waits_for_labels_is_forgotten_too(tmp_path: Path) -> None:
    with opened(tmp_path) as device:
        device.predict(unit_rows(1)[0], unit=UNIT)
        assert device.forget(UNIT)
        pending = device._service.serving.personal.pending  # type: ignore[union-attr]
        assert not any(pending.slots)


def test_units_are_forgotten_while_eight_threads_predict_and_teach(tmp_path: Path) -> None:
    with opened(tmp_path) as device:
        failures: list[BaseException] = []
        ended = threading.Event()

        def work(me: int) -> None:
            try:
                for i, row in enumerate(unit_rows(400, 4, me)):
                    p = device.predict(row, unit=f"user-{i % 5}")
                    device.feedback(p.id, label=i % 3)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]

        def forget() -> None:
            while not ended.is_set():
                device.forget("user-3")

        forgetter = threading.Thread(target=forget)
        for thread in (*threads, forgetter):
            thread.start()
        for thread in threads:
            thread.join()
        ended.set()
        forgetter.join()
        assert failures == []
        device.forget("user-3")
        assert state_of(device, "user-3") is None
        assert state_of(device, "user-1").labels == 8 * 80


@pytest.mark.parametrize("unit", ["", "x" * 257, "\ud800", 7, b"user", ["user"]])
def test_what_cannot_name_a_unit_is_refused_everywhere(tmp_path: Path, unit: Any) -> None:
    with opened(tmp_path) as device:
        for call in (
            lambda: device.predict(unit_rows(1)[0], unit=unit),
            lambda: device.predict_batch(unit_rows(2), unit=unit),
            lambda: device.forget(unit),
        ):
            with pytest.raises(InputError, match="expected a text of 1 to 256"):
                call()


@pytest.mark.parametrize("unit", ["ü" * 256, "a\0b", "'; DROP TABLE unit; --", "\U0001f600", " "])
def test_any_other_text_names_a_unit(tmp_path: Path, unit: str) -> None:
    with opened(tmp_path, units=tmp_path / "units") as device:
        teach(device, unit, 3)
        assert state_of(device, unit).labels == 3
        assert device.forget(unit)


def test_labels_that_are_refused_teach_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as device:
        p = device.predict(unit_rows(1)[0], unit=UNIT)
        for bad in (7, "one", float("nan")):
            with pytest.raises(InputError):
                device.feedback(p.id, label=bad)
        for reward in (float("nan"), 1e300):
            with pytest.raises(InputError):
                device.feedback(p.id, reward=reward)
        assert state_of(device) is None
        device.feedback(p.id, reward=0.0)
        assert state_of(device) is None
        device.feedback(p.id, label=np.int64(2))
        with pytest.raises(InputError, match="already"):
            device.feedback(p.id, label=1)
        assert state_of(device).labels == 1
        nobody = device.predict(unit_rows(1)[0])
        device.feedback(nobody.id, label=1)
        assert state_of(device).labels == 1


def test_labels_that_never_come_take_bounded_memory(tmp_path: Path) -> None:
    with opened(tmp_path) as device:
        first = device.predict(unit_rows(1)[0], unit=UNIT)
        for i in range(6_000):
            device.predict(unit_rows(1)[0], unit=f"user-{i % 700}")
        pending = device._service.serving.personal.pending  # type: ignore[union-attr]
        assert len(pending.slots) <= 4_096
        device.feedback(first.id, label=1)  # monitoring still knows it, its vector is gone
        assert state_of(device) is None
        assert device.status()["personal"]["units"] == 0


def test_inputs_that_are_not_finite_are_answered_or_refused_as_without_a_unit(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as device:
        teach(device, labels=60)
        for value in (float("nan"), float("inf"), 3e38, 1e20):
            row = np.full(4, value, np.float32)
            outcomes: list[Any] = []
            for unit in (None, UNIT):
                try:
                    p = device.predict(row, unit=unit)
                    outcomes.append(p.label if not p.personalised else outcomes[0])
                except InputError as error:
                    outcomes.append(str(error))
            assert outcomes[0] == outcomes[1]


def test_a_prior_of_another_release_is_refused_in_words(tmp_path: Path) -> None:
    release = unit_release(tmp_path / "one")
    other = unit_release(tmp_path / "two", seed=9)
    path = written(unit_prior(other), tmp_path)
    with pytest.raises(PackError, match="fit one for it"):
        EdgeDevice.offline(release.folder, prior=path)
    path.write_bytes(b"{}")
    with pytest.raises(PackError, match="expected a personal prior"):
        EdgeDevice.offline(release.folder, prior=path)


def test_a_prior_of_vectors_that_the_release_cannot_give_is_refused_in_words(
    tmp_path: Path,
) -> None:
    release = unit_release(tmp_path / "one")
    wide = unit_release(tmp_path / "two", features=9, embedding=True)
    number = unit_release(tmp_path / "three", number=True)
    for prior in (unit_prior(wide, "features"), unit_prior(wide, "embedding")):
        path = written(replace(prior, manifest=release.digest), tmp_path)
        with pytest.raises(PackError, match="the release can give features of 4, outputs of 3"):
            EdgeDevice.offline(release.folder, prior=path)
    path = written(unit_prior(number), tmp_path)
    EdgeDevice.offline(number.folder, prior=path, background=False).close()


class Model:
    """The releases of one model, with a file of units, as a device with a hub has them."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.service = ActiveReleases(
            DeviceConfig(), "boot", lambda bodies: None, energy_use(None), self.clock,
            places=UnitPlaces(folder / "models", folder),
        )  # fmt: skip
        self.model = DeviceModel("demo", self.service)

    def serve(self, release: Release, prior: PersonalPrior | None, mode: Any = "on") -> Predictor:
        terms = ServingTerms(
            reporting=Reporting(window_seconds=60), personalise=Personalisation(mode)
        )
        predictor = self.service.open(release, terms, prior=prior, attributes={})
        self.service.serve(predictor)
        return predictor

    def learn(self, labels: int = 5, unit: str = UNIT) -> None:
        for i, row in enumerate(unit_rows(labels, 4, 3)):
            p = self.model.predict(row, unit=unit)
            self.model.feedback(p.id, label=i % 3)

    def labels(self, unit: str = UNIT) -> int:
        serving = self.service.serving
        assert serving is not None
        assert serving.personal is not None
        state = serving.personal.find(unit).state
        return 0 if state is None else int(state.labels)


def test_a_version_of_the_same_basis_carries_units_over_and_another_begins_anew(
    tmp_path: Path,
) -> None:
    first = unit_release(tmp_path / "1")
    second = unit_release(tmp_path / "2", version="2.0", seed=1)
    prior = unit_prior(first)
    same = replace(prior, version="2.0", manifest=second.digest)
    device = Model(tmp_path / "state")
    device.serve(first, prior)
    device.learn()
    late = device.model.predict(unit_rows(1)[0], unit=UNIT)
    device.serve(second, same)
    assert device.labels() == 5
    device.model.feedback(late.id, label=1)  # of the version before
    assert device.labels() == 6
    assert device.service.personal is not None
    assert device.service.personal.reset is None
    device.model.fold()
    device.service.personal.save()
    device.serve(second, unit_prior(second, seed=8))
    assert device.labels() == 0
    assert "begin anew" in (device.service.personal.reset or "")
    assert "begin anew" in device.model.conditions()["units"]
    device.clock.now += 4_000
    assert "units" not in device.model.conditions()
    device.serve(first, prior)
    assert device.labels() == 6
    device.service.close()


def test_another_generation_of_a_prior_keeps_units_and_judges_the_device_anew(
    tmp_path: Path,
) -> None:
    release, device = unit_release(tmp_path / "1"), Model(tmp_path / "state")
    prior = unit_prior(release)
    device.serve(release, prior)
    device.learn(12)
    assert device.service.personal is not None
    kind = device.service.serving.personal._units.kind  # type: ignore[union-attr]
    kind.guard.serving = False
    device.service.personal.save()
    assert "are off" in device.model.conditions()["units"]
    device.serve(release, prior)
    assert not device.model.predict(unit_rows(1)[0], unit=UNIT).personalised
    again = Model(tmp_path / "state")
    device.service.close()
    again.serve(release, prior)
    assert again.service.status()["personal"]["device_guard"] is False
    again.serve(release, another_generation(prior, 2))
    assert again.service.status()["personal"]["device_guard"] is True
    assert again.labels() == 12
    again.service.close()


def test_a_prior_that_is_opened_beside_what_serves_rules_none_of_its_units(
    tmp_path: Path,
) -> None:
    first = unit_release(tmp_path / "1")
    second = unit_release(tmp_path / "2", version="2.0", seed=1)
    prior = replace(unit_prior(first), generation=4)
    other = replace(prior, version="2.0", manifest=second.digest, generation=1)
    device = Model(tmp_path / "state")
    serving = device.serve(first, prior)
    device.learn(12)
    device.model.fold()
    device.service.personal.save()  # type: ignore[union-attr]
    assert serving.personal is not None
    units = serving.personal._units
    terms = ServingTerms("experiment", "candidate", personalise=Personalisation("learn"))
    beside = device.service.open(second, terms, prior=other, attributes={})
    assert units.kind.model.prior is prior
    assert device.model.predict(unit_rows(1)[0], unit=UNIT).personalised
    assert device.service.status()["personal"]["generation"] == 4
    elsewhere = replace(unit_prior(second, seed=8), generation=2)
    device.service.open(second, terms, prior=elsewhere, attributes={})
    assert device.service.personal is not None
    assert device.service.personal.reset is None
    device.service.serve(beside)
    assert units.kind.model.prior is other
    assert not device.model.predict(unit_rows(1)[0], unit=UNIT).personalised
    assert device.service.status()["personal"]["generation"] == 1
    assert device.labels() == 12
    device.service.close()


def test_units_of_a_basis_that_comes_back_after_long_are_the_ones_that_are_reported(
    tmp_path: Path,
) -> None:
    first = unit_release(tmp_path / "1")
    device = Model(tmp_path / "state")
    device.serve(first, unit_prior(first))
    device.learn()
    for _ in range(RETIRED + 2):
        device.serve(first, unit_prior(first, seed=8))
    serving = device.serve(first, unit_prior(first))
    assert device.labels() == 5
    assert serving.personal is not None
    assert device.service.personal is not None
    (newest,) = list(device.service.personal._in_force.values())[-1:]
    assert newest.units is serving.personal._units
    device.service.close()


def test_a_device_that_only_learns_serves_the_release(tmp_path: Path) -> None:
    release, device = unit_release(tmp_path / "1"), Model(tmp_path / "state")
    device.serve(release, unit_prior(release), mode="learn")
    device.learn(30)
    assert device.labels() == 30
    assert not any(device.model.predict(row, unit=UNIT).personalised for row in unit_rows(20, 4, 8))
    device.service.close()


def test_a_closed_device_has_written_what_its_units_learned(tmp_path: Path) -> None:
    release, device = unit_release(tmp_path / "1"), Model(tmp_path / "state")
    device.serve(release, unit_prior(release))
    device.learn(4)
    device.service.close()
    again = Model(tmp_path / "state")
    again.serve(release, unit_prior(release))
    assert again.labels() == 4
    again.service.close()
    third = Model(tmp_path / "state")  # no prior serves any more: forget reaches the disk
    assert third.model.forget(UNIT)
    assert not third.model.forget(UNIT)
    third.service.close()


def test_the_flag_and_the_odds_travel_to_attached_processes(tmp_path: Path) -> None:
    with opened(tmp_path) as device:
        teach(device, labels=120)
        x = unit_rows(5, 4, 2)
        p = device.predict(x[0], unit=UNIT)
        assert p.personalised
        copy = prediction_from_plain(prediction_to_plain(p))
        assert (copy.personalised, copy.label, copy.id) == (True, p.label, p.id)
        np.testing.assert_array_equal(copy.probabilities, p.probabilities)  # type: ignore[arg-type]
        batch = device.predict_batch(x, unit=UNIT)
        sent = batch_from_plain(batch_to_plain(batch), lambda name: None)
        assert [each.personalised for each in sent] == [True] * 5
        assert sent[0].label == p.label
        calls = OwnerCalls(device, dict)
        assert calls.answer({"call": "forget", "with": {"unit": UNIT}}) == {"answer": True}
        assert calls.answer({"call": "forget", "with": {"unit": UNIT}}) == {"answer": False}
        assert hasattr(AsyncCalls, "forget")


def test_requests_of_a_unit_are_answered_as_its_own_over_http(tmp_path: Path) -> None:
    with opened(tmp_path) as device, LocalServer(device, port=0) as server:
        teach(device, labels=120)
        x = unit_rows(2, 4, 2)
        p = device.predict(x[0], unit=UNIT)
        assert p.personalised
        request = row_request(x[0].tolist(), parameters={"unit": UNIT})
        status, answer, _ = ask(server, INFER, request)
        assert (status, answer["parameters"]["personalised"]) == (200, True)
        assert p.probabilities is not None
        assert tensors(answer)["probabilities"] == pytest.approx(p.probabilities.tolist(), rel=1e-5)
        several = row_request(x.ravel().tolist(), (2, 4), parameters={"unit": UNIT})
        status, answer, _ = ask(server, INFER, several)
        assert (status, answer["parameters"]["personalised"]) == (200, [True, True])
        _, answer, _ = ask(server, INFER, row_request(x[0].tolist()))
        assert "personalised" not in answer["parameters"]
        assert device.forget(UNIT)


def test_a_shadow_is_compared_with_the_releases_own_answers(tmp_path: Path) -> None:
    twin = unit_release(tmp_path / "twin", version="2.0")
    config = DeviceConfig(shadow_share=1.0)
    with opened(tmp_path, shadow=twin.folder, config=config) as device:
        teach(device, labels=120)
        served = [device.predict(row, unit=UNIT) for row in unit_rows(100, 4, 5)]
        own = [device.predict(row).label for row in unit_rows(100, 4, 5)]
        assert [p.label for p in served] != own
        device._models.fold()
        device._service.serving.monitor.fold()  # type: ignore[union-attr]
        shadow = device._service.running
        assert shadow is not None
        wait_for(lambda: shadow._counts.compared >= 300, "the shadow")  # type: ignore[attr-defined]
        (report,) = [b for b in device.reports() if isinstance(b, ShadowReport)]
        assert (report.compared >= 300, report.disagreements) == (True, 0)
        assert report.labelled.candidate_only + report.labelled.incumbent_only == 0
