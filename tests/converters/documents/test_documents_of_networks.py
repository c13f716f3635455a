"""Card and bill of materials of what is no table, and of models of other frameworks."""

from __future__ import annotations

import json
from importlib import metadata

import numpy as np
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier

from converters import Picture, convert
from edge_sdk.contract.manifest import BOM, CARD
from tests.converters import networks

RANDOM = np.random.default_rng(0)


def card_of(release):
    return (release.folder / CARD).read_text(encoding="utf-8")


def valid_bill(release):
    """Return the bill of materials, after the strict validator of CycloneDX has passed it."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    raw = (release.folder / BOM).read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(raw) is None
    return json.loads(raw)


def frameworks(bill):
    return {c["name"]: c["version"] for c in bill["components"] if c["type"] == "framework"}


def test_a_network_of_pictures_says_what_the_statistics_are(tmp_path):
    X, y = networks.digits()
    path = networks.saved(networks.convolutional(), tmp_path)
    release = convert(
        path, X, y, name="m", out=tmp_path / "r", variants=["float32"],
        licence="LicenseRef-ours", groups={"half": np.arange(len(X)) % 2},
    )  # fmt: skip
    card, bill = card_of(release), valid_bill(release)
    assert "`x` holds pictures: below are statistics of each whole input" in card
    assert "texts that are not listed" not in card
    assert f"| Statistic | Values in the reference profile ({len(X):,} rows) |" in card
    assert "an ONNX file; of which kind was not stated" in card
    assert "half=0" in card
    assert bill["metadata"]["component"]["licenses"] == [{"expression": "LicenseRef-ours"}]
    assert frameworks(bill) == {}


KINDS = {
    "audio": ((4_000,), "sound"),
    "series": ((50, 3), "series over time"),
    "tensor": ((3, 4), "numbers"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_inputs_have_valid_documents(kind, tmp_path):
    shape, words = KINDS[kind]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, *shape]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 18)]
    path = networks.saved(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path)
    X = RANDOM.normal(size=(40, *shape)).astype(np.float32)
    release = convert(
        path,
        X,
        name="m",
        out=tmp_path / "r",
        variants=["float32"],
        kinds={"x": kind},
        output="values",
    )
    valid_bill(release)
    assert f"`x` holds {words}: below" in card_of(release)


def test_an_estimator_names_its_library_and_no_other(tmp_path):
    X = RANDOM.normal(size=(200, 3))
    y = (X[:, :2] > 0).astype(int)
    model = MultiOutputClassifier(LogisticRegression()).fit(X, y)
    release = convert(model, X, y, name="m", out=tmp_path / "r", variants=["float32"])
    card, bill = card_of(release), valid_bill(release)
    version = metadata.version("scikit-learn")
    assert frameworks(bill) == {"scikit-learn": version}
    assert f"| Model | MultiOutputClassifier (scikit-learn {version}) |" in card
    assert "share of rows whose labels are all right of the file" in card
    assert "every class with a score of at least 0.5" in card
    made_by = {"framework:scikit-learn"}
    depends = {entry["ref"]: set(entry["dependsOn"]) for entry in bill["dependencies"]}
    assert made_by <= depends["model:m@1.0"]
    assert depends["file:model.onnx"] == {"library:onnxruntime"}
    scopes = {c["name"]: c["scope"] for c in bill["components"] if "scope" in c}
    assert scopes == {"onnxruntime": "required", "scikit-learn": "excluded"}


def test_a_regressor_has_no_line_of_labels(tmp_path):
    from tests.converters import builders

    X, y = builders.data_of("ridge")
    release = convert(builders.model("ridge"), X, y, name="m", out=tmp_path / "r",
                      variants=["float32"])  # fmt: skip
    assert "Labels that differ" not in card_of(release)
    valid_bill(release)


@pytest.mark.torch
@pytest.mark.slow
def test_a_module_names_its_framework_and_what_comes_before_it(tmp_path):
    torch = pytest.importorskip("torch", reason="modules need PyTorch: the extra [torch]")
    from torch import nn

    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    pictures = RANDOM.integers(0, 256, (60, 32, 32, 3)).astype(np.uint8)

    def python(picture):
        return (picture.transpose(2, 0, 1) / np.float32(255) - np.float32(0.5)) / np.float32(0.25)

    before = Picture(python, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    release = convert(module, pictures, name="m", out=tmp_path / "r", output="logits",
                      variants=["float32"], preprocess=before)  # fmt: skip
    card, bill = card_of(release), valid_bill(release)
    version = metadata.version("torch")
    assert f"| Model | Sequential (torch {version}) |" in card
    assert "Picture(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)), within the file" in card
    assert "`picture` holds pictures" in card
    assert frameworks(bill) == {"torch": version}
    purls = [c["purl"] for c in bill["components"] if c.get("name") == "torch"]
    assert purls == [f"pkg:pypi/torch@{version.replace('+', '%2B')}"]
    assert torch.__version__ == version


@pytest.mark.torch
@pytest.mark.slow
def test_a_keras_model_names_both_of_its_frameworks(tmp_path):
    pytest.importorskip("torch", reason="Keras runs on PyTorch here: the extra [torch]")
    keras = pytest.importorskip("keras", reason="needs Keras: the extra [torch]")
    model = keras.Sequential([keras.layers.Input((16,)), keras.layers.Dense(2)])
    X = RANDOM.normal(size=(40, 16)).astype(np.float32)
    release = convert(model, X, name="m", out=tmp_path / "r", output="values",
                      variants=["float32"])  # fmt: skip
    assert set(frameworks(valid_bill(release))) == {"keras", "torch"}


@pytest.mark.torch
@pytest.mark.slow
def test_a_network_of_tokens_has_valid_documents(tmp_path):
    torch = pytest.importorskip("torch", reason="modules need PyTorch: the extra [torch]")
    module = torch.nn.Sequential(
        torch.nn.Embedding(50, 8), torch.nn.Flatten(), torch.nn.Linear(48, 2)
    )
    ids = RANDOM.integers(0, 50, (60, 6))
    release = convert(module, ids, name="m", out=tmp_path / "r", output="logits",
                      kinds={"input": "tokens"}, variants=["float32"])  # fmt: skip
    valid_bill(release)
    assert "holds numbers of tokens" in card_of(release)
