"""Several labels an answer: counted, joined with late ones and compared as one set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier

from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.contract.experiment_reports import Pairs, ShadowReport
from edge_sdk.contract.label_sets import LabelSet
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.errors import InputError
from edge_sdk.experiments.shadow import Shadow
from edge_sdk.model.release import Release
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.telemetry.histogram_codec import decode_histograms
from tests.waiting import wait_for

NAMES = np.array(["dog", "cat", "fox"])
X = np.random.default_rng(0).normal(size=(300, 4))
Y = (X[:, :3] > 0).astype(int)


def made(folder: Path, truth: NDArray[Any], version: str = "1.0") -> Release:
    model = MultiOutputClassifier(LogisticRegression()).fit(X, truth)
    return convert(
        model, X, truth, name="m", version=version, out=folder / version, classes=NAMES,
        variants=["float32"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return made(tmp_path_factory.mktemp("sets"), Y)


@pytest.fixture
def device(release: Release) -> Iterator[EdgeDevice]:
    with EdgeDevice.offline(release.folder) as opened:
        yield opened


def true_labels(i: int) -> list[str]:
    return [str(name) for name in NAMES[Y[i] > 0]]


def test_equal_sets_are_equal_texts() -> None:
    assert LabelSet.of(["fox", "cat"]) == LabelSet.of(("cat", "fox", "cat")) == "cat + fox"
    assert LabelSet.of([]) == "(none)"


def test_the_profile_counts_sets_of_labels(release: Release) -> None:
    (output,) = release.profile().outputs
    assert output.name == "label"
    assert output.categories is not None
    assert {"(none)", "cat", "cat + dog + fox"} <= set(output.categories)
    assert sum(output.counts) == len(X)


def test_a_window_counts_the_sets_that_were_given(release: Release, device: EdgeDevice) -> None:
    given = [LabelSet.of(device.predict(row).labels or ()) for row in X]
    (window,) = [body for body in device.reports() if isinstance(body, WindowReport)]
    (output,) = release.profile().outputs
    counts = decode_histograms(window.outputs).flat.tolist()
    assert output.categories is not None
    assert list(counts[:-2]) == [given.count(LabelSet(each)) for each in output.categories]


def test_a_late_set_is_right_where_all_of_it_is(device: EdgeDevice) -> None:
    right = 0
    for i in range(40):
        p = device.predict(X[i])
        right += sorted(p.labels or ()) == sorted(true_labels(i))
        device.feedback(p.id, label=true_labels(i)[::-1])
    batch = device.predict_batch(X[:3])
    device.feedback(batch.ids[2], label=set(batch.labels[2]))  # type: ignore[index]
    (report,) = [body for body in device.reports() if isinstance(body, FeedbackReport)]
    assert (report.labelled, report.correct) == (41, right + 1)
    assert (report.own_labelled, report.own_correct) == (41, right + 1)


BAD = {
    "one label": ("cat", "expected a list of labels"),
    "a label that is no class": (["cow"], "expected one of"),
    "a number": (1, "expected a list of labels"),
    "lists of lists": ([["cat"]], "expected a class or a finite number"),
}


@pytest.mark.parametrize("case", BAD)
def test_is_refused_as_labels(case: str, device: EdgeDevice) -> None:
    label, reason = BAD[case]
    with pytest.raises(InputError, match=reason):
        device.feedback(device.predict(X[0]).id, label=label)  # type: ignore[arg-type]


def test_a_shadow_counts_the_answers_whose_sets_differ(release: Release, tmp_path: Path) -> None:
    other = made(tmp_path, np.column_stack([Y[:, 0], Y[:, 1], 1 - Y[:, 2]]), "1.1")
    terms = ServingTerms(reporting=Reporting(votes=0))
    serving = Predictor(release, terms, tag="t")
    bare = [Predictor(each, terms, tag="x", monitoring=False) for each in (release, other)]
    shadow = Shadow("b", serving, *bare, budget=1.0, limit=10.0)
    try:
        for row in X[:60]:
            serving.predict(row)
        serving.monitor.fold()
        wait_for(lambda: shadow._counts.compared == 60, "the comparison")
        shadow.labelled("t", "1", LabelSet.of(true_labels(0)))
        (body,) = shadow.collect(time.time(), final=True)
    finally:
        shadow.close()
    assert isinstance(body, ShadowReport)
    assert body.compared == body.disagreements == 60
    assert isinstance(body.labelled, Pairs)
    assert body.labelled.both == 0
