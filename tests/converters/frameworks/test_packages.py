"""Objects of Hugging Face's transformers and of timm become releases in one call."""

from __future__ import annotations

import numpy as np
import pytest

from converters import ConversionError, Picture, convert
from converters.frameworks.frameworks import export_module
from converters.sources.module_parity import hold_to_module
from edge_sdk import EdgeDevice
from tests.converters.frameworks import packages

pytestmark = [pytest.mark.torch, pytest.mark.slow]
torch = pytest.importorskip("torch", reason="modules need PyTorch: the extra [torch]")

RANDOM = np.random.default_rng(0)
LENGTHS = (4, 7, 7, 12, 5, 9)


def bert():
    hugging = packages.transformers()
    config = hugging.BertConfig(
        vocab_size=100, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, num_labels=3,
    )  # fmt: skip
    torch.manual_seed(0)
    return hugging.BertForSequenceClassification(config)


def test_a_text_network_takes_texts_of_any_length(tmp_path):
    module = bert()
    words = [RANDOM.integers(5, 100, length).tolist() for length in LENGTHS]
    tokens = {"input_ids": words, "attention_mask": [[1] * len(each) for each in words]}
    release = convert(
        module, tokens, name="m", out=tmp_path / "r", output="logits", classes=["a", "b", "c"],
        variants=["float32"],
    )  # fmt: skip
    assert [spec.shape for spec in release.manifest.signature.inputs] == [(None, None)] * 2
    with EdgeDevice.offline(tmp_path / "r") as device:
        for length in (2, 12, 40):  # longer than all samples too
            ids = RANDOM.integers(5, 100, (1, length))
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            with torch.no_grad():
                logits = module.eval()(**{n: torch.from_numpy(a) for n, a in feed.items()}).logits
            p = device.predict(feed)
            assert p.label == "abc"[int(logits.argmax())]
            assert np.allclose(p.probabilities, logits.softmax(-1)[0], atol=1e-5)


def test_a_picture_network_with_its_processor(tmp_path):
    """The processor's steps go into the release, and it is held to the processor."""
    pytest.importorskip("PIL.Image", reason="needs Pillow")
    hugging = packages.transformers()
    config = hugging.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=8, num_labels=3,
    )  # fmt: skip
    torch.manual_seed(0)
    module = hugging.ViTForImageClassification(config).eval()
    processor = hugging.ViTImageProcessorPil(size={"height": 32, "width": 32})
    pictures = [RANDOM.integers(0, 256, (40 + 9 * i, 50, 3), np.uint8) for i in range(4)]
    release = convert(
        module, pictures, name="m", out=tmp_path / "r", output="logits", classes=["a", "b", "c"],
        preprocess=Picture.of(processor), variants=["float32"],
    )  # fmt: skip
    assert "differs from the Python" in release.manifest.training["preprocessing"]
    with EdgeDevice.offline(tmp_path / "r") as device:
        for picture in pictures:
            with torch.no_grad():
                logits = module(**processor(picture, return_tensors="pt")).logits
            p = device.predict(picture[None])
            assert np.allclose(p.probabilities, logits.softmax(-1)[0], atol=2e-3)


def test_a_processor_with_a_crop_is_read():
    hugging = packages.transformers()
    processor = hugging.CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size=32)
    before = Picture.of(processor)
    assert (before.resize, before.crop, before.filter) == (40, (32, 32), "bicubic")
    assert before.mean == tuple(processor.image_mean)
    assert before.transform(np.zeros((50, 60, 3), np.uint8)).shape == (3, 32, 32)


def test_a_processor_with_other_steps_is_refused():
    hugging = packages.transformers()
    with pytest.raises(ConversionError, match="filter 1"):
        Picture.of(hugging.ViTImageProcessorPil(resample=1))


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "efficientnet_lite0"])
def test_a_network_of_timm(name):
    torch.manual_seed(0)
    module = packages.timm().create_model(name, pretrained=False, num_classes=5)
    exported = export_module(module, RANDOM.normal(0, 1, (3, 3, 64, 64)), batched=True)
    assert hold_to_module(exported) < 1e-4
