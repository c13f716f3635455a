"""Statistics of tensors: they say what they are called, and are cheap to take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_sdk.contract.profile import TensorKind
from edge_sdk.model.tensor_kinds import channel_axis, fits_kind, kind_of
from edge_sdk.telemetry.tensor_statistics import EXCERPT, excerpts, statistics
from edge_sdk.telemetry.tensor_watch import Excerpt

RANDOM = np.random.default_rng(0)
PICTURE = np.kron(RANDOM.random((3, 32, 32)), np.ones((7, 7))).astype(np.float32)


def numbers(kind: TensorKind, *items: np.ndarray[Any, Any]) -> dict[str, list[float]]:
    found = statistics(kind, excerpts(kind, np.stack(items)), [item.shape for item in items])
    return {name: values.tolist() for name, values in found.items()}


def blurred(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mean of each pixel and its neighbours, three by three."""
    shifts = [np.roll(picture, (i, j), axis=(-2, -1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return np.mean(shifts, axis=0, dtype=np.float32)


def test_a_blurred_picture_is_less_sharp_and_as_bright() -> None:
    noisy = PICTURE + RANDOM.normal(0, 0.1, PICTURE.shape).astype(np.float32)
    found = numbers("image", noisy, blurred(noisy))
    assert found["sharpness"][1] < found["sharpness"][0] - 3
    assert found["detail of 2 px"][1] < found["detail of 2 px"][0]
    assert found["brightness"][1] == pytest.approx(found["brightness"][0], rel=0.01)


def test_gain_and_light_change_contrast_and_brightness_and_not_sharpness() -> None:
    found = numbers("image", PICTURE, PICTURE * 2, PICTURE + 1)
    assert found["brightness"] == pytest.approx([b := found["brightness"][0], 2 * b, b + 1])
    assert found["contrast"] == pytest.approx([c := found["contrast"][0], 2 * c, c], rel=1e-4)
    assert found["sharpness"] == pytest.approx([found["sharpness"][0]] * 3, abs=0.01)


def test_a_picture_has_the_same_numbers_whatever_the_order_of_its_axes_and_its_dtype() -> None:
    bytes_ = (PICTURE * 255).round().astype(np.uint8)
    first, last = numbers("image", bytes_), numbers("image", bytes_.transpose(1, 2, 0))
    assert first == last
    floats = numbers("image", bytes_.astype(np.float32))
    for name, values in first.items():
        assert values == pytest.approx(floats[name], rel=1e-5), name


def test_a_colour_cast_is_in_its_channel() -> None:
    warm = PICTURE * np.array([1.3, 1.0, 0.7], np.float32)[:, None, None]
    found = numbers("image", PICTURE, warm)
    assert found["channel 1"][1] > found["channel 1"][0] + 0.1
    assert found["channel 3"][1] < found["channel 3"][0] - 0.1


def test_an_overexposed_picture_is_clipped() -> None:
    smooth = PICTURE + RANDOM.normal(0, 0.01, PICTURE.shape).astype(np.float32)
    found = numbers("image", smooth, np.clip(2 * smooth, 0, 1))
    assert found["clipped"][0] < 0.01
    assert found["clipped"][1] > 0.1


def test_decibels_of_a_sound_and_the_bands_of_its_energy() -> None:
    at = np.arange(16_000) / 16_000
    low, high = (np.sin(2 * np.pi * f * at).astype(np.float32) for f in (100, 6_000))
    found = numbers("audio", low, low * np.float32(10), high)
    level = found["level"]
    assert level == pytest.approx([-3.01, 16.99, -3.01], abs=0.02)
    assert found["peak over level"] == pytest.approx([3.01] * 3, abs=0.05)
    assert found["band of 1 samples"][2] > found["band of 1 samples"][0] + 20
    assert found["zero crossings"][2] == pytest.approx(0.75, abs=0.01)


def test_length_rarity_and_repetition_of_tokens() -> None:
    rows = np.array([[5, 6, 7, 7, 0, 0], [9_000] * 6], np.int64)
    found = numbers("tokens", *rows)
    assert found["length"] == [4, 6]
    assert found["different"] == pytest.approx([3 / 4, 1 / 6])
    assert found["repeated"] == pytest.approx([1 / 4, 5 / 6])
    assert found["rarity"][1] == pytest.approx(np.log(9_001))


def test_channels_of_a_series_and_what_a_text_is_made_of() -> None:
    series = np.stack([np.full(50, 2.0), np.arange(50.0)], axis=1).astype(np.float32)
    found = numbers("series", series)
    assert (found["channel 1"], found["channel 2"]) == ([2.0], [24.5])
    text = numbers("text", np.array("Łódź 1 A", object))
    assert text["words"] == [3]
    assert text["beyond ASCII"] == pytest.approx([3 / 8])
    assert text["digits"] == pytest.approx([1 / 8])


def test_of_long_texts_the_beginnings_are_kept() -> None:
    texts = np.array([["Ł" * 1_000_000, "b" * 1_000_000]], object)
    part = excerpts("text", texts)
    assert sum(map(len, part.ravel())) == EXCERPT
    assert Excerpt(((part[0], (2,)),), None).nbytes >= EXCERPT
    assert statistics("text", part, [(2,)])["beyond ASCII"] == pytest.approx([0.5], abs=0.001)


@pytest.mark.parametrize(
    ("dtype", "shape", "kind"),
    [
        ("float32", (3, 224, 224), "image"),
        ("uint8", (480, 640, 3), "image"),
        ("uint8", (28, 28), "image"),
        ("float32", (1, 64, 101), "image"),
        ("float32", (16_000,), "audio"),
        ("float32", (1, 16_000), "audio"),
        ("int64", (128,), "tokens"),
        ("float32", (50, 6), "series"),
        ("float32", (28, 28), "series"),
        ("float32", (512,), "tensor"),
        ("float32", (3, 4, 4), "tensor"),
        ("float32", (), "tensor"),
        ("string", (1,), "text"),
        ("bool", (7,), "tensor"),
    ],
)
def test_what_a_tensor_is_taken_for(dtype: str, shape: tuple[int, ...], kind: str) -> None:
    assert kind_of(dtype, shape) == kind
    assert fits_kind(kind_of(dtype, shape), dtype, shape)


def test_what_cannot_be_of_a_kind() -> None:
    assert not fits_kind("image", "float32", (512,))
    assert not fits_kind("tokens", "int64", (2, 128))
    assert not fits_kind("text", "float32", (3,))
    assert not fits_kind("audio", "float32", (0,))
    assert channel_axis((3, 4, 4)) is None


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int32", "bool"])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("image", (3, 8, 8)), ("image", (9, 2_000, 4)), ("image", (1, 5_001, 3_001)),
        ("image", (300, 200)), ("image", (3, 1, 9)), ("image", (1, 1)), ("image", (3, 0, 9)),
        ("audio", (100_003,)), ("audio", (2, 9)), ("tokens", (40_000,)),
        ("tokens", (1,)), ("series", (70_000, 3)), ("series", (1, 1)), ("tensor", ()),
        ("tensor", (1,)), ("tensor", (2, 3, 4, 5)), ("tensor", (0,)),
    ],
)  # fmt: skip
def test_every_shape_and_dtype_has_a_bounded_excerpt_and_finite_numbers(
    kind: TensorKind, shape: tuple[int, ...], dtype: str
) -> None:
    if kind == "image" and shape == (9, 2_000, 4):
        shape = (9, 2_000, 3)
    item = np.ones(shape, dtype)
    part = excerpts(kind, item[None])[0]
    assert part.size <= EXCERPT + 2_000
    assert not np.shares_memory(part, item)
    if item.size:
        found = numbers(kind, item, item)
        assert all(np.isfinite(values).all() for values in found.values())
