"""The model card and the bill of materials of a release: all that is known, and nothing more."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from converters import ConversionError, convert
from converters.documents.bom import bill_of_materials
from converters.documents.card import model_card
from converters.documents.facts import ReleaseFacts
from edge_sdk.contract.manifest import BOM, CARD, MANIFEST, Budget
from tests.converters import builders

HOSTILE = "Sorts | mail\n\n# Not a heading"


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    X, y = builders.data_of("scaler and MLP")
    groups = np.where(X[:, 3] > 12, "dark", "light")
    groups[:30] = "odd"
    return convert(
        builders.model("scaler and MLP"), X, y, name="m", version="1.1", parent="1.0",
        mode="stateful", licence="mit", purpose=HOSTILE, limits_of_use=["Not for cheques."],
        groups={"shade": groups}, data=(X[:200], y[:200]), ship=["float32", "int8-storage"],
        device_budget=Budget(p99_ms=5.0), out=tmp_path_factory.mktemp("made") / "r",
        variants=["int8-storage"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def card(release):
    return (release.folder / CARD).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def bom(release):
    return json.loads((release.folder / BOM).read_bytes())


def test_the_card_has_data_groups_scores_limits_and_licence(release, card):
    lineage, certificate = release.manifest.lineage, release.certificate()
    assert f"Training data: 200 rows, SHA-256 `{lineage.fingerprint}`" in card
    for group in certificate.groups:
        assert f"| shade={group.group} | {group.rows:,} | {group.original_score:.4f}" in card
    assert f"| accuracy of the model itself | {certificate.original_score:.4f} |" in card
    assert "- Not for cheques." in card
    assert "Fewer than 100 check rows are in shade=odd" in card
    assert "A device on which it takes more than 5 ms a row (99th percentile)" in card
    assert "| Licence | mit |" in card
    assert "stateful, continues 1.0" in card
    for variant in release.manifest.variants:
        assert f"| {variant.name} | `{variant.model}` |" in card
    assert all(why in card for why in certificate.not_chosen.values())


def test_a_text_of_the_callers_is_one_paragraph_and_no_markup_of_the_card(card):
    assert "Sorts | mail # Not a heading\n" in card
    assert "\n# Not" not in card


def test_what_nobody_said_or_measured_is_named_as_unknown(tmp_path):
    X, _ = builders.data_of("ridge")
    made = convert(builders.model("ridge"), X, name="m", out=tmp_path / "r", variants=["float32"])
    card = (made.folder / CARD).read_text(encoding="utf-8")
    assert "Nobody said what this model is for" in card
    assert "| Licence | not stated |" in card
    assert "how often the model itself is right is unknown" in card
    assert "No groups of rows were declared" in card
    assert "Check rows (no training data was given)" in card


def test_an_onnx_file_of_no_table_has_both_documents(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3, 4])],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "m.onnx")
    X = np.random.default_rng(0).normal(size=(8, 3, 4)).astype(np.float32)
    made = convert(tmp_path / "m.onnx", X, name="m", out=tmp_path / "r", variants=["float32"])
    card = (made.folder / CARD).read_text(encoding="utf-8")
    assert "`x` float32 [any, 3, 4]" in card
    assert json.loads((made.folder / BOM).read_bytes())["bomFormat"] == "CycloneDX"


def test_the_bill_lists_every_file_but_itself_and_the_manifest_with_its_hash(release, bom):
    files = {c["name"]: c["hashes"][0]["content"] for c in bom["components"] if "file:" in _ref(c)}
    there = {path.name: path for path in release.folder.iterdir()}
    assert set(files) == set(there) - {BOM, CARD, MANIFEST}
    for name, digest in files.items():
        assert hashlib.sha256(there[name].read_bytes()).hexdigest() == digest


def test_the_bill_has_the_model_card_the_data_the_parent_and_the_licence(release, bom):
    model = bom["metadata"]["component"]
    assert (model["name"], model["version"], model["type"]) == (
        "m",
        "1.1",
        "machine-learning-model",
    )
    assert model["licenses"] == [{"expression": "MIT"}]
    assert model["pedigree"]["ancestors"][0]["version"] == "1.0"
    card = model["modelCard"]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    assert {m["slice"] for m in metrics if "slice" in m} == {
        "shade=dark", "shade=light", "shade=odd",
    }  # fmt: skip
    assert "Not for cheques." in card["considerations"]["technicalLimitations"]
    (data,) = [c for c in bom["components"] if c["type"] == "data"]
    assert data["hashes"][0]["content"] == release.manifest.lineage.fingerprint
    assert card["modelParameters"]["datasets"] == [{"ref": _ref(data)}]


def test_every_reference_of_the_bill_leads_somewhere(bom):
    refs = {_ref(c) for c in (*bom["components"], bom["metadata"]["component"])}
    for entry in bom["dependencies"]:
        assert {entry["ref"], *entry["dependsOn"]} <= refs


def _ref(component):
    return component.get("bom-ref", "")


def test_the_bill_is_valid_by_the_schema_of_cyclonedx(release, tmp_path):
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    validator = validation.JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str((release.folder / BOM).read_text(encoding="utf-8")) is None
    X, _ = builders.data_of("ridge")
    bare = convert(
        builders.model("ridge"), X, name="m", out=tmp_path / "r", licence="our own",
        variants=["float32"],
    )  # fmt: skip
    raw = (bare.folder / BOM).read_text(encoding="utf-8")
    assert validator.validate_str(raw) is None
    licences = json.loads(raw)["metadata"]["component"]["licenses"]
    assert licences == [{"license": {"name": "our own"}}]


def test_the_same_facts_give_the_same_bytes(release):
    facts = ReleaseFacts(release.manifest, release.certificate(), release.profile())
    assert bill_of_materials(facts) == bill_of_materials(facts)
    assert model_card(facts) == model_card(facts)


BAD = {
    "a purpose that is no text": ({"purpose": 3}, "purpose: expected a text"),
    "one limit as a text": ({"limits_of_use": "no"}, "limits_of_use: expected a list of texts"),
    "limits of other things": ({"limits_of_use": [1]}, "limits_of_use: expected a list of texts"),
}


@pytest.mark.parametrize("case", BAD)
def test_is_refused_before_anything_is_done(case, tmp_path):
    options, reason = BAD[case]
    X, y = builders.data_of("ridge")
    with pytest.raises(ConversionError, match=reason):
        convert(builders.model("ridge"), X, y, name="m", out=tmp_path / "r", **options)
    assert list(tmp_path.iterdir()) == []
