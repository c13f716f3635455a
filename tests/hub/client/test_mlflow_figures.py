"""What is logged of a version to MLflow."""

from __future__ import annotations

import pytest

from cloud_hub.client.mlflow import TAG, MlflowServer, figures_of
from cloud_hub.errors import HubFault, Invalid

REPORT = {
    "version": {
        "model": "digits", "version": "1.1", "manifest": "ab" * 32, "mode": "stateful",
        "parent": "1.0", "rows": 7, "metrics": {"accuracy": 0.9, "broken": float("nan")},
    },
    "task": "classification",
    "variants": [{"name": "int8 static", "score": 0.89, "score_bound": None, "bytes": 5}],
    "tags": {"team": "vision"},
}  # fmt: skip


def test_the_figures_of_a_version_have_names_that_mlflow_takes() -> None:
    figures = figures_of(REPORT)
    assert figures.metrics == {
        "training.accuracy": 0.9, "certificate.int8 static.score": 0.89,
        "certificate.int8 static.bytes": 5.0,
    }  # fmt: skip
    assert figures.params["parent"] == "1.0"
    assert figures.tags[TAG] == "ab" * 32
    assert figures.tags["edge.tag.team"] == "vision"


def test_what_is_no_server_of_mlflow_is_an_error_in_words() -> None:
    with pytest.raises(Invalid, match="expected an http"):
        MlflowServer("file:///mlruns")
    with pytest.raises(HubFault, match="expected an MLflow tracking server"):
        MlflowServer("http://127.0.0.1:9").log("digits", figures_of(REPORT))
