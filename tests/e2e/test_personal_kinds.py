"""Releases of other kinds, personalised end to end: one with an embedding, and a regressor."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from cloud_hub.data.parquet_files import parquet_bytes
from edge_sdk import EdgeDevice
from edge_sdk.model.release import Release
from edge_sdk.model.session import Model
from tests.e2e.live import PATIENT
from tests.edge.personalise.unit_release import unit_release, unit_rows
from tests.servers import HubProcess

STRANGER = 1_000
PEOPLE, EACH = 30, 60


def answers(release: Release, x: NDArray[np.float32]) -> NDArray[Any]:
    outputs = Model.load(release).run({"X": x})
    return outputs["value"][:, 0] if "value" in outputs else outputs["label"]


def of_person(release: Release, person: int, count: int) -> tuple[NDArray[np.float32], Any]:
    """Inputs of a person and the truth: moved inputs, or answers off by an offset of one's own."""
    own = np.random.default_rng([person, 7])
    x = unit_rows(count, seed=person + 2)
    if release.manifest.task == "regression":
        noise = np.random.default_rng([person, 8]).normal(scale=0.3, size=count)
        return x, answers(release, x) + own.normal(scale=4.0) + noise
    # What a person means is what the release says of the inputs before they were moved.
    return x + own.normal(scale=2.0, size=4).astype(np.float32), answers(release, x)


def rows_of_people(release: Release) -> io.BytesIO:
    parts = [of_person(release, person, EACH) for person in range(PEOPLE)]
    x, y = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    who = np.repeat([f"person {i}" for i in range(PEOPLE)], EACH)
    columns = {f"f{i}": x[:, i] for i in range(4)}
    return io.BytesIO(parquet_bytes(pa.table({**columns, "y": y, "person": who})))


KINDS = {
    "an embedding": ({"embedding": True}, "features+embedding"),
    "a regressor": ({"number": True}, "outputs"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_is_fitted_and_a_stranger_is_answered_better_within_the_session(
    hub: HubProcess, tmp_path: Path, kind: str
) -> None:
    options, basis = KINDS[kind]
    model = kind.replace(" ", "-")
    release = unit_release(tmp_path, model=model, **options)  # type: ignore[arg-type]
    hub.admin.put(f"models/{model}/policy", b"personalise: {mode: on}")
    hub.admin.publish(release.folder, hub.key, override="test")
    hub.admin.post(f"models/{model}/promote", version="1.0")
    raw = rows_of_people(release).getvalue()
    record = hub.admin.post(f"models/{model}/personalise/fit", raw, unit="person")
    assert (record["basis"], record["helps"]) == (basis, True), record["verdict"]
    x, y = of_person(release, STRANGER, 240)
    with EdgeDevice(
        tmp_path / "d", hub=hub.url, token=hub.token(model), model=model, config=PATIENT,
        background=False,
    ) as device:  # fmt: skip
        for row, truth in zip(x[:80], y[:80].tolist(), strict=True):
            device.feedback(device.predict(row, unit="stranger").id, label=truth)
        own, personal = [], []
        for row, truth in zip(x[80:], y[80:].tolist(), strict=True):
            plain, corrected = device.predict(row), device.predict(row, unit="stranger")
            assert corrected.personalised
            assert not plain.personalised
            own.append(_wrong(plain, truth))
            personal.append(_wrong(corrected, truth))
    assert np.mean(personal) < np.mean(own)


def _wrong(prediction: Any, truth: float) -> float:
    if prediction.value is not None:
        return abs(float(prediction.value) - truth)
    return float(prediction.label != truth)
