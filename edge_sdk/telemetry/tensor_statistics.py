"""Interpretable statistics of pictures, sounds, series, tokens, texts and any other tensor.

An input that is no table is summed up by a few numbers (brightness, sharpness, level in decibels),
each of which is a feature of the reference profile. The converters make the profile with the same
functions, so a picture has the same numbers at training and on every device.

Two steps, because only the first is on the caller's path: :func:`excerpts` copies a bounded part of
a tensor in some ten microseconds, :func:`statistics` computes the numbers.
An excerpt has neighbouring values, so that fine detail is kept: a picture's are pairs of lines,
spread over its height; a sound's are stretches, spread over its length.

Source of the measure of sharpness (energy of the gradient): S. Pertuz, D. Puig, M. García,
"Analysis of focus measure operators for shape-from-focus", Pattern Recognition 46(5), 2013.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.tensor_kinds import Shape, channel_axis

if TYPE_CHECKING:
    from edge_sdk.contract.profile import TensorKind

Floats = NDArray[Any]
Named = dict[str, NDArray[Any]]

EXCERPT: Final = 16_384
"""Numbers or characters of an excerpt at most, about: 64 KB of float32."""

LEAST_LINES: Final = 4
STRETCHES: Final = 8
"""Parts of a long sound or series that are looked at."""

TEXTS: Final = 64
CHANNELS: Final = 16
"""Channels of a series that have a feature of their own."""

DETAILS: Final = (2, 4, 8)
"""Sizes of detail, in pixels or samples, that have a feature each."""

BANDS: Final = (1, 2, 4, 8, 16)
_TINY: Final = 1e-12


def excerpts(kind: TensorKind, items: NDArray[Any]) -> NDArray[Any]:
    """Return copies of a bounded part of N samples; the same shape for samples of one shape.

    Args:
        kind: of the tensor.
        items: samples of one shape, [N, ...].

    Returns:
        Pictures: pairs of lines [N, C, pairs, 2, W]; text: the beginnings of up to 64 strings
        [N, texts]; series: [N, T, F]; all others: [N, stretches, samples].
    """
    count = len(items)
    if items.size == 0:  # an open dimension of size zero
        return np.zeros((count, 0), items.dtype)
    if kind == "text":
        return _beginnings(items.reshape(count, -1)[:, :TEXTS])
    if kind == "image":
        return _lines(items)
    if kind == "series":
        width = items.shape[-1]
        return _stretches(items, EXCERPT // max(1, width)).reshape(count, -1, width)
    return _stretches(items.reshape(count, -1), EXCERPT)


def _lines(items: NDArray[Any]) -> NDArray[Any]:
    if items.ndim == 3:
        items = items[:, None]
    elif channel_axis(items.shape[1:]) == 2:
        items = items.transpose(0, 3, 1, 2)
    _, channels, height, width = items.shape
    widest = max(1, EXCERPT // (2 * LEAST_LINES * channels))
    if width > widest:
        items = items[..., (width - widest) // 2 :][..., :widest]
    most = EXCERPT // max(1, 2 * min(width, widest) * channels)
    pairs = max(1, min(height // 2, max(LEAST_LINES, most)))
    return np.take(items, _pairs_of_lines(height, pairs), axis=2)


def _beginnings(texts: NDArray[Any]) -> NDArray[Any]:
    """Return texts [N, texts] with at most :data:`EXCERPT` characters a sample."""
    most = EXCERPT // texts.shape[1]
    parts = np.empty(texts.shape, object)
    for place, text in np.ndenumerate(texts):
        parts[place] = str(text)[:most]
    return parts


@functools.lru_cache(maxsize=64)
def _pairs_of_lines(height: int, pairs: int) -> NDArray[np.intp]:
    first = np.linspace(0, max(0, height - 2), pairs).astype(np.intp)
    return np.stack([first, np.minimum(first + 1, height - 1)], axis=1)


def _stretches(items: NDArray[Any], most: int) -> NDArray[Any]:
    """Return parts of axis 1, [N, stretches, samples, ...], with ``most`` samples in all."""
    length = items.shape[1]
    if length <= most:
        return items[:, None].copy()
    size = most // STRETCHES
    first = np.linspace(0, length - size, STRETCHES).astype(np.intp)
    return np.stack([items[:, start : start + size] for start in first], axis=1)


def statistics(
    kind: TensorKind, parts: NDArray[Any], shapes: Sequence[Shape]
) -> Mapping[str, NDArray[Any]]:
    """Return the statistics of N samples, [N] each, by name.

    Args:
        kind: of the tensor.
        parts: excerpts of the samples, [N, ...].
        shapes: of the samples.
    """
    if parts.size == 0:
        return {}
    # Numbers too large for a square become infinite, and are counted as outside.
    with np.errstate(all="ignore"):
        found = _OF[kind](parts)
    dimensions = ("height", "width") if kind == "image" else ("length",)
    if kind in ("image", "audio", "series", "tensor"):
        for i, name in enumerate(dimensions):
            found[name] = np.array([_dimension(kind, shape, i) for shape in shapes], np.float32)
    return found


def _dimension(kind: TensorKind, shape: Shape, i: int) -> int:
    if kind == "image":
        sides = shape[:2] if len(shape) == 2 or channel_axis(shape) == 2 else shape[1:]
        return sides[i]
    if kind == "series":
        return shape[0]
    return shape[-1] if kind == "audio" else math.prod(shape)


def _image(lines: NDArray[Any]) -> Named:
    """Statistics of [N, C, pairs, 2, W]."""
    lines = lines.astype(np.float32)
    grey = lines.mean(axis=1)
    flat = grey.reshape(len(grey), -1)
    brightness, variance = flat.mean(axis=1), flat.var(axis=1)
    floor = _TINY + 1e-6 * np.square(flat).mean(axis=1)
    across, down = np.diff(grey, axis=-1), grey[:, :, 1] - grey[:, :, 0]
    found = {
        "brightness": brightness,
        "contrast": np.sqrt(variance),
        "sharpness": _decibels(_energy(across) + _energy(down), 2 * variance, floor),
        "clipped": _clipped(flat),
    }
    found |= _details(grey, DETAILS, variance, floor, "detail of {} px")
    if lines.shape[1] > 1:
        for i, mean in enumerate(lines.mean(axis=(2, 3, 4)).T, 1):
            found[f"channel {i}"] = mean - brightness
    return found


def _audio(stretches: NDArray[Any]) -> Named:
    """Statistics of [N, stretches, samples]."""
    x = stretches.astype(np.float32)
    flat = x.reshape(len(x), -1)
    power, variance = np.square(flat).mean(axis=1), flat.var(axis=1)
    floor = _TINY + 1e-6 * power
    largest = np.abs(flat).max(axis=1)
    positive = x > 0
    crossed = (positive[..., 1:] != positive[..., :-1]).sum(axis=(1, 2))
    return {
        "level": 10 * np.log10(power + _TINY),
        "peak over level": _decibels(np.square(largest), power, floor),
        "offset": flat.mean(axis=1),
        "zero crossings": crossed / flat.shape[1],
        "clipped": _clipped(flat),
        **_details(x, BANDS, variance, floor, "band of {} samples"),
    }


def _tokens(ids: NDArray[Any]) -> Named:
    """Statistics of [N, 1, T] identifiers; zero is taken for padding."""
    rows = ids.reshape(len(ids), -1)
    there = rows != 0
    count = np.maximum(1, there.sum(axis=1))
    ordered = np.sort(rows, axis=1)
    new = (np.diff(ordered, axis=1, prepend=-1) != 0) & (ordered != 0)
    again = (rows[:, 1:] == rows[:, :-1]) & there[:, 1:]
    rarity = np.log1p(np.abs(rows.astype(np.float32))).sum(axis=1) / count
    return {
        "length": there.sum(axis=1).astype(np.float32),
        "rarity": rarity,
        "different": new.sum(axis=1) / count,
        "repeated": again.sum(axis=1) / count,
    }


def _series(steps: NDArray[Any]) -> Named:
    """Statistics of [N, T, F]."""
    x = steps.astype(np.float32)
    found = _tensor(np.swapaxes(x, 1, 2))
    if x.shape[2] > 1:
        for i, mean in enumerate(x.mean(axis=1).T[:CHANNELS], 1):
            found[f"channel {i}"] = mean
    return found


def _tensor(stretches: NDArray[Any]) -> Named:
    """Statistics of [N, stretches, samples]."""
    x = stretches.astype(np.float32)
    flat = x.reshape(len(x), -1)
    variance = x.var(axis=-1).mean(axis=1)
    floor = _TINY + 1e-6 * np.square(flat).mean(axis=1)
    found = {
        "mean": flat.mean(axis=1),
        "spread": flat.std(axis=1),
        "largest": np.abs(flat).max(axis=1),
        "zeros": (flat == 0).mean(axis=1),
    }
    if x.shape[-1] > 1:
        found["roughness"] = _decibels(_energy(np.diff(x, axis=-1)), 2 * variance, floor)
    return found


def _text(texts: NDArray[Any]) -> Named:
    """Statistics of [N, texts] strings, over all texts of a sample."""
    joined = [" ".join(map(str, row)) for row in texts]
    size = np.array([max(1, len(text)) for text in joined], np.float32)
    return {
        "length": np.array([len(text) for text in joined], np.float32),
        "words": np.array([len(text.split()) for text in joined], np.float32),
        "digits": np.array([sum(map(str.isdigit, text)) for text in joined]) / size,
        "upper case": np.array([sum(map(str.isupper, text)) for text in joined]) / size,
        "beyond ASCII": np.array([sum(c > "\x7f" for c in text) for text in joined]) / size,
    }


def _details(x: Floats, sizes: Sequence[int], variance: Floats, floor: Floats, name: str) -> Named:
    """Shares of the variance along the last axis by size of detail, in decibels (Haar wavelets)."""
    found: Named = {}
    size = 1
    while size <= sizes[-1] and x.shape[-1] >= 4:
        x = x[..., : x.shape[-1] // 2 * 2]
        even, odd = x[..., ::2], x[..., 1::2]
        if size in sizes:
            found[name.format(size)] = _decibels(_energy(even - odd) / 4, variance, floor)
        x, size = (even + odd) / 2, 2 * size
    return found


def _energy(x: Floats) -> Floats:
    rows = x.reshape(len(x), -1)
    energy: Floats = np.einsum("ij,ij->i", rows, rows) / max(1, rows.shape[1])
    return energy


def _decibels(part: Floats, whole: Floats, floor: Floats) -> Floats:
    decibels: Floats = 10 * np.log10((part + floor) / (whole + floor))
    return decibels


def _clipped(flat: Floats) -> Floats:
    """Share of values that are the smallest or the largest of their sample."""
    low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    clipped: Floats = ((flat == low) | (flat == high)).mean(axis=1)
    return clipped


_OF: Final[dict[TensorKind, Callable[[NDArray[Any]], Named]]] = {
    "image": _image,
    "audio": _audio,
    "tokens": _tokens,
    "series": _series,
    "text": _text,
    "tensor": _tensor,
}
