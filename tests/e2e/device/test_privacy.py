"""No value of an input leaves the device: nothing that is sent has the planted canaries."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from converters import convert
from edge_sdk.contract.codec import encode
from edge_sdk.contract.histograms import NO_HISTOGRAMS
from edge_sdk.contract.messages import FeedbackReport, KeyVotes, WindowReport
from edge_sdk.contract.serving_terms import Reporting, Sharing
from edge_sdk.model.release import Release
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from tests.clock import Clock
from tests.edge.builders import make_release
from tests.waiting import PATIENCE

NUMBER, SMALL = 31_337.015625, -0.7243919
TEXT = "canary-Łódź-31337"
FORMS = [
    *(np.array([v], dtype).tobytes() for v in (NUMBER, SMALL) for dtype in ("<f4", "<f8", ">f8")),
    *(repr(v).encode() for v in (NUMBER, SMALL, float(np.float32(SMALL)))),
    b"31337",
    b"7243919",
    TEXT.encode(),
    json.dumps(TEXT).strip('"').encode(),
    b"canary",
]


def release_of(folder: Path) -> Release:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({f"f{i}": random.standard_normal(400) for i in range(48)})
    frame["town"] = random.choice(["Oslo", "Bern"], 400)
    y = (frame["f0"] + (frame["town"] == "Oslo") > 0.5).astype(int)
    encoder = OneHotEncoder(handle_unknown="ignore")
    numbers = [name for name in frame if name != "town"]
    parts = [("town", encoder, ["town"]), ("rest", StandardScaler(), numbers)]
    model = make_pipeline(ColumnTransformer(parts), LogisticRegression()).fit(frame, y)
    groups = {"town": None, "who": ["a", "b"] * 200}
    return convert(
        model, frame, y, name="m", out=folder / "m", variants=("float32",), groups=groups
    )


def everything_in(raw: bytes) -> bytes:
    """The bytes, and what any base64 or hexadecimal text in them says."""
    found = [raw]
    for text in re.findall(rb'"([A-Za-z0-9+/]{8,})"', raw):
        with contextlib.suppress(binascii.Error):
            found.append(base64.b64decode(text + b"=" * (-len(text) % 4)))
    for text in re.findall(rb'"([0-9a-f]{8,})"', raw):
        if len(text) % 2 == 0:
            found.append(bytes.fromhex(text.decode()))
    return b"\0".join(found)


def test_planted_values_are_in_no_message_and_a_window_of_fifty_is_small(tmp_path: Path) -> None:
    release = release_of(tmp_path)
    random = np.random.default_rng(1)
    serving = Predictor(release, ServingTerms(), tag="t", clock=Clock())
    for i in range(2_000):
        row = {f"f{j}": float(v) for j, v in enumerate(random.standard_normal(48))}
        row |= {"town": "Oslo"}
        if i % 2:
            row |= {"f0": NUMBER, "f1": SMALL, "town": TEXT}  # the same row often: it gets a vote
            row |= {f"f{j}": 0.25 for j in range(2, 48)}
        found = serving.predict(row, {"who": TEXT if i % 2 else "a"})
        serving.feedback(found.id.rpartition("-")[2], 1, None)
    bodies = serving.monitor.collect(0.0, final=True)
    serving.close()
    kinds = {type(body) for body in bodies}
    assert {WindowReport, KeyVotes} <= kinds
    for body in bodies:
        sent = everything_in(encode(body))
        assert [form for form in FORMS if form in sent] == [], type(body)
    (report,) = [body for body in bodies if isinstance(body, WindowReport)]
    for column, known in (("town", "Oslo"), ("who", "a")):
        told = {group: counts.observations for group, counts in report.groups[column].items()}
        assert told == {known: 1_000, "other": 1_000}
    assert len(encode(report)) <= 5_000


def text_nodes() -> list[Any]:
    """Nodes that give the length of a text in words."""
    return [
        helper.make_node("StringSplit", ["x"], ["words", "count"], delimiter=" "),
        helper.make_node("Cast", ["count"], ["y"], to=TensorProto.FLOAT),
    ]


def mean_nodes() -> list[Any]:
    """Nodes that give the mean of all numbers of a sample."""
    return [
        helper.make_node("Cast", ["x"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["flat"]),
        helper.make_node("ReduceMean", ["flat", "axes"], ["y"], keepdims=0),
    ]


RANDOM = np.random.default_rng(0)
PLANTED: dict[str, tuple[Any, int, list[Any], Callable[[], Any], Any]] = {
    "a text": (
        text_nodes, TensorProto.STRING, ["n"],
        lambda: np.array([" ".join(["so"] * int(RANDOM.integers(3, 30)))], object),
        np.array([f"my word is {TEXT}"], object),
    ),
    "tokens": (
        mean_nodes, TensorProto.INT64, ["n", 6],
        lambda: RANDOM.integers(1, 500, (1, 6)), np.array([[31_337] * 6]),
    ),
    "a picture": (
        mean_nodes, TensorProto.FLOAT, ["n", 1, 16, 16],
        lambda: RANDOM.random((1, 1, 16, 16), np.float32),
        np.full((1, 1, 16, 16), NUMBER, np.float32),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANTED)
def test_of_what_is_no_table_counts_of_statistics_leave_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr("edge_sdk.telemetry.tensor_watch.SHARE", 1e6)  # look at every call
    nodes, dtype, shape, usual, planted = PLANTED[case]
    graph = helper.make_graph(
        nodes(),
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(np.array([1]), "axes")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(made, tmp_path / "m.onnx")
    X = [{"x": usual()} for _ in range(60)]
    release = convert(
        tmp_path / "m.onnx", X, name="m", out=tmp_path / "r", variants=("float32",), output="values"
    )
    assert release.profile().watched
    terms = ServingTerms(
        reporting=Reporting(votes=100), sharing=Sharing(samples=True, per_window=100)
    )
    serving = Predictor(release, terms, tag="t", share=True, clock=Clock())
    for i in range(400):
        found = serving.predict(planted if i % 2 else usual())
        serving.feedback(found.id.rpartition("-")[2], 1.0, None)
    bodies = serving.monitor.collect(0.0, final=True)
    serving.close()
    assert {type(body) for body in bodies} == {WindowReport, FeedbackReport}
    for body in bodies:
        sent = everything_in(encode(body))
        assert [form for form in FORMS if form in sent] == [], type(body)
    (report,) = [body for body in bodies if isinstance(body, WindowReport)]
    assert report.observations == 400


def test_a_window_of_few_observations_keeps_its_histograms(tmp_path: Path) -> None:
    release = release_of(tmp_path)
    serving = Predictor(release, ServingTerms(), tag="t", clock=Clock())
    row = {f"f{j}": 0.5 for j in range(48)} | {"town": "Bern"}
    for _ in range(99):
        serving.predict(row)
    (report,) = (
        body for body in serving.monitor.collect(0.0, final=True) if isinstance(body, WindowReport)
    )
    assert (report.features, report.outputs, report.observations) == (
        NO_HISTOGRAMS,
        NO_HISTOGRAMS,
        0,
    )
    assert report.predictions == {"model": 99}
    for _ in range(2):
        serving.predict(row)
    (report,) = (
        body for body in serving.monitor.collect(0.0, final=True) if isinstance(body, WindowReport)
    )
    serving.close()
    assert report.observations == 101


USES = {
    "a device": (
        "from edge_sdk import EdgeDevice\nwith EdgeDevice.offline({folder!r}) as device:\n"
        "    device.predict([0.0] * 4)"
    ),
    "a conversion": "import converters.conversion, onnxruntime",
    "a hub": "import cloud_hub.app, onnxruntime",
}


@pytest.mark.parametrize("case", USES)
def test_onnxruntime_does_not_report_home(case: str, tmp_path: Path) -> None:
    """Its telemetry keeps a device id and a queue of events in the home folder."""
    release = make_release(tmp_path / "release")
    home = tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    # Its own guess at machines of continuous integration would hide what devices do.
    environment = {k: v for k, v in environment.items() if k not in ("CI", "TF_BUILD")}
    environment |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    program = USES[case].format(folder=str(release.folder))
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=PATIENCE)
    assert [path.name for path in home.rglob("*") if path.is_file()] == []
