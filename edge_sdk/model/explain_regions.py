"""Explanations of pictures, sounds, vectors and texts: the part of each region in an answer.

A picture is divided into squares, a sequence into stretches, a vector into blocks, a text into
words. A region is taken away by putting the usual value of the reference profile (the mean of each
channel) in its place, or zero in the place of whole numbers; words are left out. Only answers of
the model are needed, no gradients.

* ``occlusion``: how much the output falls when one region alone is taken away. One answer a region.
* ``shapley``: how much the output rises when the region comes back, averaged over random orders in
  which all regions do. The parts add up to the difference from the output without any region.

No explanation is taken on trust: :attr:`Explanation.faithfulness` says how well the parts
foretell the answers to random selections of regions that they were not made from.

Sources: M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014
(occlusion). J. Castro, D. Gómez, J. Tejada, "Polynomial calculation of the Shapley value based on
sampling", Computers & Operations Research 36(5), 2009; R. Mitchell, J. Cooper, E. Frank, G. Holmes,
"Sampling permutations for Shapley value estimation", JMLR 23, 2022 (each order also backwards).
U. Bhatt, A. Weller, J. Moura, "Evaluating and aggregating feature-based model explanations", IJCAI
2020 (faithfulness).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.model.tensor_kinds import channel_axis, kind_of, one_sample, row_axes

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label
    from edge_sdk.contract.profile import TensorKind, WatchedTensor
    from edge_sdk.model.release import Feed, Release
    from edge_sdk.model.session import Model

Method = Literal["occlusion", "shapley"]
Output = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float64]]

REGIONS: Final = 49
"""Regions of an input, about: seven by seven squares of a picture."""

LARGEST_REGIONS: Final = 1_024
CALLS: Final = 1_000
"""Answers of the model that Shapley sampling takes, about."""

LARGEST_CALLS: Final = 1_000_000
CHECKS: Final = 48
"""Random selections on which an explanation is checked."""

CELLS: Final = 2_000_000
"""Values in one batch at most: 8 MB."""


@dataclass(frozen=True)
class RegionParts:
    """Contribution of each region of one input tensor to one output.

    Attributes:
        names: of the regions, such as ``rows 0:8, columns 8:16``.
        regions: region of each place, whole numbers from 0 on: [H, W] of a picture, [T] of a
            sequence, [words] of a text, else in the shape of the tensor.
        parts: part of each region; positive ones raised the output.
        output: output for the input.
        usual: output with every region taken away.
        faithfulness: see :class:`~edge_sdk.model.explain.Explanation`.
    """

    names: tuple[str, ...]
    regions: NDArray[np.int64]
    parts: NDArray[np.float64]
    output: float
    usual: float
    faithfulness: float


class ExplanationTerms(TypedDict, total=False):
    """Fields of :class:`ExplanationRequest`, as keywords."""

    method: Method
    regions: int
    calls: int
    tensor: str | None
    label: Label | None


@dataclass(frozen=True)
class ExplanationRequest:
    """Terms of an explanation; all but the label are of regions.

    Attributes:
        method: ``occlusion`` or ``shapley``.
        regions: number of regions, about.
        calls: answers of the model that Shapley sampling may take, about.
        tensor: input whose regions are explained; ``None``: the only one.
        label: class that is explained; ``None``: the likeliest.

    Raises:
        InputError: an unknown method, or numbers out of bounds.
    """

    method: Method = "occlusion"
    regions: int = REGIONS
    calls: int = CALLS
    tensor: str | None = None
    label: Label | None = None

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InputError(
                "shape", f"method: expected one of {get_args(Method)}, got {self.method!r:.60}"
            )
        for name, value, least, most in (
            ("regions", self.regions, 2, LARGEST_REGIONS),
            ("calls", self.calls, 2, LARGEST_CALLS),
        ):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not least <= value <= most:
                raise InputError(
                    "shape",
                    f"{name}: expected a whole number, {least} to {most}, got {value!r:.60}",
                )


def region_parts(
    release: Release, model: Model, feed: Feed, output: Output, request: ExplanationRequest
) -> RegionParts:
    """Return the part of each region of an input in the output of ``model``.

    Args:
        release: release of the model.
        model: loaded model of the release.
        feed: the checked input, a batch of one.
        output: reads the explained output of N answers.
        request: method, regions and calls.

    Raises:
        InputError: several inputs, or one that cannot be divided.
    """
    signature = release.manifest.signature
    axes = row_axes(signature)
    if any(feed[name].shape[axis] != 1 for name, axis in axes.items() if name in feed):
        raise InputError("batch", "explain: expected one input, got several")
    name = _explained_tensor(request, list(feed))
    watched = {each.tensor: each for each in release.profile().watched}
    division = divide(feed[name], watched.get(name), request.regions, axes.get(name))
    masked = MaskedInputs(model, feed, name, division, output, axes)
    ends = masked.outputs(np.array([[True], [False]]).repeat(division.count, axis=1))
    random = np.random.default_rng(0)  # fixed: the same input gets the same explanation
    if request.method == "occlusion":
        parts = ends[0] - masked.outputs(~np.eye(division.count, dtype=bool))
    else:
        parts = _shapley(masked, ends, request.calls, random)
    faithfulness = _faithfulness(masked, float(ends[0]), parts, random)
    first, last = map(float, ends)
    return RegionParts(division.names, division.regions, parts, first, last, faithfulness)


def _explained_tensor(request: ExplanationRequest, names: list[str]) -> str:
    if request.tensor is not None and request.tensor not in names:
        raise InputError("shape", f"tensor: expected one of {names}, got {request.tensor!r:.60}")
    if request.tensor is None and len(names) > 1:
        raise InputError("shape", f"tensor: expected the name of one of the inputs {names}")
    return request.tensor or names[0]


@dataclass(frozen=True)
class Division:
    """Regions of a tensor.

    Attributes:
        names: of the regions.
        regions: region of each place, as in :class:`RegionParts`.
        item: the sample; of a text its words, with the spaces around them.
        places: region of every value, in the shape of ``item``.
        fill: what takes the place of a value, in a shape that fits ``item``.
    """

    names: tuple[str, ...]
    regions: NDArray[np.int64]
    item: NDArray[Any]
    places: NDArray[np.int64]
    fill: NDArray[Any]

    @property
    def count(self) -> int:
        """Number of regions."""
        return len(self.names)


def divide(
    array: NDArray[Any], watched: WatchedTensor | None, count: int, axis: int | None
) -> Division:
    """Divide one sample into about ``count`` regions.

    Args:
        array: the tensor, a batch of one.
        watched: what the reference profile says of it, if anything.
        count: regions wanted.
        axis: of the rows; ``None`` without one.

    Raises:
        InputError: a tensor of one value, several texts, or one of one word.
    """
    item = one_sample(array, 0, axis)
    if item.dtype.kind not in "biuf":
        return _words(item, count)
    kind: TensorKind = watched.kind if watched else kind_of(str(item.dtype), item.shape)
    regions, places, channels = _grid(kind, item.shape, count)
    number = int(places.max(initial=0)) + 1
    if number < 2:
        raise InputError("shape", f"explain: expected more than one value, got {item.shape}")
    fill = np.zeros(1, item.dtype)
    if item.dtype.kind == "f" or kind == "image":
        fill = _usual(item, channels, watched)
    return Division(_names(kind, regions, number), regions, item, places, fill)


def _words(item: NDArray[Any], count: int) -> Division:
    """Divide a text into about ``count`` stretches of words."""
    words = re.findall(r"\s*\S+\s*", item.item()) if item.size == 1 else []
    if len(words) < 2:
        raise InputError("shape", "explain: expected one text of two words at least")
    regions = _blocks(len(words), count)
    ends = np.searchsorted(regions, np.arange(int(regions[-1]) + 2)).tolist()
    names = [f"words {a}:{b} {''.join(words[a:b]).strip()!r:.60}" for a, b in pairwise(ends)]
    return Division(tuple(names), regions, np.array(words, object), regions, np.array("", object))


def _names(kind: TensorKind, regions: NDArray[np.int64], count: int) -> tuple[str, ...]:
    """Return the name of each region: the places that it spans, the last one excluded."""
    axes = {"image": ("rows", "columns"), "tensor": ("values",)}.get(kind, ("steps",))
    if regions.ndim != len(axes):
        axes, regions = ("values",), regions.reshape(-1)
    names = []
    for i in range(count):
        spans = zip(axes, np.nonzero(regions == i), strict=True)
        names.append(", ".join(f"{axis} {at.min()}:{at.max() + 1}" for axis, at in spans))
    return tuple(names)


def _grid(
    kind: TensorKind, shape: tuple[int, ...], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int | None]:
    """Return regions of places, the same for every value of a sample, and the axis of channels."""
    if kind == "image" and len(shape) in (2, 3):
        axis = channel_axis(shape) if len(shape) == 3 else None
        height, width = [size for i, size in enumerate(shape) if i != axis]
        side = max(1, round(count**0.5))
        down, across = _blocks(height, side), _blocks(width, side)
        squares = down[:, None] * (int(across.max()) + 1) + across
        whole = squares if axis is None else np.expand_dims(squares, axis)
        return squares, np.broadcast_to(whole, shape), axis
    if kind == "series":
        steps = _blocks(shape[0], count)
        return steps, np.broadcast_to(steps[:, None], shape), 1
    if kind in ("audio", "tokens"):
        steps = _blocks(shape[-1], count)
        return steps, np.broadcast_to(steps, shape), None
    size = int(np.prod(shape))
    blocks = _blocks(size, count).reshape(shape)
    return blocks, blocks, None


def _blocks(size: int, count: int) -> NDArray[np.int64]:
    """Return the block of each of ``size`` places, ``count`` blocks of nearly the same size."""
    count = min(count, size)
    return np.arange(size, dtype=np.int64) * count // max(1, size)


def _usual(item: NDArray[Any], channels: int | None, watched: WatchedTensor | None) -> NDArray[Any]:
    """Return the mean of each channel at training; of the input itself where that is not known."""
    rest = tuple(i for i in range(item.ndim) if i != channels)
    count = 1 if channels is None else item.shape[channels]
    if watched is not None and len(watched.fill) in (1, count):
        means = np.array(watched.fill, np.float64)
    else:
        means = np.atleast_1d(item.astype(np.float64).mean(axis=rest))
    if item.dtype.kind != "f":
        means = np.rint(means)
    shape = [1] * item.ndim
    if channels is not None and len(means) > 1:
        shape[channels] = len(means)
    return means.astype(item.dtype).reshape(shape)


class MaskedInputs:
    """The input with some regions taken away.

    Args:
        model: that answers.
        feed: the checked input, a batch of one.
        name: of the tensor that is divided.
        division: its regions.
        output: reads the explained output of N answers.
        axes: of the rows by tensor; without any, inputs are run one by one.
    """

    def __init__(
        self,
        model: Model,
        feed: Feed,
        name: str,
        division: Division,
        output: Output,
        axes: Mapping[str, int],
    ) -> None:
        self._model, self._feed, self._name = model, feed, name
        self._division, self._output = division, output
        self._axes = axes
        self.count = division.count
        self._sample_shape = one_sample(feed[name], 0, axes.get(name)).shape

    def outputs(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the output for each selection of regions.

        Args:
            kept: [N, regions]; what is not kept is taken away.
        """
        feed = sum(array.size for array in self._feed.values())
        size = max(1, feed, self._division.item.size)
        some = max(1, CELLS // size) if self._axes else 1
        parts = [self._some(kept[i : i + some]) for i in range(0, len(kept), some)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _some(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        division = self._division
        there = kept[:, division.places]
        items = np.where(there, division.item, division.fill).astype(division.item.dtype)
        if division.item.dtype == object:
            items = _joined(items).reshape(-1, *self._sample_shape)
        if not self._axes:
            shape = self._feed[self._name].shape
            return self._output(self._model.run({**self._feed, self._name: items.reshape(shape)}))
        axes = self._axes
        feed = {name: np.repeat(a, len(kept), axis=axes[name]) for name, a in self._feed.items()}
        # onnxruntime reads the buffer in C order.
        feed[self._name] = np.ascontiguousarray(np.moveaxis(items, 0, axes[self._name]))
        return self._output(self._model.run(feed))


def _joined(words: NDArray[Any]) -> NDArray[Any]:
    """Return the texts [N] of words [N, words]."""
    texts = np.empty(len(words), object)
    texts[:] = ["".join(row) for row in words.tolist()]
    return texts


def _shapley(
    masked: MaskedInputs, ends: NDArray[np.float64], calls: int, random: np.random.Generator
) -> NDArray[np.float64]:
    """Mean rise of the output when a region comes back, over orders and the same backwards."""
    count = masked.count
    pairs = max(1, calls // (2 * count))
    total = np.zeros(count)
    for _ in range(pairs):
        order = random.permutation(count)
        for each in (order, order[::-1]):
            # Row i keeps the first i + 1 regions of the order; those of none and all are known.
            rank = np.empty(count, np.int64)
            rank[each] = np.arange(count)
            kept = rank[None] <= np.arange(count - 1)[:, None]
            along = np.concatenate([ends[1:], masked.outputs(kept), ends[:1]])
            total[each] += np.diff(along)
    parts: NDArray[np.float64] = total / (2 * pairs)
    return parts


def _faithfulness(
    masked: MaskedInputs, output: float, parts: NDArray[np.float64], random: np.random.Generator
) -> float:
    """Correlation of the parts that are gone with how far the output fell."""
    shares = random.uniform(0.1, 0.9, (CHECKS, 1))
    kept = random.random((CHECKS, masked.count)) >= shares
    fell, foretold = output - masked.outputs(kept), ~kept @ parts
    # Rounding of float32 answers is no dependence.
    if np.std(fell) <= 1e-6 * max(1.0, abs(output)) or np.std(foretold) == 0:
        return float("nan")
    return float(np.corrcoef(fell, foretold)[0, 1])
