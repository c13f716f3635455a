"""What comes before a network, put into its file and held to the Python that did it in training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError, ParityError
from converters.frameworks.exported_module import ExportedModule
from converters.preprocessing.nodes import Nodes, put_before
from converters.sources.module_parity import HeldFile, hold_to_module, largest_difference
from converters.sources.onnx_file import load_file
from converters.sources.onnx_session import RawModel
from converters.sources.onnx_signature import input_specs

ANSWERS: Final = 0.02
"""Largest difference of an answer from the module's behind the Python, relative to the largest."""


class Preprocessing(Protocol):
    """Steps from what an app gives to the tensor of a network."""

    @property
    def name(self) -> str:
        """Name of the release's input."""

    @property
    def python(self) -> Callable[[Any], Any]:
        """Function of one sample that did the same in training."""

    @property
    def allowed(self) -> float:
        """Largest difference of a number of the tensor from what ``python`` gives."""

    def check(self, X: Any) -> list[NDArray[Any]]:
        """Return the samples as arrays with an axis of one row; raises ConversionError."""

    def given(self) -> Any:
        """Return the input of the release, as a ValueInfoProto."""

    def build(self) -> tuple[Nodes, str]:
        """Return the steps as nodes, and the name of what the network takes."""


def exported_file(path: Path, tensors: NDArray[Any]) -> ExportedModule:
    """Return an ``.onnx`` file as a module: it is its own reference.

    Raises:
        ConversionError: it cannot be read, or has several inputs.
    """
    proto = load_file(path)
    inputs = input_specs(proto)
    if len(inputs) != 1:
        raise ConversionError(
            f"preprocess: expected a network with one input, {path} has "
            f"{[spec.name for spec in inputs]}"
        )
    run = RawModel(proto.SerializeToString(), str(path)).run
    samples = {inputs[0].name: tensors.astype(inputs[0].dtype)}
    return ExportedModule("onnx", proto, run, samples, float(np.finfo(np.float32).eps))


def with_preprocessing(
    before: Preprocessing, X: Any, export: Callable[[NDArray[Any]], ExportedModule]
) -> tuple[HeldFile, Any]:
    """Return a network with what comes before it in one file, and its samples.

    Args:
        before: what comes before it.
        X: samples as the app gives them.
        export: the network, with the tensors [N, …] that ``before.python`` made of the samples.

    Raises:
        ConversionError: samples that ``before`` does not take.
        ParityError: the tensors or the answers differ from those of the Python.
    """
    samples = before.check(X)
    tensors = _python_tensors(before, X)
    exported = export(tensors)
    hold_to_module(exported)
    nodes, result = before.build()
    proto = put_before(exported.proto, nodes, result, before.given())
    apart, answers = _held(before, exported, proto, result, samples)
    parity = (
        f"differs from the Python by at most {apart:.1e} in the tensor, and by {answers:.1e} of "
        "the largest answer"
    )
    one_size = len({sample.shape for sample in samples}) == 1
    given = np.concatenate(samples) if one_size else samples
    entries = {"preprocessing": f"{_described(before)}, within the file; {parity}"}
    return HeldFile(exported.kind, proto, entries, exported.packages), given


def _described(before: Preprocessing) -> str:
    """Return the steps as their maker wrote them, without the function of training."""
    settings = [
        f"{name}={value!r}"
        for name, value in vars(before).items()
        if not callable(value) and value != getattr(type(before), name, None)
    ]
    return f"{type(before).__name__}({', '.join(settings)})"


def _python_tensors(before: Preprocessing, X: Any) -> NDArray[Any]:
    made = []
    for i, sample in enumerate(X):
        try:
            made.append(np.asarray(before.python(sample)))
        except Exception as error:  # the caller's own function may raise anything
            raise ConversionError(
                f"preprocess: python fails on sample {i}; {type(error).__name__}: {error!s:.200}"
            ) from error
        if made[i].shape != made[0].shape or made[i].dtype.kind not in "fiub":
            raise ConversionError(
                f"preprocess: python: expected numbers of one shape for every sample, got "
                f"{made[0].dtype} {made[0].shape} and {made[i].dtype} {made[i].shape} for sample "
                f"{i}"
            )
    return np.stack(made)


def _held(
    before: Preprocessing, exported: ExportedModule, proto: Any, result: str, samples: list[Any]
) -> tuple[float, float]:
    """Return the largest differences of the tensor and of the answers from those of the Python."""
    import onnx

    watched = type(proto)()
    watched.CopyFrom(proto)
    watched.graph.output.append(onnx.ValueInfoProto(name=result))
    domains = [entry.domain for entry in proto.opset_import]
    raw = RawModel(watched.SerializeToString(), exported.kind, domains)
    (name, tensors), found = next(iter(exported.samples.items())), (0.0, 0.0)
    for i, sample in enumerate(samples):
        outputs = raw.run({before.name: sample})
        expected = exported.answers({name: tensors[i : i + 1]})
        apart = _tensor_difference(outputs.pop(result), tensors[i : i + 1], before.allowed, i)
        answers = largest_difference(outputs, expected, exported.kind, ANSWERS)
        found = max(found[0], apart), max(found[1], answers)
    return found


def _tensor_difference(actual: Any, expected: Any, allowed: float, i: int) -> float:
    if actual.shape != expected.shape:
        raise ParityError(
            f"preprocess: sample {i}: the steps give shape {actual.shape[1:]}, python gives "
            f"{expected.shape[1:]}"
        )
    apart = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    largest = float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))
    if largest > allowed:
        place = tuple(int(k) for k in np.unravel_index(int(apart.argmax()), apart.shape))
        raise ParityError(
            f"preprocess: sample {i}: the steps differ from python by {largest:.3g} at "
            f"{place[1:]}: {actual[place]:.6g} instead of {expected[place]:.6g} (allowed "
            f"{allowed:.3g}). Are size, filter, mean, std and middle those of the Python?"
        )
    return largest
