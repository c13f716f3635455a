"""Snapshots of Hugging Face with safetensors, as transformers writes them, become releases."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.cli.main import main
from converters.errors import ConversionError
from converters.importing.opening import open_import
from edge_sdk import EdgeDevice
from edge_sdk.model.release import Release
from tests.converters.frameworks import packages

pytestmark = [pytest.mark.torch, pytest.mark.slow]
torch = pytest.importorskip("torch", reason="modules need PyTorch: the extra [torch]")

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.normal(size=(40, 1, 16, 16)).astype(np.float32)
NAMES = ["ok", "scratch", "dent"]


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A picture network with its configuration, weights and card."""
    hugging = packages.transformers()
    config = hugging.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=16, patch_size=8, num_channels=1, id2label=dict(enumerate(NAMES)),
        label2id={name: i for i, name in enumerate(NAMES)},
    )  # fmt: skip
    torch.manual_seed(0)
    folder = tmp_path / "snapshot"
    hugging.ViTForImageClassification(config).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Defects\n")
    return folder


def answers(folder: Path) -> Any:
    """What the network itself says of the pictures: probabilities [N, 3]."""
    module = packages.transformers().ViTForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return module(torch.from_numpy(PICTURES)).logits.softmax(-1).numpy()


def test_a_snapshot_becomes_a_release_that_answers_as_the_network_does(
    snapshot: Path, tmp_path: Path
) -> None:
    expected = answers(snapshot)
    data, out = tmp_path / "rows.npz", tmp_path / "defects-1.0"
    np.savez(data, X=PICTURES, y=expected.argmax(axis=1))
    words = ["import", str(snapshot), "--data", str(data), "--name", "defects", "--out", str(out)]
    assert main(words) == 0
    manifest = Release.open(out).manifest
    assert manifest.licence == "apache-2.0"
    assert manifest.training["huggingface.architecture"] == "ViTForImageClassification"
    assert manifest.metrics["score"] > 0.95
    with EdgeDevice.offline(out) as device:
        here = [device.predict({manifest.signature.inputs[0].name: x[None]}) for x in PICTURES[:8]]
    assert [p.label for p in here] == [NAMES[i] for i in expected[:8].argmax(axis=1)]
    assert np.allclose([p.probabilities for p in here], expected[:8], atol=1e-4)


def test_an_architecture_that_cannot_be_loaded_here_is_refused_in_words(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers imports an architecture when it is asked for, and says what is missing then."""
    monkeypatch.setitem(sys.modules, "transformers.models.swin.modeling_swin", None)
    config = json.loads((snapshot / "config.json").read_text())
    (snapshot / "config.json").write_text(json.dumps(config | {"architectures": ["SwinModel"]}))
    with pytest.raises(ConversionError, match="SwinModel cannot be loaded with what is installed"):
        open_import(snapshot)


def test_labels_that_are_no_numbers_of_classes_are_refused(
    snapshot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packages.transformers()
    data, out = tmp_path / "rows.npz", tmp_path / "defects-1.0"
    np.savez(data, X=PICTURES, y=np.arange(len(PICTURES)))
    words = ["import", str(snapshot), "--data", str(data), "--name", "defects", "--out", str(out)]
    assert main(words) == 1
    assert "labels: expected numbers of the 3 classes" in capsys.readouterr().err


def test_weights_that_are_no_safetensors_are_refused_in_words(snapshot: Path) -> None:
    packages.transformers()
    (snapshot / "model.safetensors").write_bytes(b"not this")
    with pytest.raises(ConversionError, match="cannot be loaded"):
        open_import(snapshot)
