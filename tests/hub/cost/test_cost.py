"""What models cost: noted where it arises, added up, priced where there are prices."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from cloud_hub.cost.amounts import DAY, Amounts, CostRow, added, by_day, of_trial, priced, saved
from cloud_hub.cost.ledger import CostLedger
from cloud_hub.cost.prices import FILE, PriceTable, read_prices
from cloud_hub.errors import Invalid
from cloud_hub.hub import Hub
from cloud_hub.runs.steps.store import StepNotes, StepStore
from cloud_hub.storage.folder_store import FolderStore
from tests.hub.polls.asgi import application

MODEL = "demo"
PRICES = PriceTable("EUR", core_hour=0.36, gigabyte_sent=0.1, thousand_answers=2.0)
ROWS = [
    CostRow(10, "1.0", "bytes_sent", "", 1e9),
    CostRow(11, "1.1", "bytes_sent", "", 2e9),
    CostRow(11, "1.1", "cloud_answers", "", 500),
    CostRow(12, "", "training_core_seconds", "run 3", 100),
    CostRow(12, "1.1", "batch_core_seconds", "batch 1", 20),
    CostRow(13, "1.1", "bytes_sent", "", 4e9),
]


def test_amounts_add_up_by_day_and_by_experiment() -> None:
    assert added(ROWS) == Amounts(100, 20, 7e9, 500)
    assert list(by_day(ROWS)) == ["1970-01-11", "1970-01-12", "1970-01-13", "1970-01-14"]
    trial = of_trial(ROWS, ["1.1"], 11 * DAY + 5, 12 * DAY + 5)
    assert trial == Amounts(0, 20, 2e9, 500)


def test_what_has_no_price_is_no_money() -> None:
    money = priced(added(ROWS), PRICES)
    assert (money.bytes_sent, money.cloud_answers) == (pytest.approx(0.7), 1.0)
    assert money.whole == pytest.approx(120 / 3_600 * 0.36 + 1.7)
    assert priced(added(ROWS), PriceTable("EUR")).bytes_sent is None
    counts = {"pack": 3_000, "model": 1_000, "cloud": 10}
    assert saved(counts, asks_cloud=True, prices=PRICES).by_packs == 6.0
    assert saved(counts, asks_cloud=False, prices=PRICES).by_packs is None


def test_prices_that_are_none_are_refused(tmp_path: Path) -> None:
    assert read_prices(tmp_path) is None
    for text in ("core_hour: -1", "core_hour: .inf", "core_hours: 1", "- 1"):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(Invalid, match=r"prices\.yaml"):
            read_prices(tmp_path)


def test_two_workers_add_to_the_same_day_and_an_outage_loses_nothing(
    inner: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (CostLedger(inner.engine, clock=lambda: 5 * DAY) for _ in range(2))
    one.note("cloud_answers", MODEL, "1.0", 2)
    other.note("cloud_answers", MODEL, "1.0", 3)
    with monkeypatch.context() as away:
        away.setattr(
            "cloud_hub.cost.ledger.insert_or_add",
            lambda *_: (_ for _ in ()).throw(OperationalError("", {}, Exception("away"))),
        )
        with pytest.raises(OperationalError):
            one.flush()
    one.note("cloud_answers", MODEL, "1.0", 1)
    one.flusher.stop()
    other.flusher.stop()
    assert [row.amount for row in inner.costs._rows(MODEL, 0)] == [6]


def test_a_download_is_counted_for_its_model_and_version(serving: Hub) -> None:
    release = serving.registry.release(MODEL, "1.0")
    ref = release.manifest.files["model.onnx"]
    path = f"/v1/targets/models/{MODEL}/1.0/{ref.sha256}.model.onnx"
    token = (serving.settings.data / "admin.token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    client = TestClient(application(serving), headers=headers)
    for more in ({}, {"Range": "bytes=0-99"}):
        assert client.get(path, headers=more).status_code in (200, 206)
    assert client.get(path + "x").status_code == 404
    (serving.settings.data / FILE).write_text(
        "{currency: EUR, gigabyte_sent: 1000, gigabyte_month: 1}"
    )
    report = client.get(f"/v1/models/{MODEL}/cost").json()
    assert report["versions"]["1.0"]["bytes_sent"] == ref.length + 100
    assert report["money"]["bytes_sent"] == pytest.approx((ref.length + 100) / 1e6)
    assert report["stored"]["releases"] >= ref.length
    assert report["stored_month"] > 0
    (short,) = client.get("/v1/cost").json()
    assert (short["model"], "days" in short) == (MODEL, False)


def test_what_a_bucket_may_have_sent_is_counted_apart_as_the_most_that_it_can_be(
    serving: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = serving.registry.release(MODEL, "1.0")
    ref = release.manifest.files["model.onnx"]
    path = f"/v1/targets/models/{MODEL}/1.0/{ref.sha256}.model.onnx"
    # The folder that the hub has, as a bucket has it that anybody with the address may read.
    monkeypatch.setattr(
        FolderStore, "public_address", lambda _, name: f"https://bucket.example/{name}?signed"
    )
    token = (serving.settings.data / "admin.token").read_text().strip()
    client = TestClient(
        application(serving), headers={"Authorization": f"Bearer {token}"}, follow_redirects=False
    )
    for more in ({}, {"Range": "bytes=0-99"}, {"Range": "bytes=99999999-"}):
        assert client.get(path, headers=more).status_code == 307
    (serving.settings.data / FILE).write_text("{currency: EUR, gigabyte_of_bucket: 1000}")
    report = client.get(f"/v1/models/{MODEL}/cost").json()
    amounts = report["versions"]["1.0"]
    assert (amounts["bucket_bytes"], amounts["bytes_sent"]) == (ref.length + 100, 0)
    assert report["money"]["bucket_bytes"] == pytest.approx((ref.length + 100) / 1e6)
    assert report["money"]["whole"] == report["money"]["bucket_bytes"]


def test_a_run_costs_what_its_steps_used(serving: Hub) -> None:
    steps, now = StepStore(serving.engine), time.time()
    with steps.recorded(1, MODEL, 1, "train", {}) as notes:
        assert isinstance(notes, StepNotes)
        while time.thread_time() < 0.05:
            pass
    taken = steps.of_run(1)
    steps.reuse(1, 2, taken)
    report = serving.costs.report(MODEL, now)
    assert report.runs["1"].training_core_seconds == taken[0].resources["cpu_seconds"]
    assert sum(d.training_core_seconds for d in report.days.values()) == pytest.approx(
        report.amounts.training_core_seconds
    )
