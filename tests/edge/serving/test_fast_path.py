"""The prepared way and the general way: the same answers, counted the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.numpy import arrays

from edge_sdk.contract.key import CHECK_BYTES
from edge_sdk.contract.manifest import Cascade
from edge_sdk.contract.messages import WindowReport
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.errors import HubUnreachable, InputError
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.prediction import Prediction
from edge_sdk.model.release import Release
from edge_sdk.packs.reader import Pack
from edge_sdk.packs.writer import write_pack
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from tests.clock import Clock
from tests.edge.builders import FEATURES, make_release, rows, softmax

TERMS = ServingTerms(reporting=Reporting(window_seconds=60, minimum_observations=1))
ANY_ROW = arrays(
    st.sampled_from([np.float32, np.float64]),
    st.just((FEATURES,)),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
)


def answer(serving: Predictor, x: Any, how: str) -> tuple[Any, ...]:
    """What came, as values that compare; an error is its kind and text."""
    ask = serving.predict if how == "fast" else serving.predict_any
    try:
        p: Prediction = ask(x)
    except InputError as error:
        return (error.kind, str(error))
    probabilities = None if p.probabilities is None else p.probabilities.tobytes()
    return (p.label, probabilities, p.confidence, p.value, p.source, p.version, p.degraded)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(
        make_release(tmp_path_factory.mktemp("release")), TERMS, tag="t", clock=Clock()
    )


@given(row=ANY_ROW)
@settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_both_ways_answer_or_refuse_any_row_alike(both: Predictor, row: Any) -> None:
    assert answer(both, row, "fast") == answer(both, row, "general")


@pytest.mark.parametrize(
    "given_as",
    [
        lambda row: row[::-1][::-1],
        lambda row: np.repeat(row, 3)[::3],
        lambda row: row.astype(">f4"),
        lambda row: row.astype(np.float64),
        lambda row: row.astype(np.float16).astype(np.float32),
        lambda row: np.asfortranarray(np.stack([row, row]))[0],
        lambda row: row.tolist(),
        lambda row: {f"f{i}": v for i, v in enumerate(row)},
        lambda row: np.ma.masked_array(row),
        lambda row: row.astype(object),
    ],
    ids=[
        *("reversed", "strided", "big-endian", "float64", "rounded"),
        *("fortran", "list", "dict", "masked", "object"),
    ],
)
def test_a_row_gets_one_answer_however_it_is_given(both: Predictor, given_as: Any) -> None:
    for row in rows(20).astype(np.float16).astype(np.float32):
        assert answer(both, given_as(row), "fast") == answer(both, row, "general")


def test_a_single_float_row_takes_the_prepared_way(both: Predictor) -> None:
    both.predict(rows(1)[0])
    assert both._local.fast is not None
    assert both._local.fast(rows(1)[0]) is not None
    for other in (
        rows(2),
        rows(1)[0].astype(np.int64),
        [1.0] * FEATURES,
        np.full(FEATURES, np.nan),
    ):
        assert both._local.fast(other) is None


def test_what_the_prepared_way_declines_is_counted_once(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), TERMS, tag="t", clock=Clock())
    x = rows(3)
    serving.predict(x[0])
    serving.predict(x[1].tolist())
    with pytest.raises(InputError):
        serving.predict(np.full(FEATURES, np.nan, np.float32))
    (report,) = [b for b in serving.monitor.collect(0.0, final=True) if isinstance(b, WindowReport)]
    assert (report.predictions, report.errors) == ({"model": 2}, {"missing": 1})
    assert report.observations == 2


def test_with_a_pack_both_ways_find_the_same_answers(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    key = Canonicaliser(release.manifest.signature).key
    x = rows(10)
    x[2, 1] = 0.0
    keys = np.array([np.frombuffer(key(row.tobytes()), np.uint8) for row in x])
    values = {"probabilities": softmax(x, 9).astype(np.float32)}
    write_pack(tmp_path / "pack", release, keys, values, answered_by="9.0")
    serving = Predictor(
        release, TERMS, tag="t", clock=Clock(), pack=Pack.open(tmp_path / "pack", release)
    )
    x[2, 1] = -0.0
    for row in (*x, *rows(20)[10:]):
        found = answer(serving, row, "fast")
        assert found == answer(serving, row, "general")
    assert [serving.predict(row).source for row in x] == ["pack"] * 10


def test_a_row_with_another_rows_checksum_is_a_miss(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    canonicaliser = Canonicaliser(release.manifest.signature)
    stored, other = same_checksum(canonicaliser.prefix)
    key = canonicaliser.key(stored.tobytes())
    assert key[:CHECK_BYTES] == canonicaliser.key(other.tobytes())[:CHECK_BYTES]
    values = {"probabilities": softmax(stored[None], 9).astype(np.float32)}
    keys = np.frombuffer(key, np.uint8)[None]
    write_pack(tmp_path / "pack", release, keys, values, answered_by="9.0")
    serving = Predictor(
        release, TERMS, tag="t", clock=Clock(), pack=Pack.open(tmp_path / "pack", release)
    )
    for ask in (serving.predict, serving.predict_any):
        assert (ask(stored).source, ask(other).source) == ("pack", "model")


def same_checksum(prefix: bytes) -> tuple[Any, Any]:
    """Two different rows with one CRC-32: among 200,000 there are about five such pairs."""
    drawn = np.random.default_rng(5).normal(size=(200_000, FEATURES)).astype(np.float32)
    seed, seen = crc32(prefix), {}
    for row in drawn:
        check = crc32(row.tobytes(), seed)
        if check in seen:
            return seen[check], row
        seen[check] = row
    raise AssertionError("no two rows with one checksum")


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 2.0])
def test_both_ways_ask_the_cloud_for_the_same_rows(tmp_path: Path, threshold: float) -> None:
    def cloud(*_: Any) -> Any:
        raise HubUnreachable("away")

    release = make_release(tmp_path, cascade=Cascade(threshold))
    serving = Predictor(release, TERMS, tag="t", clock=Clock(), cloud=cloud)
    for row in rows(50):
        assert answer(serving, row, "fast") == answer(serving, row, "general")


def test_a_probability_that_is_not_finite_has_no_confidence_and_is_hard(tmp_path: Path) -> None:
    asked = []

    def cloud(*arguments: Any) -> Any:
        asked.append(arguments)
        raise HubUnreachable("away")

    release = make_release(tmp_path, defect="nan", cascade=Cascade(0.0))
    serving = Predictor(release, TERMS, tag="t", clock=Clock(), cloud=cloud)
    for way in (serving.predict, serving.predict_any):
        p = way(rows(1)[0])
        assert p.confidence is not None
        assert np.isnan(p.confidence)
        assert p.degraded
    assert len(asked) == 2


def test_monitoring_can_be_off_and_ids_still_differ(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), TERMS, tag="t", clock=Clock(), monitoring=False)
    ids = {serving.predict(row).id for row in rows(5)}
    batch = serving.predict_batch(rows(5))
    assert len(ids | set(batch.ids)) == 10
    assert serving.monitor.collect(0.0, final=True) == []


def test_a_release_without_certified_argmax_takes_the_general_way(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    plain = replace(release.manifest, training={})
    serving = Predictor(
        Release(release.folder, plain, release.digest), TERMS, tag="t", clock=Clock()
    )
    expected = Predictor(release, TERMS, tag="t", clock=Clock()).predict(rows(1)[0])
    assert serving.predict(rows(1)[0]).label == expected.label
    assert serving._local.fast is None


def test_of_a_million_inputs_each_hits_its_own_answer_or_none(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    canonicaliser = Canonicaliser(release.manifest.signature)
    random = np.random.default_rng(6)
    values = np.concatenate([EDGES, random.normal(size=24)]).astype(np.float32)
    given = values[random.integers(0, len(values), (1_000_000, FEATURES))]
    given[:, FEATURES - 2 :] = given[::-1, :2]
    stored = np.unique(given[:20_000] + 0, axis=0)[::2]
    answers = np.zeros((len(stored), 3), np.float32)
    answers[:, 0] = np.arange(len(stored))
    keys = np.array([np.frombuffer(canonicaliser.key(row.tobytes()), np.uint8) for row in stored])
    write_pack(tmp_path / "pack", release, keys, {"probabilities": answers}, answered_by="9.0")
    pack = Pack.open(tmp_path / "pack", release)
    find, vectors = pack.finder(canonicaliser.prefix), pack.vectors("probabilities")
    marks, begin, shift = pack.filter
    seed = crc32(canonicaliser.prefix)
    expected = {(row + 0).tobytes(): float(i) for i, row in enumerate(stored)}
    assert vectors is not None
    unpack, data, values_at, size = vectors
    wrong = hits = 0
    for row in given:
        canonical = canonicaliser.canonical(row.tobytes())
        check = crc32(canonical, seed)
        passed = marks[begin + (check >> shift)] & 1 << (check & 7)
        entry = find(check, canonical) if passed else -1
        hits += entry >= 0
        found = unpack(data, values_at + size * entry)[0] if entry >= 0 else None
        wrong += found != expected.get((row + 0).tobytes())
    assert (wrong, hits > 1_000) == (0, True)


EDGES = [0.0, -0.0, 1e-45, -1e-45, 1.1754944e-38, 1.7e38, -1.7e38, 1.0]
"""Zeros, the smallest numbers, and the largest that the prepared way takes."""
