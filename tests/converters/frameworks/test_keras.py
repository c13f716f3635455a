"""Models of Keras 3 become releases in one call, as objects and as ``.keras`` files."""

from __future__ import annotations

import os

import numpy as np
import pytest
from typer.testing import CliRunner

from converters import ConversionError, convert
from converters.cli.app import app
from converters.frameworks.frameworks import export_module, load_module
from converters.sources.module_parity import hold_to_module
from edge_sdk.model.session import Model

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    # Keras asks for arrays of tensors as NumPy 1 did.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
pytest.importorskip("torch", reason="Keras runs on PyTorch here: the extra [torch]")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="needs Keras: the extra [torch]")

RANDOM = np.random.default_rng(0)


def test_a_model_and_its_file_answer_alike(tmp_path):
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((8, 8, 3), name="picture"),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.3),
            layers.Dense(3, activation="softmax"),
        ]
    )
    x = RANDOM.random((6, 8, 8, 3)).astype(np.float32)
    expected = model(x).detach().numpy()
    model.save(tmp_path / "m.keras")
    y = np.array(list("abc"))[expected.argmax(1)]
    release = convert(
        tmp_path / "m.keras", x, y, name="m", out=tmp_path / "r", classes=["a", "b", "c"]
    )
    assert release.manifest.training["estimator"] == "Sequential"
    answers = Model.load(release).run({"picture": x})
    spec = release.manifest.signature.output("probabilities")
    assert np.allclose(answers[spec.name], expected, atol=1e-5)


def test_inputs_and_outputs_by_name_keep_their_names():
    a, b = keras.Input((4,), name="a"), keras.Input((5, 6), name="b")
    joined = keras.layers.Concatenate()([a, keras.layers.LSTM(4)(b)])
    model = keras.Model({"a": a, "b": b}, {"logits": keras.layers.Dense(3)(joined)})
    feed = {"a": RANDOM.random((4, 4)), "b": RANDOM.random((4, 5, 6))}
    exported = export_module(model, feed, batched=True)
    assert [value.name for value in exported.proto.graph.input] == ["a", "b"]
    assert [value.name for value in exported.proto.graph.output] == ["logits"]
    assert hold_to_module(exported) < 1e-5


def test_a_file_is_converted_from_the_command_line(tmp_path):
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "m.keras")
    np.savez(tmp_path / "rows.npz", X=RANDOM.random((6, 4), np.float32))
    command = ["convert", tmp_path / "m.keras", "--data", tmp_path / "rows.npz", "--name", "m"]
    options = ["--out", tmp_path / "r", "--output", "values"]
    result = CliRunner().invoke(app, [*map(str, command), *map(str, options)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "r" / "manifest.json").is_file()


def test_code_in_a_file_needs_trust(tmp_path):
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Lambda(lambda x: x * 2)]).save(
        tmp_path / "m.keras"
    )
    with pytest.raises(ConversionError, match="trust=True"):
        load_module(tmp_path / "m.keras", trust=False)
    assert load_module(tmp_path / "m.keras", trust=True) is not None


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"no archive")
    with pytest.raises(ConversionError, match="expected a model that Keras 3 saved"):
        convert(tmp_path / "m.keras", np.zeros((3, 4)), name="m", out=tmp_path / "r")
