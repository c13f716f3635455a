"""A release of several variants, made by ``convert``: each is certified, and serves by itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest

from converters import ConversionError, Tolerances, convert
from converters.certification.report import certificate_table
from converters.certification.verify import verify
from converters.cli.main import main
from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import MODEL
from edge_sdk.errors import ReleaseError
from edge_sdk.model.release import Release, write_release
from edge_sdk.model.session import Model
from tests.converters import builders

LOOSE = Tolerances(flips=0.2, probability=1.0, accuracy_drop=0.2)
SHIP = ("float32", "int8-dynamic")


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    X, y = builders.data_of("scaler and MLP")
    out = tmp_path_factory.mktemp("several") / "r"
    return convert(
        builders.model("scaler and MLP"), X, y, name="m", out=out, ship=SHIP, tolerances=LOOSE,
        variants=["int8-storage"], groups={"shade": np.where(X[:, 3] > 8, "dark", "light")},
    )  # fmt: skip


def test_the_chosen_variant_comes_first_then_those_that_were_asked_for(several):
    manifest = several.manifest
    assert {v.name for v in manifest.variants} == {*SHIP, manifest.variant}
    assert manifest.variants[0].model == MODEL
    assert len(manifest.files) == 3 * len(manifest.variants) + 3
    for v in manifest.variants:
        proto = onnx.load(several.folder / v.model)
        assert v.runtime.ir_version == proto.ir_version
        assert v.precision == ("int8" if v.name == "int8-dynamic" else "float32")
        assert (v.target, v.provider) == ("any", "CPUExecutionProvider")


def test_each_variant_has_a_certificate_and_golden_vectors_of_its_own(several):
    X, _ = builders.data_of("scaler and MLP")
    for release in several.variants:
        certificate = release.certificate()
        assert certificate.chosen == release.variant.name
        assert sum(g.rows for g in certificate.groups) == len(X)
        golden = release.golden()
        answers = Model.load(release).run(golden.inputs)
        np.testing.assert_allclose(
            answers["probabilities"], golden.outputs["probabilities"], atol=golden.tolerance
        )
    exact = {r.variant.name: r.golden().tolerance for r in several.variants}
    assert exact["float32"] < exact["int8-dynamic"]


def test_the_certificate_says_why_each_of_the_others_was_not_chosen(several):
    certificate = several.certificate()
    names = {v.name for v in certificate.variants}
    assert set(certificate.not_chosen) == names - {certificate.chosen}
    text = certificate_table(several)
    assert f"{certificate.chosen} was chosen: {certificate.because}" in text
    assert all(f"- {name}: {why}" in text for name, why in certificate.not_chosen.items())
    assert "model-float32.onnx" in text or certificate.chosen == "float32"


def test_verify_checks_every_variant(several, tmp_path):
    assert set(verify(several).variants) == {v.name for v in several.manifest.variants}
    spare = several.variants[-1]
    files = {name: (several.folder / name).read_bytes() for name in several.files}
    lie = replace(spare.certificate(), chosen="float16-storage")
    files[spare.variant.certificate] = lie.to_json()
    lying = write_release(tmp_path / "r", several.manifest, files)
    with pytest.raises(ReleaseError, match="chose 'float16-storage', the manifest says"):
        verify(lying)
    files = {name: (several.folder / name).read_bytes() for name in several.files}
    files[spare.variant.golden] = several.variants[0].golden().to_bytes().replace(b"PK", b"XX", 1)
    with pytest.raises(ReleaseError, match="golden"):
        verify(write_release(tmp_path / "g", several.manifest, files))


def test_a_device_serves_the_chosen_one(several):
    X, _ = builders.data_of("scaler and MLP")
    with EdgeDevice.offline(several.folder) as device:
        assert device.status()["variant"] == several.manifest.variant
        device.predict(X[0])


REFUSED = {
    "one that is not accepted": (
        {"ship": ["int8-dynamic"], "tolerances": Tolerances(probability=1e-9)},
        "ship: int8-dynamic: its answers are not shown to be close enough to the model's: ",
    ),
    "one that the model does not have": (
        {"ship": ["compact-trees"]},
        "ship: compact-trees cannot be made of this model for this target; there are float32",
    ),
    "one that does not exist": ({"ship": ["int3"]}, "ship: expected some of"),
    "a name that is no list": ({"ship": "float32"}, "ship: expected a list of names"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_is_written_where_a_release_is_to_hold(case, tmp_path):
    options, reason = REFUSED[case]
    X, y = builders.data_of("scaler and MLP")
    with pytest.raises(ConversionError, match=reason):
        convert(builders.model("scaler and MLP"), X, y, name="m", out=tmp_path / "r", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_cascade_threshold_and_several_files_exclude_each_other(several, tmp_path):
    X, y = builders.data_of("scaler and MLP")
    with pytest.raises(ConversionError, match="certified for the answers of one file"):
        convert(
            builders.model("scaler and MLP"), X, y, name="m", out=tmp_path / "r", ship=SHIP,
            calibrate_against=several,
        )  # fmt: skip


def test_the_command_line_ships_variants_and_prints_the_choice_as_json(tmp_path, capsys):
    import joblib

    X, y = builders.data_of("scaler and MLP")
    joblib.dump(builders.model("scaler and MLP"), tmp_path / "m.joblib")
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    out = tmp_path / "r"
    argv = [
        "convert", str(tmp_path / "m.joblib"), "--data", str(tmp_path / "rows.npz"), "--trust",
        "--name", "m", "--out", str(out), "--ship", "float32,int8-storage", "--json",
        "--purpose", "Reads digits.", "--limit-of-use", "Not for cheques.",
        "--variants", "int8-storage",
    ]  # fmt: skip
    assert main(argv) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {v["name"] for v in shown["manifest"]["variants"]} == {"float32", "int8-storage"}
    certificate = shown["certificate"]
    assert certificate["because"]
    assert set(certificate["not_chosen"]) == {"float32", "int8-storage"} - {certificate["chosen"]}
    card = (Release.open(out).folder / "model-card.md").read_text()
    assert "Reads digits." in card
    assert "- Not for cheques." in card
