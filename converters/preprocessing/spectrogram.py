"""Sounds: windows, their spectrum, a mel filter bank and a logarithm, as ONNX operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.preprocessing.nodes import Nodes

Logarithm = Literal["none", "ln", "log10", "db"]


@dataclass(frozen=True)
class Spectrogram:
    """From a sound to the spectrogram that a network takes.

    The app gives ``float32`` samples of one channel, [1, samples]. A spectrum is one convolution
    with the cosines and sines of its frequencies.

    Attributes:
        transform: what did the same in training: a function of one sound [samples] to what the
            network takes, without the axis of the rows. The release is held to it.
        window: weights of the samples of one window, [window], such as ``scipy.signal.get_window``
            or ``torch.hann_window`` gives; it is as long as the spectrum.
        hop: samples from one window to the next.
        filters: weights of the frequencies in each band, [window // 2 + 1, bands], such as
            ``librosa.filters.mel(…).T``; ``None`` for the frequencies themselves.
        power: 2 for energies, 1 for magnitudes.
        centre: whether half a window is added at both ends, mirrored, as PyTorch and librosa do.
        logarithm: of the energies: ``none``, ``ln``, ``log10`` or ``db`` (10 log10).
        floor: least energy that a logarithm is taken of.
        offset: added to the energies before the logarithm.
        time_last: ``True`` for [bands, windows], ``False`` for [windows, bands].
        channel: whether the network takes an axis of one channel before these two.
        allowed: largest difference from ``transform``, in the units of the tensor.
    """

    transform: Callable[[Any], Any]
    window: Any
    hop: int
    filters: Any = None
    power: float = 2.0
    centre: bool = True
    logarithm: Logarithm = "none"
    floor: float = 1e-10
    offset: float = 0.0
    time_last: bool = True
    channel: bool = False
    allowed: float = 1e-3

    name: ClassVar[str] = "sound"
    probes: ClassVar[Sequence[NDArray[Any]]] = ()

    def __post_init__(self) -> None:
        window = np.asarray(self.window, np.float64)
        if window.ndim != 1 or len(window) < 2:
            raise ConversionError(
                f"preprocess: window: expected weights [window], got shape {window.shape}"
            )
        wanted = len(window) // 2 + 1
        filters = None if self.filters is None else np.asarray(self.filters)
        if filters is not None and (filters.ndim != 2 or len(filters) != wanted):
            raise ConversionError(
                f"preprocess: filters: expected [{wanted}, bands] for a window of {len(window)}, "
                f"got {list(filters.shape)}"
            )
        if self.logarithm not in ("none", "ln", "log10", "db") or self.power not in (1, 2):
            raise ConversionError(
                "preprocess: expected a logarithm of none, ln, log10 or db and a power of 1 or 2, "
                f"got {self.logarithm!r:.20} and {self.power!r:.20}"
            )
        if not callable(self.transform) or not isinstance(self.hop, int) or self.hop < 1:
            raise ConversionError(
                "preprocess: transform: expected a function of one sound; hop: a whole number from "
                "1 on"
            )

    def check(self, X: Any) -> list[NDArray[Any]]:
        """Return the samples as arrays with an axis of one row.

        Raises:
            ConversionError: ``X`` holds other than sounds of one channel, or one that is too short.
        """
        if not hasattr(X, "__len__") or len(X) == 0:
            raise ConversionError(f"X: expected a list of sounds, got {type(X).__name__}")
        sounds = [np.asarray(each) for each in X]
        least = len(self.window) // 2 + 1 if self.centre else len(self.window)
        for i, sound in enumerate(sounds):
            if sound.ndim != 1 or sound.dtype.kind != "f" or len(sound) < least:
                raise ConversionError(
                    f"X: sound {i}: expected at least {least} samples of one channel as floats, "
                    f"got {sound.dtype} {list(sound.shape)}"
                )
        return [sound.astype(np.float32)[None] for sound in sounds]

    def given(self) -> Any:
        """Return the input of the release, as a ValueInfoProto."""
        from onnx import TensorProto, helper

        return helper.make_tensor_value_info(self.name, TensorProto.FLOAT, ["rows", "samples"])

    def build(self) -> tuple[Nodes, str]:
        """Return the steps as nodes, and the name of what the network takes."""
        nodes = Nodes()
        x = nodes.add("Unsqueeze", self.name, nodes.ints(1))
        if self.centre:
            half = len(self.window) // 2
            x = nodes.add("Pad", x, nodes.ints(0, 0, half, 0, 0, half), mode="reflect")
        energies = self._spectrum(nodes, x)
        if self.filters is not None:
            bands = nodes.constant(np.asarray(self.filters).T, "float32")
            energies = nodes.add("MatMul", bands, energies)
        x = self._logarithm(nodes, energies)
        x = x if self.time_last else nodes.add("Transpose", x, perm=[0, 2, 1])
        return nodes, nodes.add("Unsqueeze", x, nodes.ints(1)) if self.channel else x

    def _spectrum(self, nodes: Nodes, x: str) -> str:
        """Return the energies [rows, frequencies, windows] of ``x`` [rows, 1, samples]."""
        window = np.asarray(self.window, np.float64)
        angles = 2 * np.pi * np.outer(np.arange(len(window) // 2 + 1), np.arange(len(window)))
        squares = []
        for wave in (np.cos, np.sin):
            kernel = nodes.constant((wave(angles / len(window)) * window)[:, None], "float32")
            part = nodes.add("Conv", x, kernel, strides=[self.hop])
            squares.append(nodes.add("Mul", part, part))
        energies = nodes.add("Add", *squares)
        return energies if self.power == 2 else nodes.add("Sqrt", energies)

    def _logarithm(self, nodes: Nodes, x: str) -> str:
        if self.offset:
            x = nodes.add("Add", x, nodes.floats(self.offset))
        if self.logarithm == "none":
            return x
        natural = nodes.add("Log", nodes.add("Max", x, nodes.floats(self.floor)))
        factor = {"ln": 1.0, "log10": 1 / np.log(10), "db": 10 / np.log(10)}[self.logarithm]
        return natural if factor == 1.0 else nodes.add("Mul", natural, nodes.floats(factor))
