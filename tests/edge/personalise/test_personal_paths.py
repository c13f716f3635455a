"""Answers for a unit: the same on the fast path, the general path and in batches."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import arrays

from edge_sdk.contract.manifest import Cascade
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.serving_terms import Personalisation, Reporting
from edge_sdk.errors import HubUnreachable, InputError
from edge_sdk.fleet.unit_places import UnitPlaces
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.prediction import Prediction
from edge_sdk.model.release import Release
from edge_sdk.packs.reader import Pack
from edge_sdk.packs.writer import write_pack
from edge_sdk.personalise.basis import vectors
from edge_sdk.personalise.basis_reader import BasisReader
from edge_sdk.personalise.correction import UNROLLED, Correction
from edge_sdk.personalise.model_personalisation import ModelPersonalisation
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from tests.clock import Clock
from tests.edge.personalise.unit_release import unit_prior, unit_release, unit_rows

TERMS = ServingTerms(
    reporting=Reporting(window_seconds=60, minimum_observations=1), personalise=Personalisation()
)
UNIT = "user-42"
KINDS: dict[str, dict[str, Any]] = {
    "features": {},
    "features+embedding": {"embedding": True},
    "embedding": {"embedding": True},
    "outputs": {},
    "two classes": {"classes": 2},
    "number": {"number": True},
}


def personal_predictor(release: Release, basis: Any = None, **options: Any) -> Predictor:
    """A predictor of which every unit that gave labels gets its own answers."""
    assert TERMS.personalise is not None
    service = ModelPersonalisation(UnitPlaces(), Clock())
    prior = unit_prior(release, basis)
    personal = service.open(release, prior, TERMS.personalise, {})
    return Predictor(release, TERMS, tag="t", clock=Clock(), personal=personal, **options)


def teach(serving: Predictor, unit: str = UNIT, labels: int = 6, width: int = 4) -> None:
    """Give labels, and let the unit's own answers serve whatever the guards say."""
    classes = serving.release.manifest.signature.classes
    assert serving.personal is not None
    for i, row in enumerate(unit_rows(labels, width, 77)):
        p = serving.predict_for(unit, row)
        serving.feedback(str(p._number), classes[i % len(classes)] if classes else float(i) + 3.5)
    open_guards(serving, unit)


def open_guards(serving: Predictor, unit: str) -> None:
    assert serving.personal is not None
    units = serving.personal._units
    state = units.find(unit).state
    state.guard.serving = units.kind.guard.serving = True  # type: ignore[attr-defined]
    units.refresh()


def made(tmp_path: Path, kind: str, **options: Any) -> Predictor:
    release = unit_release(tmp_path / kind, **KINDS[kind])
    basis = kind if kind in ("features", "features+embedding", "embedding", "outputs") else None
    serving = personal_predictor(release, basis, **options)
    teach(serving)
    return serving


def answer(serving: Predictor, x: Any, how: str, unit: str = UNIT) -> tuple[Any, ...]:
    """What came, as values that compare; an error is its kind and text."""
    assert serving.personal is not None
    try:
        if how == "fast":
            p: Prediction = serving.predict_for(unit, x)
        else:
            p = serving.predict_any(x, unit=serving.personal.find(unit))
    except InputError as error:
        return (error.kind, str(error))
    probabilities = None if p.probabilities is None else p.probabilities.tobytes()
    numbers = (probabilities, p.confidence, p.value)
    return (p.label, *numbers, p.source, p.version, p.degraded, p.personalised)


@pytest.fixture(scope="module", params=list(KINDS))
def taught(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return made(tmp_path_factory.mktemp("release"), request.param)


@given(
    row=arrays(
        st.sampled_from([np.float32, np.float64]),
        st.just((4,)),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    )
)
@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
def test_both_ways_answer_or_refuse_any_row_of_a_unit_alike(taught: Predictor, row: Any) -> None:
    assert answer(taught, row, "fast") == answer(taught, row, "general")


def test_a_row_of_a_taught_unit_takes_the_prepared_way_and_is_corrected(taught: Predictor) -> None:
    row = unit_rows(1, 4, 9)[0]
    own, personal = taught.predict(row), taught.predict_for(UNIT, row)
    assert taught._local.personal is not None
    assert (own.personalised, personal.personalised) == (False, True)
    assert "personalised" in repr(personal)
    assert personal.source == "model"
    if personal.probabilities is not None:
        assert personal.probabilities.sum() == pytest.approx(1, abs=1e-6)
        assert not np.allclose(personal.probabilities, own.probabilities)  # type: ignore[arg-type]
        assert personal.confidence == pytest.approx(personal.probabilities.max())
        classes = taught.release.manifest.signature.classes
        assert personal.label == classes[int(personal.probabilities.argmax())]
    else:
        assert personal.value != own.value


def test_a_unit_without_labels_gets_the_releases_answer(taught: Predictor) -> None:
    for row in unit_rows(5, 4, 11):
        for how in ("fast", "general"):
            stranger = answer(taught, row, how, unit="somebody new")
            p = taught.predict(row)
            assert stranger[-1] is False
            assert (stranger[0], stranger[3]) == (p.label, p.value)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_batch_is_corrected_like_its_rows_and_its_ids_teach(tmp_path: Path, kind: str) -> None:
    serving = made(tmp_path, kind)
    x = unit_rows(40, 4, 13)
    batch, plain = serving.predict_batch(x, unit=UNIT), serving.predict_batch(x)
    assert batch.personalised is not None
    assert batch.personalised.all()
    assert plain.personalised is None
    for i, row in enumerate(x):
        single = serving.predict_for(UNIT, row)
        assert (batch[i].label, batch[i].personalised) == (single.label, True)
        if single.value is None:
            assert np.allclose(batch[i].probabilities, single.probabilities, atol=1e-5)  # type: ignore[arg-type]
        else:
            assert batch[i].value == pytest.approx(single.value, rel=1e-5)
    if batch.labels is not None:
        assert batch.labels.tolist() == [p.label for p in batch]
    assert serving.personal is not None
    before = serving.personal.find(UNIT).state.labels
    classes = serving.release.manifest.signature.classes
    serving.feedback(batch.ids[3].rpartition("-")[2], classes[0] if classes else 4.0)
    assert serving.personal.find(UNIT).state.labels == before + 1


def test_rows_of_a_pack_are_corrected_where_their_vector_needs_no_model(tmp_path: Path) -> None:
    for kind, corrected in (("features", True), ("outputs", True), ("embedding", False)):
        release = unit_release(tmp_path / kind, **KINDS[kind])
        key = Canonicaliser(release.manifest.signature).key
        x = unit_rows(6, 4, 21)
        keys = np.array([np.frombuffer(key(row.tobytes()), np.uint8) for row in x[:3]])
        stored = np.random.default_rng(2).dirichlet(np.ones(3), 3).astype(np.float32)
        values = {"probabilities": stored}
        if kind == "embedding":
            values["inner"] = np.zeros((3, 6), np.float32)
        path = tmp_path / f"{kind}.pack"
        write_pack(path, release, keys, values, answered_by="9.0")
        serving = personal_predictor(release, kind, pack=Pack.open(path, release))
        teach(serving)
        for i, row in enumerate(x):
            fast, general = answer(serving, row, "fast"), answer(serving, row, "general")
            assert fast == general
            assert fast[4] == ("pack" if i < 3 else "model")
            if i >= 3 or kind != "embedding":
                assert fast[-1] is (corrected or i >= 3)
        batch = serving.predict_batch(x, unit=UNIT, pack=True)
        assert batch.sources == ["pack"] * 3 + ["model"] * 3
        for i, row in enumerate(x):
            assert batch[i].label == answer(serving, row, "fast")[0]


@pytest.mark.parametrize("threshold", [0.0, 0.9, 2.0])
def test_with_a_cloud_that_is_away_both_ways_correct_the_models_answer(
    tmp_path: Path, threshold: float
) -> None:
    def cloud(*_: Any) -> Any:
        raise HubUnreachable("away")

    release = unit_release(tmp_path, cascade=Cascade(threshold))
    serving = personal_predictor(release, cloud=cloud)
    teach(serving)
    for row in unit_rows(30, 4, 5):
        fast = answer(serving, row, "fast")
        assert fast == answer(serving, row, "general")
        assert fast[-1] is True


def test_an_answer_of_the_cloud_is_not_corrected_and_teaches_nothing(tmp_path: Path) -> None:
    from edge_sdk.contract.fleet import CloudReply

    def cloud(*_: Any) -> Any:
        return CloudReply("9.0", 1, (0.1, 0.8, 0.1))

    release = unit_release(tmp_path, cascade=Cascade(2.0))
    serving = personal_predictor(release, cloud=cloud)
    p = serving.predict_for(UNIT, unit_rows(1)[0])
    assert (p.source, p.label, p.personalised) == ("cloud", 1, False)
    serving.feedback(str(p._number), 2)
    assert serving.personal is not None
    assert serving.personal.find(UNIT).state is None


def test_histograms_and_own_accuracy_are_the_releases_and_accuracy_what_was_served(
    tmp_path: Path,
) -> None:
    release = unit_release(tmp_path)
    plain = Predictor(release, TERMS, tag="p", clock=Clock())
    serving = personal_predictor(release)
    teach(serving)
    serving.monitor.collect(0.0, final=True)
    x = unit_rows(60, 4, 31)
    right = own_right = 0
    for row in x:
        p, own = serving.predict_for(UNIT, row), plain.predict(row)
        label = int(row[0] > 0)
        serving.feedback(str(p._number), label)
        open_guards(serving, UNIT)
        right, own_right = right + (p.label == label), own_right + (own.label == label)
    assert right != own_right
    bodies = serving.monitor.collect(0.0, final=True)
    (window,) = [b for b in bodies if isinstance(b, WindowReport)]
    (expected,) = [b for b in plain.monitor.collect(0.0, final=True) if isinstance(b, WindowReport)]
    assert window.outputs == expected.outputs
    assert window.features == expected.features
    (outcomes,) = [b for b in bodies if isinstance(b, FeedbackReport)]
    assert (outcomes.labelled, outcomes.correct) == (60, right)
    assert (outcomes.own_labelled, outcomes.own_correct) == (60, own_right)


def test_of_numbers_errors_are_of_the_models_own_and_right_what_was_served(tmp_path: Path) -> None:
    release = unit_release(tmp_path, number=True)
    terms = replace(
        TERMS, reporting=Reporting(window_seconds=60, minimum_observations=1, right_within=0.5)
    )
    serving = personal_predictor(release)
    teach(serving)
    serving.monitor = Predictor(release, terms, tag="t", clock=Clock()).monitor
    serving._local = type(serving._local)()
    p = serving.predict_for(UNIT, unit_rows(1, 4, 3)[0])
    own = serving.predict(unit_rows(1, 4, 3)[0])
    assert isinstance(p.value, float)
    assert isinstance(own.value, float)
    serving.monitor.feedback(str(p._number), p.value)
    (report,) = [
        b for b in serving.monitor.collect(0.0, final=True) if isinstance(b, FeedbackReport)
    ]
    assert (report.correct, report.own_correct) == (1, int(abs(own.value - p.value) <= 0.5))
    assert report.error_sum == pytest.approx(abs(own.value - p.value))
    batch = serving.predict_batch(unit_rows(3, 4, 3), unit=UNIT)
    name = batch.ids[0].rpartition("-")[2]
    serving.monitor.feedback(name, p.value)
    (report,) = [
        b for b in serving.monitor.collect(0.0, final=True) if isinstance(b, FeedbackReport)
    ]
    assert report.error_sum == pytest.approx(abs(own.value - p.value), rel=1e-5)


def test_a_release_on_the_general_way_is_corrected_there(tmp_path: Path) -> None:
    serving = personal_predictor(unit_release(tmp_path, argmax=False))
    teach(serving)
    p = serving.predict_for(UNIT, unit_rows(1)[0])
    assert serving._local.personal is None
    assert p.personalised
    batch = serving.predict_batch(unit_rows(4), unit=UNIT)
    assert batch[0].label == p.label


@pytest.mark.parametrize("kind", ["features", "features+embedding", "embedding", "outputs"])
def test_the_device_reads_the_vector_that_the_hub_fits_with(tmp_path: Path, kind: Any) -> None:
    release = unit_release(tmp_path, **KINDS[kind])
    serving = personal_predictor(release, kind)
    x = unit_rows(9, 4, 41)
    outputs = serving.model.run({"X": x}, serving._answers.needed)
    expected = vectors(kind, release.manifest, {"X": x}, outputs)
    reader = BasisReader(kind, release.manifest, expected.shape[1])
    whole = reader.of_batch(x, outputs, outputs["probabilities"], None, 9)
    assert whole is not None
    np.testing.assert_array_equal(whole, expected)
    for i in range(9):
        one = {name: array[i : i + 1] for name, array in outputs.items()}
        phi = reader.of(x[i].tobytes(), one, one["probabilities"][0])
        assert phi is not None
        np.testing.assert_array_equal(phi, expected[i])


@given(
    scores=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=UNROLLED + 5),
    power=st.floats(0.01, 2),
    seed=st.integers(0, 1_000),
    scale=st.sampled_from([0.1, 1.0, 30.0, 1e6]),
)
@settings(max_examples=200, deadline=None)
def test_every_form_of_a_correction_says_the_same(
    scores: list[float], power: float, seed: int, scale: float
) -> None:
    rng, count = np.random.default_rng(seed), len(scores)
    matrix = (scale * rng.normal(size=(count, 3))).astype(np.float32)
    offset = rng.normal(size=count).astype(np.float32)
    correction = Correction(power, matrix, offset, 1e-4)
    phi = rng.normal(size=3).astype(np.float32)
    found = correction.apply(scores, phi)
    rows, finite = correction.apply_batch(np.array([scores]), phi[None])
    logits = power * np.log(np.maximum(scores, 1e-4)) + matrix.dot(phi).astype(float) + offset
    odds = np.exp(logits - logits.max())
    if found is None:
        assert abs(logits).max() > 30
        return
    np.testing.assert_allclose(found, odds / odds.sum(), rtol=1e-5, atol=1e-12)
    if finite[0]:
        np.testing.assert_allclose(rows[0], found, rtol=1e-4, atol=1e-9)
    answer = correction.odds(scores, phi)
    assert answer is not None
    assert answer[2] == int(np.argmax(answer[0]))


def test_a_correction_of_what_is_not_finite_is_none() -> None:
    correction = Correction(0.5, np.ones((3, 2), np.float32), np.zeros(3, np.float32), 1e-4)
    fine, nan = np.ones(2, np.float32), struct.unpack("f", struct.pack("f", float("nan")))[0]
    assert correction.apply((0.2, 0.3, 0.5), fine) is not None
    assert correction.apply((0.2, nan, 0.5), fine) is None
    assert correction.apply((0.2, 0.3, 0.5), fine * np.float32(nan)) is None
    assert correction.apply((0.2, 0.3, 0.5), fine * np.float32(1e30)) is None
    assert correction.apply((0.2, 0.3, 0.5), fine * np.float32(-1e30)) is None


@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("common", [-900.0, -80.0, 80.0, 900.0])
def test_what_all_classes_have_in_common_changes_no_answer(classes: int, common: float) -> None:
    random = np.random.default_rng(classes)
    matrix = random.normal(size=(classes, 5)).astype(np.float32)
    phi = random.normal(size=5).astype(np.float32)
    scores = tuple((p := random.random(classes) + 0.01) / p.sum())
    plain = Correction(0.5, matrix, np.zeros(classes, np.float32), 1e-4)
    moved = Correction(0.5, matrix, np.full(classes, common, np.float32), 1e-4)
    expected = plain.apply(scores, phi)
    assert expected is not None
    assert moved.apply(scores, phi) == pytest.approx(expected, rel=1e-4)
    batch, finite = moved.apply_batch(np.array([scores]), phi[None])
    assert finite.all()
    assert batch[0] == pytest.approx(expected, rel=1e-4)
