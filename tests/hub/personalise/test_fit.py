"""A prior fitted at the hub: from rows of many units to a signed file that a plan names."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cloud_hub.data.dataset import Dataset
from cloud_hub.data.parquet_files import parquet_bytes
from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound
from cloud_hub.hub import Hub
from cloud_hub.packs.publishing import pack_file
from cloud_hub.personalise import automatic
from cloud_hub.personalise.fit_request import FitRequest
from cloud_hub.personalise.service import BEGINS_ANEW, KEEP
from cloud_hub.personalise.store import PriorRecord
from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.contract.plan import Plan
from edge_sdk.model.release import write_release
from tests.edge.builders import make_release
from tests.hub.personalise.people import rows_file, rows_of, table

ON = "personalise: {mode: on, unit_column: person}"
BY_PERSON = FitRequest("person", source="people.parquet")


@pytest.fixture
def adapting(serving: Hub) -> Hub:
    """A hub whose model ``demo`` serves 1.0 and is personalised, without a prior yet."""
    serving.policies.apply("demo", ON, actor="test")
    return serving


def plan_of(hub: Hub) -> Plan:
    plan = hub.plans.current("demo")
    assert plan is not None
    return plan


def fitted(hub: Hub, *, version: str | None = None, people: int = 24) -> PriorRecord:
    return hub.personalise.fit("demo", version, rows_file(people), BY_PERSON, actor="test")


def test_a_prior_fitted_to_people_who_differ_helps_and_is_named_by_the_next_plan(
    adapting: Hub,
) -> None:
    before = plan_of(adapting)
    record = fitted(adapting)
    plan = plan_of(adapting)
    assert record.helps, record.verdict
    assert (record.generation, record.version, record.basis) == (1, "1.0", "features")
    assert plan.serial == before.serial + 1
    assert plan.serving.prior == record.ref
    assert plan.personalise is not None
    assert plan.personalise.mode == "on"
    with pack_file(adapting.registry.repository, "demo", record.ref) as file:
        prior = PersonalPrior.from_bytes(file.read_bytes())
    assert (prior.model, prior.version, prior.manifest) == ("demo", "1.0", plan.serving.manifest)
    assert prior.labels == (0, 1, 2)
    listed = adapting.registry.repository.releases().signed.targets
    assert record.ref.target("demo") in listed
    assert "personalise prior" in [entry.action for entry in adapting.audit.entries()]


def test_the_policys_cohort_becomes_means_by_the_attribute(serving: Hub) -> None:
    serving.policies.apply("demo", "personalise: {mode: on, cohort: region}", actor="test")
    prior = serving.personalise.prior(fitted(serving))
    assert prior.attribute == "region"
    assert set(prior.cohorts) == {"north", "south"}


def test_rows_without_the_cohorts_column_give_one_mean_for_all_which_is_told(
    serving: Hub,
) -> None:
    serving.policies.apply("demo", "personalise: {mode: on, cohort: town}", actor="test")
    record = fitted(serving)
    assert serving.personalise.prior(record).attribute is None
    assert any("no column 'town'" in sentence for sentence in record.said)


def test_half_lives_of_the_policy_stand_in_the_prior_and_a_change_makes_another_generation(
    adapting: Hub,
) -> None:
    first = fitted(adapting)
    changed = "personalise: {mode: on, half_life_labels: 33, half_life_days: 5}"
    adapting.policies.apply("demo", changed, actor="test")
    adapting.priors.tick(0.0)
    second = adapting.personalise.store.newest("demo")
    assert second is not None
    assert second.generation == first.generation + 1
    assert second.basis_digest == first.basis_digest
    settings = adapting.personalise.prior(second).settings
    assert (settings.half_life, settings.half_life_days) == (33, 5)
    assert plan_of(adapting).serving.prior == second.ref
    adapting.priors.tick(1.0)
    assert adapting.personalise.store.newest("demo") == second


def test_a_second_fit_is_the_next_generation_and_units_keep_what_was_learned(
    adapting: Hub,
) -> None:
    first, second = fitted(adapting), fitted(adapting, people=30)
    assert (first.generation, second.generation) == (1, 2)
    assert second.basis_digest == first.basis_digest
    assert KEEP in second.said
    assert plan_of(adapting).serving.prior == second.ref


def test_a_fit_anew_has_a_space_of_its_own_and_units_begin_anew(adapting: Hub) -> None:
    first = fitted(adapting)
    request = FitRequest("person", anew=True)
    second = adapting.personalise.fit("demo", None, rows_file(30), request, actor="test")
    assert second.basis_digest != first.basis_digest
    assert BEGINS_ANEW in second.said


def test_another_version_of_the_same_columns_keeps_the_space(adapting: Hub, tmp_path: Path) -> None:
    first = fitted(adapting)
    adapting.registry.publish(make_release(tmp_path / "b", version="1.1", seed=1), actor="test")
    other = fitted(adapting, version="1.1")
    assert other.basis_digest == first.basis_digest
    assert plan_of(adapting).serving.prior == first.ref  # 1.1 serves nobody
    adapting.plans.promote("demo", "1.1", actor="test", reason="newer")
    assert plan_of(adapting).serving.prior == other.ref
    adapting.plans.rollback("demo", actor="test", reason="worse")
    assert plan_of(adapting).serving.prior == first.ref


def test_people_who_are_alike_are_not_said_to_gain(adapting: Hub) -> None:
    rows = rows_file(24, 60, spread=0.0)
    record = adapting.personalise.fit("demo", None, rows, BY_PERSON, actor="test")
    assert not record.helps


def _without(column: str) -> io.BytesIO:
    return io.BytesIO(parquet_bytes(table(4, 20).drop_columns([column])))


def _renamed() -> io.BytesIO:
    others = table(4, 20).rename_columns(["a", "b", "c", "d", "y", "person", "region"])
    return io.BytesIO(parquet_bytes(others))


def _labelled(labels: object) -> io.BytesIO:
    rows = table(4, 20).drop_columns(["y"]).append_column("y", pa.array(labels))
    return io.BytesIO(parquet_bytes(rows))


REFUSED = {
    "rows without the column of units": (_without("person"), "no column 'person'"),
    "rows without labels": (_without("y"), "no column 'y'"),
    "rows of one unit": (rows_file(1), "two units or more"),
    "rows of another model": (_renamed(), "another model's rows"),
    "labels that are no classes": (_labelled(["yes"] * 80), "expected classes of the model"),
    "what is no file of rows": (io.BytesIO(b"\x00\x01\x02"), "rows"),
    "an empty file": (io.BytesIO(b""), "CSV"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_rows_are_refused_in_words_and_change_nothing(adapting: Hub, what: str) -> None:
    rows, reason = REFUSED[what]
    rows.seek(0)
    before = plan_of(adapting)
    with pytest.raises(HubFault, match=reason):
        adapting.personalise.fit("demo", None, rows, BY_PERSON, actor="test")
    assert plan_of(adapting) == before
    assert adapting.personalise.store.records("demo") == []


def test_a_unit_that_is_a_feature_of_the_model_is_refused(adapting: Hub) -> None:
    with pytest.raises(Invalid, match="is a feature of the model"):
        adapting.personalise.fit("demo", None, rows_file(4), FitRequest("f0"), actor="test")


def test_some_labels_that_are_no_classes_are_left_out_and_told(adapting: Hub) -> None:
    labels = np.asarray(table(20, 40).column("y")).copy()
    labels[:7] = 99
    rows = table(20, 40).drop_columns(["y"]).append_column("y", pa.array(labels))
    record = adapting.personalise.fit(
        "demo", None, io.BytesIO(parquet_bytes(rows)), BY_PERSON, actor="test"
    )
    assert any(
        s.startswith("7 rows have a label that the model does not give") for s in record.said
    )


def test_an_npz_with_an_array_of_units_is_read(adapting: Hub) -> None:
    parts = [rows_of(person, 40) for person in range(20)]
    file = io.BytesIO()
    x, y = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    np.savez(file, X=x, y=y, person=np.repeat([f"p{i}" for i in range(20)], 40))
    file.seek(0)
    record = adapting.personalise.fit("demo", None, file, BY_PERSON, actor="test")
    assert record.figures["units"] == 20


def test_a_version_that_there_is_not_and_a_model_that_serves_nothing_are_refused(
    inner: Hub, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="nothing serves yet"):
        inner.personalise.fit("demo", None, rows_file(4), BY_PERSON, actor="test")
    inner.registry.publish(make_release(tmp_path / "made"), actor="test")
    with pytest.raises(NotFound):
        inner.personalise.fit("demo", "9.9", rows_file(4), BY_PERSON, actor="test")


def test_a_hub_without_the_releases_key_refuses_before_it_fits(adapting: Hub) -> None:
    (adapting.settings.data / "keys" / "releases.pem").unlink()
    with pytest.raises(HubFault, match="releases"):
        fitted(adapting)


def test_more_cohorts_than_a_prior_takes_are_refused_in_words(serving: Hub) -> None:
    serving.policies.apply("demo", "personalise: {mode: on, cohort: town}", actor="test")
    towns = pa.array([f"town {i}" for i in range(200)])
    rows = table(200, 3).append_column("town", pa.array(np.repeat(towns, 3)))
    with pytest.raises(Invalid, match="cohorts: expected at most"):
        serving.personalise.fit(
            "demo", None, io.BytesIO(parquet_bytes(rows)), BY_PERSON, actor="test"
        )


def test_a_model_that_no_prior_can_be_fitted_for_is_told_when_its_policy_is_planned(
    serving: Hub, tmp_path: Path
) -> None:
    on = "personalise: {mode: on}"
    assert not serving.policies.plan("demo", on).warnings
    release = make_release(tmp_path / "b", version="1.1")
    signature = release.manifest.signature
    alone = replace(release.manifest, signature=replace(signature, batched=False), version="2.0")
    files = {name: release.folder / name for name in release.manifest.files}
    other = write_release(tmp_path / "c", alone, files)
    serving.registry.publish(other, actor="test", override="test")
    serving.plans.promote("demo", "2.0", actor="test", reason="other")
    (warning,) = serving.policies.plan("demo", on).warnings
    assert "only rankings adapt to a unit" in warning


def with_units(hub: Hub) -> Hub:
    """Add a data set whose rows the hub fits to by itself."""
    hub.datasets.add("demo", "units", Dataset.read(table(12, 30)), actor="test")
    return hub


def test_a_fit_of_the_hub_that_met_another_publication_is_made_at_the_next_look(
    adapting: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(*arguments: object, **more: object) -> None:
        raise Conflict("demo: another prior became generation 1 meanwhile; fit again")

    with monkeypatch.context() as patch:
        patch.setattr(with_units(adapting).personalise, "publish", taken)
        adapting.priors.tick(0.0)
    assert adapting.personalise.status("demo").failures == {}
    adapting.priors.tick(1.0)
    assert plan_of(adapting).serving.prior is not None


def test_a_fit_of_the_hub_whose_worker_was_killed_is_made_again_after_a_day(
    adapting: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object, **more: object) -> None:
        raise Invalid("personal prior: the fit did not end; SIGTERM")

    with monkeypatch.context() as patch:
        patch.setattr(with_units(adapting).personalise, "fit", killed)
        adapting.priors.tick(0.0)
    adapting.priors.tick(1.0)
    assert "SIGTERM" in adapting.personalise.status("demo").failures["1.0"].reason
    assert adapting.personalise.store.records("demo") == []
    monkeypatch.setattr(automatic, "AGAIN_SECONDS", 0.0)
    adapting.priors.tick(2.0)
    assert adapting.personalise.status("demo").failures == {}
    assert plan_of(adapting).serving.prior is not None


def test_a_prior_whose_file_is_damaged_keeps_no_plan_behind(adapting: Hub) -> None:
    record = fitted(adapting)
    next(adapting.settings.data.rglob(f"*{record.sha256}")).write_bytes(b"nonsense")
    policy = "personalise: {mode: learn, half_life_labels: 33}"
    adapting.registry.set_policy("demo", policy, "test")  # and the hub is killed: no plan
    for now in (0.0, 1.0):
        with pytest.raises(ExceptionGroup, match="cannot be read"):
            adapting.priors.tick(now)
    plan = plan_of(adapting)
    assert plan.personalise is not None
    assert plan.personalise.mode == "learn"
