"""The parity of an exported module with the module itself, on every sample.

The file that the exporter made is held to the module's own answers before anything else is done
with it. From there on it is an ONNX file like any other: its variants are held to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ParityError
from converters.frameworks.exported_module import ExportedModule, in_blocks
from converters.sources.onnx_session import RawModel
from edge_sdk.model.release import Feed

ROUNDINGS: Final = 1_000
"""Roundings of the module's dtype that two orders of adding may be apart, relative to the largest
value of an output: 1.2e-4 in float32."""


@dataclass(frozen=True)
class HeldFile:
    """An ONNX file that was held to the module that it was made from.

    Attributes:
        kind: name of the module's class.
        proto: the file.
        parity: entries for ``manifest.training``.
        packages: top-level modules of the framework that it comes from.
    """

    kind: str
    proto: Any
    parity: Mapping[str, str]
    packages: tuple[str, ...] = ()


def module_samples(exported: ExportedModule, X: Any) -> Any:
    """Return the samples as an ONNX source takes them: a table keeps its columns."""
    samples = exported.samples
    if hasattr(X, "columns"):
        return X
    if len(samples) > 1:
        return list(samples)
    return next(iter(samples[0].values())) if len(samples[0]) == 1 else samples[0]


def held_file(exported: ExportedModule) -> HeldFile:
    """Return the exported file, after it was held to the module on all samples.

    Raises:
        ParityError: it answers differently from the module.
    """
    difference = hold_to_module(exported)
    words = f"differs from the module by {difference:.1e} of the largest value"
    return HeldFile(exported.kind, exported.proto, {"parity": words}, exported.packages)


def hold_to_module(exported: ExportedModule) -> float:
    """Return the largest difference of the exported file from the module, on all samples.

    Where axis 0 is the rows, one row alone is compared too: a module may treat it differently, and
    it is what devices ask. Differences are relative to the largest value of each output.

    Raises:
        ParityError: it is more than rounding; the message shows where.
    """
    feeds = list(exported.samples)
    if exported.batched:
        feeds.append({name: array[:1] for name, array in feeds[0].items()})
    raw = RawModel(exported.proto, exported.kind)
    found = 0.0
    for feed in feeds:
        actual = in_blocks(raw.run, feed, exported.fixed, filled=True)
        found = max(found, _largest(actual, exported.answers(feed), exported))
    return found


def _largest(actual: Feed, expected: Feed, exported: ExportedModule) -> float:
    return largest_difference(actual, expected, exported.kind, ROUNDINGS * exported.resolution)


def largest_difference(actual: Feed, expected: Feed, kind: str, allowed: float) -> float:
    """Return the largest difference of outputs, relative to the largest value of each.

    Args:
        actual: of the file, by output name.
        expected: of the module.
        kind: name of the module's class, for messages.
        allowed: largest difference that is none.

    Raises:
        ParityError: other shapes, or a larger difference.
    """
    largest = 0.0
    for name, truth in expected.items():
        if actual[name].shape != truth.shape:
            raise ParityError(
                f"the exported model differs from {kind}: output {name!r} has shape "
                f"{actual[name].shape}, the module's has {truth.shape}"
            )
        apart = differences(actual[name], truth)
        if apart.size and apart.max() > allowed:
            raise ParityError(_refusal(name, actual[name], truth, apart, allowed))
        largest = max(largest, float(apart.max(initial=0.0)))
    return largest


def differences(actual: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far numbers are apart, relative to the largest of ``truth``.

    Whole numbers and truth values are 0 or infinitely far apart; so are NaN and infinities.
    """
    if truth.dtype.kind != "f":
        return np.where(actual == truth, 0.0, np.inf)
    numbers, expected = actual.astype(np.float64), truth.astype(np.float64)
    finite = np.abs(expected[np.isfinite(expected)])
    scale = float(finite.max(initial=0.0)) or 1.0
    with np.errstate(invalid="ignore"):
        apart = np.abs(numbers - expected) / scale
    same = (numbers == expected) | (np.isnan(numbers) & np.isnan(expected))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _refusal(
    name: str,
    actual: NDArray[Any],
    truth: NDArray[Any],
    apart: NDArray[np.float64],
    allowed: float,
) -> str:
    place = tuple(int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape))
    count = int((apart > allowed).sum())
    return (
        f"the exported model differs from the module: output {name!r}, {count} of {apart.size} "
        f"values by more than {allowed:.1e} of the largest; worst at {place}: module "
        f"{truth[place]}, exported {actual[place]}"
    )
