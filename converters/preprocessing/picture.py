"""Pictures: resize, crop and normalise, as operators that give what Pillow gives.

A resize is two products with matrices of weights, first along the width and then along the height,
each rounded to a byte. That is how Pillow does it, so the numbers are its own, or one step of a
byte beside them: Pillow from 13 on goes along the height first where it finds that cheaper. ONNX's
own Resize differs by up to 11 of 255 where a picture is made smaller (onnxruntime 1.32).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.preprocessing.nodes import Nodes

Filter = Literal["bilinear", "bicubic"]
Size = int | tuple[int, int]

_BITS: Final = float(1 << 22)
"""Pillow's weights are multiples of this part of 1."""

_RESAMPLINGS: Final[Mapping[int, Filter]] = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of filters."""


@dataclass(frozen=True)
class Picture:
    """From a picture to the tensor of a network.

    The app gives ``uint8`` pictures [1, height, width, 3] in RGB, of any size. It decodes files
    itself: the decoder of onnxruntime-extensions 0.15 ends the process of the app, or never
    returns, where a JPEG is damaged (docs/NETWORKS.md).

    Attributes:
        transform: what did the same in training: a function of one picture, as the app gives it, to
            what the network takes, without the axis of the rows. The release is held to it.
        resize: length of the shorter side, or ``(height, width)``; ``None`` leaves pictures as they
            are, all of one size.
        crop: side of the square, or ``(height, width)``, that is cut out of the middle.
        filter: of the resize, with antialiasing.
        scale: factor of the bytes, before the next two.
        mean: of each channel, which is taken off; ``None`` for none.
        std: of each channel, which is divided by; ``None`` for none.
        channels_first: ``True`` for [3, height, width], as in PyTorch; ``False`` for Keras.
        middle: ``floor`` or ``round`` (half to even, as torchvision does), of half an odd margin.
    """

    transform: Callable[[Any], Any]
    resize: Size | None = None
    crop: Size | None = None
    filter: Filter = "bilinear"
    scale: float = 1 / 255
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels_first: bool = True
    middle: Literal["floor", "round"] = "floor"

    name: ClassVar[str] = "picture"
    probes: ClassVar[Sequence[NDArray[Any]]] = ()

    def __post_init__(self) -> None:
        for field, size in (("resize", self.resize), ("crop", self.crop)):
            sides = (size,) if isinstance(size, int) else size or (1,)
            if not all(isinstance(side, int) and side > 0 for side in sides) or len(sides) > 2:
                raise ConversionError(
                    f"preprocess: {field}: expected a side or (height, width), got {size!r:.40}"
                )
        if self.filter not in ("bilinear", "bicubic"):
            raise ConversionError(
                f"preprocess: filter: expected bilinear or bicubic, got {self.filter!r:.40}"
            )
        if not callable(self.transform):
            raise ConversionError("preprocess: transform: expected a function of one picture")

    @classmethod
    def of(cls, processor: Any) -> Picture:
        """Return the steps of a Hugging Face image processor, and the processor to be held to.

        Args:
            processor: with a ``to_dict`` as those of transformers have.

        Raises:
            ConversionError: it does what a :class:`Picture` has no step for.
        """
        does = _settings(processor)
        size, crop = does.get("size") or {}, does.get("crop_size") or {}
        filter_number = int(does.get("resample") or 2)
        if does.get("do_resize") and filter_number not in _RESAMPLINGS:
            raise ConversionError(
                f"preprocess: {type(processor).__name__} resizes with Pillow's filter "
                f"{filter_number}; expected bilinear (2) or bicubic (3)"
            )
        return cls(
            lambda picture: processor(images=picture, return_tensors="np")["pixel_values"][0],
            resize=_size(size) if does.get("do_resize") else None,
            crop=_size(crop) if does.get("do_center_crop") else None,
            filter=_RESAMPLINGS.get(filter_number, "bilinear"),
            scale=float(does["rescale_factor"]) if does.get("do_rescale") else 1.0,
            mean=tuple(does["image_mean"]) if does.get("do_normalize") else None,
            std=tuple(does["image_std"]) if does.get("do_normalize") else None,
        )

    @property
    def allowed(self) -> float:
        """Largest difference from ``transform`` in the tensor: two steps of a byte."""
        return 2.01 * self.scale / min(self.std or (1.0,))

    def check(self, X: Any) -> list[NDArray[Any]]:
        """Return the samples as arrays with an axis of one row.

        Raises:
            ConversionError: ``X`` holds other than pictures.
        """
        if not hasattr(X, "__len__") or len(X) == 0:
            raise ConversionError(
                f"X: expected a list of pictures, got {type(X).__name__}"
                f"{' without any' if hasattr(X, '__len__') else '; collect them first'}"
            )
        return [self._checked(i, each) for i, each in enumerate(X)]

    def _checked(self, i: int, picture: Any) -> NDArray[Any]:
        array = np.asarray(picture)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
            raise ConversionError(
                f"X: picture {i}: expected uint8 [height, width, 3] in RGB, got {array.dtype} "
                f"{list(array.shape)}"
            )
        return array[None]

    def given(self) -> Any:
        """Return the input of the release, as a ValueInfoProto."""
        from onnx import TensorProto, helper

        shape: list[str | int | None] = ["rows", "height", "width", 3]
        return helper.make_tensor_value_info(self.name, TensorProto.UINT8, shape)

    def build(self) -> tuple[Nodes, str]:
        """Return the steps as nodes, and the name of what the network takes."""
        nodes = Nodes()
        x = nodes.add("Transpose", self.name, perm=[0, 3, 1, 2])
        x = nodes.add("Cast", x, to=1)
        if self.resize is not None or self.crop is not None:
            x = self._resized(nodes, x)
        x = self._normalised(nodes, x)
        return nodes, x if self.channels_first else nodes.add("Transpose", x, perm=[0, 2, 3, 1])

    def _resized(self, nodes: Nodes, x: str) -> str:
        """Add the resize, of which only what the crop leaves is computed."""
        shape = nodes.add("Shape", x)
        sides = [nodes.add("Gather", shape, nodes.ints(axis)) for axis in (2, 3)]
        if self.resize is None:
            for axis, side in enumerate(sides):
                x = self._cropped(nodes, x, side, axis, axis + 2)
            return x
        wanted = self._wanted(nodes, self.resize, sides)
        rows, columns = (
            self._weights(nodes, side, size, axis)
            for axis, (side, size) in enumerate(zip(sides, wanted, strict=True))
        )
        across = nodes.add("MatMul", x, nodes.add("Transpose", columns, perm=[1, 0]))
        return _as_bytes(nodes, nodes.add("MatMul", rows, _as_bytes(nodes, across)))

    def _wanted(self, nodes: Nodes, resize: Size, sides: list[str]) -> list[str]:
        """Return height and width after the resize, as vectors of one number."""
        if not isinstance(resize, int):
            return [nodes.ints(side) for side in resize]
        shorter = nodes.add("Min", *sides)
        scaled = [nodes.add("Mul", nodes.ints(resize), side) for side in sides]
        return [nodes.add("Div", side, shorter) for side in scaled]  # whole numbers: rounded down

    def _weights(self, nodes: Nodes, side: str, size: str, axis: int) -> str:
        """Return Pillow's weights [size, side] of every pixel in every pixel of the result."""
        double = 11
        zero, one = nodes.constant(0, "int64"), nodes.constant(1, "int64")
        scalar = [nodes.add("Squeeze", each) for each in (side, size)]
        to, along = (nodes.add("Range", zero, each, one) for each in reversed(scalar))
        if self.crop is not None:
            to = self._cropped(nodes, to, size, axis, 0)
        half = nodes.constant(0.5, "float64")
        places = [
            nodes.add("Add", nodes.add("Cast", each, to=double), half) for each in (to, along)
        ]
        source, result = (nodes.add("Cast", each, to=double) for each in (side, size))
        scale = nodes.add("Div", source, result)
        stretch = nodes.add("Max", scale, nodes.constant(1.0, "float64"))
        centres = nodes.add("Unsqueeze", nodes.add("Mul", places[0], scale), nodes.ints(1))
        apart = nodes.add("Abs", nodes.add("Sub", places[1], centres))
        raw = _KERNELS[self.filter](nodes, nodes.add("Div", apart, stretch))
        total = nodes.add("ReduceSum", raw, nodes.ints(1), keepdims=1)
        bits = nodes.constant(_BITS, "float64")
        fixed = nodes.add("Round", nodes.add("Mul", nodes.add("Div", raw, total), bits))
        return nodes.add("Cast", nodes.add("Div", fixed, bits), to=1)

    def _cropped(self, nodes: Nodes, x: str, size: str, axis: int, along: int) -> str:
        """Return the middle of ``x``, of ``size`` along one of its axes.

        Args:
            nodes: to add to.
            x: what is cut.
            size: name of its size there, a vector of one number.
            axis: 0 for the height, 1 for the width.
            along: axis of ``x``.
        """
        assert self.crop is not None
        side = self.crop if isinstance(self.crop, int) else self.crop[axis]
        margin = nodes.add("Sub", size, nodes.ints(side))
        if self.middle == "floor":
            start = nodes.add("Div", margin, nodes.ints(2))
        else:
            half = nodes.add("Div", nodes.add("Cast", margin, to=1), nodes.constant([2], "float32"))
            start = nodes.add("Cast", nodes.add("Round", half), to=7)
        end = nodes.add("Add", start, nodes.ints(side))
        return nodes.add("Slice", x, start, end, nodes.ints(along))

    def _normalised(self, nodes: Nodes, x: str) -> str:
        mean = np.asarray(self.mean or (0.0,), np.float64).reshape(-1, 1, 1)
        std = np.asarray(self.std or (1.0,), np.float64).reshape(-1, 1, 1)
        scaled = nodes.add("Mul", x, nodes.constant(self.scale / std, "float32"))
        if self.mean is None:
            return scaled
        return nodes.add("Sub", scaled, nodes.constant(mean / std, "float32"))


def _as_bytes(nodes: Nodes, x: str) -> str:
    """Round to whole numbers from 0 to 255, halves up, as Pillow does after each of two passes."""
    whole = nodes.add("Floor", nodes.add("Add", x, nodes.floats(0.5)))
    return nodes.add("Clip", whole, nodes.floats(0.0), nodes.floats(255.0))


def _bilinear(nodes: Nodes, x: str) -> str:
    one, zero = nodes.constant(1.0, "float64"), nodes.constant(0.0, "float64")
    return nodes.add("Max", nodes.add("Sub", one, x), zero)


def _bicubic(nodes: Nodes, x: str) -> str:
    """Cubic convolution with a = -0.5, of distances in pixels of the result."""
    near = _polynomial(nodes, x, (1.5, -2.5, 0.0, 1.0))
    far = _polynomial(nodes, x, (-0.5, 2.5, -4.0, 2.0))
    inner = nodes.add("Less", x, nodes.constant(1.0, "float64"))
    outer = nodes.add("Less", x, nodes.constant(2.0, "float64"))
    beyond = nodes.add("Where", outer, far, nodes.constant(0.0, "float64"))
    return nodes.add("Where", inner, near, beyond)


def _polynomial(nodes: Nodes, x: str, factors: tuple[float, ...]) -> str:
    value = nodes.constant(factors[0], "float64")
    for factor in factors[1:]:
        value = nodes.add("Mul", value, x)
        value = nodes.add("Add", value, nodes.constant(factor, "float64"))
    return value


_KERNELS: Final = {"bilinear": _bilinear, "bicubic": _bicubic}


def _settings(processor: Any) -> dict[str, Any]:
    if not hasattr(processor, "to_dict"):
        raise ConversionError(
            f"preprocess: expected an image processor of transformers, got "
            f"{type(processor).__name__}; describe the steps with Picture(…)"
        )
    does: dict[str, Any] = processor.to_dict()
    other = [
        name for name, on in does.items() if name.startswith("do_") and on and name not in _DONE
    ]
    if other or does.get("crop_pct"):
        raise ConversionError(
            f"preprocess: {type(processor).__name__} has steps that Picture has none for: "
            f"{', '.join(other or ['crop_pct'])}"
        )
    return does


_DONE: Final = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")


def _size(size: Mapping[str, int]) -> Size | None:
    if "shortest_edge" in size and not size.get("longest_edge"):
        return int(size["shortest_edge"])
    if "height" in size and "width" in size:
        return int(size["height"]), int(size["width"])
    raise ConversionError(f"preprocess: expected a height and width or a shortest edge, got {size}")
