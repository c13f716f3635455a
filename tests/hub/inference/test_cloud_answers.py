"""Answers of the cloud line: alone and in company, over a hub's own route."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier

from cloud_hub.errors import HubFault, Invalid, NotFound
from cloud_hub.hub import Hub
from cloud_hub.inference.service import InferenceService
from converters import convert
from edge_sdk.contract.fleet import CloudReply, CloudRequest

NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small model, and a larger one of the same classes."""
    folder = tmp_path_factory.mktemp("releases")
    X, y = load_iris(return_X_y=True)
    X, paths = X.astype(np.float32), []
    for name, hidden in (("edge", 4), ("cloud", 64)):
        network = MLPClassifier(hidden, max_iter=60, random_state=0)
        with warnings.catch_warnings(action="ignore"):  # it need not be a good one
            network.fit(X, y)
        convert(network, X, y, name=name, out=folder / name, variants=("float32",))
        paths.append(folder / name)
    return paths[0], paths[1]


@pytest.fixture
def hub(inner: Hub, made: tuple[Path, Path]) -> Hub:
    from edge_sdk.model.release import Release

    for path in made:
        release = Release.open(path)
        inner.registry.publish(release, actor="test", override="test")
        inner.plans.promote(release.manifest.model, "1.0", actor="test", reason="first")
    inner.registry.set_policy("edge", "cloud: cloud\n", actor="test")
    return inner


def requests(count: int) -> list[CloudRequest]:
    rows = np.random.default_rng(0).uniform(0, 8, (count, 4)).round(1)
    return [CloudRequest("edge", "1.0", tuple(row)) for row in rows.tolist()]


def reply(answer: CloudReply | HubFault) -> CloudReply:
    assert isinstance(answer, CloudReply)
    return answer


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_rows_in_company_get_the_answers_that_they_get_alone(hub: Hub, count: int) -> None:
    rows = requests(count)
    alone = [hub.serving.predict(row) for row in rows]
    together = [reply(answer) for answer in hub.serving.predict_together(rows)]
    for one, other in zip(alone, together, strict=True):
        assert (one.version, one.label) == (other.version, other.label)
        # float32 adds up in another order: the last bits, far below the parity of a certificate.
        assert np.allclose(one.probabilities, other.probabilities, rtol=0, atol=1e-6)


def test_a_row_that_does_not_fit_is_refused_in_the_middle_of_others(hub: Hub) -> None:
    rows = requests(3)
    rows[1] = replace(rows[1], row=(1.0, 2.0))
    first, bad, last = hub.serving.predict_together(rows)
    assert isinstance(bad, Invalid)
    assert str(bad).startswith("row: ")
    assert [reply(first), reply(last)] == [hub.serving.predict(rows[i]) for i in (0, 2)]


def test_a_version_that_nobody_published_is_refused_beside_one_that_is(hub: Hub) -> None:
    rows = requests(2)
    good, unknown = hub.serving.predict_together([rows[0], replace(rows[1], version="9.9")])
    assert isinstance(good, CloudReply)
    assert isinstance(unknown, NotFound)


def test_a_model_without_a_cloud_line_is_refused(hub: Hub) -> None:
    with pytest.raises(NotFound, match="names no cloud model that serves"):
        hub.serving.predict(CloudRequest("cloud", "1.0", (1.0, 2.0, 3.0, 4.0)))


def test_the_first_row_is_not_at_hand_and_the_next_ones_are(hub: Hub) -> None:
    service = InferenceService(hub.registry, hub.plans)
    rows = requests(2)
    assert not service.is_at_hand(rows)
    service.predict(rows[0])
    assert service.is_at_hand(rows)
    assert not service.is_at_hand([replace(rows[0], version="9.9")])
