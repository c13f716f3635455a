"""What comes before a network goes into its release, and is held to the Python of training."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import ConversionError, Picture, Spectrogram, convert
from converters.errors import ParityError
from converters.preprocessing.nodes import put_before
from converters.sources.onnx_session import RawModel
from edge_sdk import EdgeDevice

pillow = pytest.importorskip("PIL.Image", reason="needs Pillow")

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STEP = 1 / 255 / min(STD)
FILTERS = {"bilinear": pillow.Resampling.BILINEAR, "bicubic": pillow.Resampling.BICUBIC}


def picture(height, width, seed=0):
    """A smooth picture, as cameras give."""
    small = np.random.default_rng(seed).integers(0, 256, (7, 6, 3), dtype=np.uint8)
    return np.asarray(pillow.fromarray(small).resize((width, height), FILTERS["bicubic"]))


def training(pixels, side=40, crop=32, name="bilinear"):
    """What torchvision's Resize, CenterCrop, ToTensor and Normalize do to a picture of Pillow."""
    image = pillow.fromarray(pixels)
    width, height = image.size
    short = min(width, height)
    image = image.resize((int(side * width / short), int(side * height / short)), FILTERS[name])
    left, top = (round((length - crop) / 2) for length in image.size)
    array = np.asarray(image)[top : top + crop, left : left + crop].astype(np.float32) / 255
    return ((array - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)


STEPS = {"resize": 40, "crop": 32, "mean": MEAN, "std": STD, "middle": "round"}


def through(before, sample, shape=(None, None, None, None)):
    """The tensor that the steps give, without a network behind them."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", [values[0]], [values[1]]
    )
    nothing = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    nodes, result = before.build()
    proto = put_before(nothing, nodes, result, before.given())
    onnx.checker.check_model(proto)
    return RawModel(proto, "steps").run({before.name: sample})["y"][0]


@pytest.mark.parametrize("inner", ["picture", "pre_0", "pre_c0"])
def test_names_of_the_network_that_the_steps_use_too_are_told_apart(inner):
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Neg", ["x"], [inner]), helper.make_node("Neg", [inner], ["y"])]
    if inner == "picture":  # the input itself
        nodes = [helper.make_node("Identity", [inner], ["y"])]
    given = inner if inner == "picture" else "x"
    shape = (None, 3, None, None)
    graph = helper.make_graph(
        nodes, "g", [value(given, TensorProto.FLOAT, shape)], [value("y", TensorProto.FLOAT, shape)]
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    before = Picture(training, **STEPS)
    proto = put_before(network, *before.build(), before.given())
    pixels = picture(60, 70)
    made = RawModel(proto, "steps").run({before.name: pixels[None]})["y"][0]
    assert np.abs(made - training(pixels)).max() < 1.01 * STEP


def test_an_output_with_the_name_of_the_input_is_refused():
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["picture"])],
        "g",
        [value("x", TensorProto.FLOAT, (None, 3, 8, 8))],
        [value("picture", TensorProto.FLOAT, (None, 3, 8, 8))],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    before = Picture(training, **STEPS)
    with pytest.raises(ConversionError, match="output 'picture' has a name that the steps use"):
        put_before(network, *before.build(), before.given())


@pytest.fixture
def network(tmp_path):
    """Means of a few squares of a picture [N, 3, 32, 32], to logits [N, 4]."""
    weights = np.random.default_rng(0).normal(0, 1, (3, 4)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path, weights


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(
    "size", [(300, 217), (48, 40), (40, 40), (31, 90), (261, 500), (41, 40)], ids=str
)
def test_a_picture_of_any_size_is_what_pillow_makes_of_it(size, name):
    before = Picture(training, **STEPS, filter=name)
    pixels = picture(*size)
    apart = np.abs(through(before, pixels[None]) - training(pixels, name=name)) / STEP
    assert apart.max() < 1.01
    # Along the width first or along the height: where Pillow chose otherwise bytes round otherwise.
    assert (apart > 0.5).mean() < 0.35


def test_noise_is_off_by_no_more_than_one_step_of_a_byte():
    pixels = np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    apart = np.abs(through(Picture(training, **STEPS), pixels[None]) - training(pixels)) / STEP
    assert apart.max() < 1.01


def test_pictures_without_a_resize_keep_their_bytes_and_the_order_of_keras():
    before = Picture(lambda pixels: pixels / 255.0, channels_first=False)
    pixels = picture(8, 9)
    assert np.allclose(through(before, pixels[None]), pixels / 255.0, atol=1e-6)
    cropped = through(Picture(training, crop=(4, 5)), pixels[None])
    assert np.allclose(cropped * 255, pixels[2:6, 2:7].transpose(2, 0, 1), atol=1e-4)


def test_an_app_gives_pictures_and_gets_labels(network, tmp_path):
    path, weights = network
    sizes = [(60, 70)] * 4 + [(50, 90)] * 4
    pictures = [picture(*size, seed=i) for i, size in enumerate(sizes)]
    logits = np.stack([training(p).mean((1, 2)) @ weights for p in pictures])
    before, y = Picture(training, **STEPS), np.array(list("abcd"))[logits.argmax(1)]
    release = convert(
        path, pictures, y, name="m", out=tmp_path / "r", preprocess=before,
        output="logits", classes=list("abcd"),
    )  # fmt: skip
    assert release.manifest.signature.inputs[0].shape == (None, None, None, 3)
    assert "differs from the Python" in release.manifest.training["preprocessing"]
    assert release.manifest.metrics["score"] == 1.0
    with EdgeDevice.offline(tmp_path / "r") as device:
        for each, own in zip(pictures, logits, strict=True):
            assert device.predict(each[None]).label == "abcd"[own.argmax()]


WRONG = {
    "another std": ({"std": (0.3, 0.3, 0.3)}, ParityError, "std and middle"),
    "another mean": ({"mean": (0.5, 0.5, 0.5)}, ParityError, "differ from transform"),
    "another crop": ({"crop": 30}, ParityError, "the steps give shape"),
    "another filter": ({"filter": "bicubic"}, ParityError, "differ from transform"),
    "a size of three": ({"resize": (1, 2, 3)}, ConversionError, "height, width"),
    "an unknown filter": ({"filter": "box"}, ConversionError, "bilinear or bicubic"),
    "a function that fails": (
        {"transform": lambda p: 1 / 0},
        ConversionError,
        "transform fails on",
    ),
    "no function": ({"transform": None}, ConversionError, "expected a function"),
}


@pytest.mark.parametrize("case", WRONG)
def test_steps_that_differ_from_training_are_refused(case, network, tmp_path):
    changes, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        convert(
            network[0], [picture(60, 70)] * 3, name="m", out=tmp_path / "r", output="values",
            preprocess=Picture(**{"transform": training, **STEPS, **changes}),
        )  # fmt: skip
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "X",
    [[np.zeros((4, 4, 3))], [np.zeros((4, 4), np.uint8)], [], iter([1]), None],
    ids=["floats", "no channels", "none", "an iterator", "nothing"],
)
def test_other_than_pictures_is_refused(X, network, tmp_path):
    with pytest.raises(ConversionError, match="expected"):
        convert(network[0], X, name="m", out=tmp_path / "r", preprocess=Picture(training, **STEPS))


def test_estimators_have_pipelines_for_that(tmp_path):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ConversionError, match="Pipeline of scikit-learn"):
        convert(
            model, [picture(60, 70)], name="m", out=tmp_path / "r",
            preprocess=Picture(training, **STEPS),
        )  # fmt: skip


def mel(window, hop, filters, power=2.0, decibels=True):
    """A spectrogram by NumPy's transform, as librosa and PyTorch define it."""

    def spectrogram(sound):
        half = len(window) // 2
        padded = np.pad(np.asarray(sound, np.float64), half, mode="reflect")
        starts = range(0, len(padded) - len(window) + 1, hop)
        spectra = [np.fft.rfft(padded[i : i + len(window)] * window) for i in starts]
        energies = filters.T @ (np.abs(np.array(spectra)).T ** power)
        return 10 * np.log10(np.maximum(energies, 1e-10)) if decibels else energies

    return spectrogram


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("samples", [400, 1000, 1603])
def test_a_sound_becomes_the_spectrogram_of_numpy(samples, power):
    random = np.random.default_rng(0)
    window, filters = np.hanning(128), np.abs(random.normal(0, 1, (65, 20)))
    transform = mel(window, 40, filters, power)
    before = Spectrogram(transform, window, 40, filters, power, logarithm="db")
    sound = random.normal(0, 0.1, samples).astype(np.float32)
    assert np.abs(through(before, sound[None], (None, None, None)) - transform(sound)).max() < 1e-3


def test_a_spectrogram_of_other_filters_is_refused(tmp_path):
    with pytest.raises(ConversionError, match=r"expected \[65, bands\]"):
        Spectrogram(np.asarray, np.hanning(128), 40, np.zeros((64, 20)))
