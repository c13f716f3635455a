"""What comes before a network, put into its file and held to the Python that did it in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from edge_sdk.model.release import Feed

ANSWERS: Final = 0.02
"""Largest difference of an answer from the module's behind the Python, relative to the largest."""


ONLY: Final = ""
"""Stands for the name of the input of a network that has one."""

Tensors = NDArray[Any] | Mapping[str, Sequence[NDArray[Any]]]
"""What a network takes of all samples: one array, or a row for each sample by input name."""


class Preprocessing(Protocol):
    """Steps from what an app gives to the tensor of a network."""

    @property
    def name(self) -> str:
        """Name of the release's input."""

    @property
    def transform(self) -> Callable[[Any], Any]:
        """Function of one sample that did the same in training.

        It gives an array, or a dict of arrays by the inputs of a network that has several.
        """

    @property
    def allowed(self) -> float:
        """Largest difference of a number of the tensor from what ``transform`` gives."""

    @property
    def probes(self) -> Sequence[NDArray[Any]]:
        """Further inputs, with an axis of one row, on which tensors are compared as well."""

    def check(self, X: Any) -> list[NDArray[Any]]:
        """Return the samples as arrays with an axis of one row; raises ConversionError."""

    def given(self) -> Any:
        """Return the input of the release, as a ValueInfoProto."""

    def build(self) -> tuple[Nodes, str | Mapping[str, str]]:
        """Return the steps as nodes, and the name of what the network, or each input, takes."""


def exported_file(path: Path, tensors: Tensors) -> ExportedModule:
    """Return an ``.onnx`` file as a module: it is its own reference.

    Raises:
        ConversionError: it cannot be read, or has other inputs.
    """
    proto = load_file(path)
    dtypes = {spec.name: spec.dtype for spec in input_specs(proto)}
    by_name = isinstance(tensors, Mapping)
    if len(dtypes) != 1 if not by_name else set(dtypes) != set(tensors):
        wanted = f"the inputs {list(tensors)}" if by_name else "one input"
        raise ConversionError(
            f"preprocess: expected a network with {wanted}, {path} has {list(dtypes)}"
        )
    columns = tensors if isinstance(tensors, Mapping) else {next(iter(dtypes)): tensors}
    count = len(next(iter(columns.values())))
    samples = tuple(
        {name: column[i][None].astype(dtypes[name]) for name, column in columns.items()}
        for i in range(count)
    )
    run = RawModel(proto, str(path)).run
    return ExportedModule("onnx", proto, run, samples, float(np.finfo(np.float32).eps))


def with_preprocessing(
    before: Preprocessing, X: Any, export: Callable[[Tensors], ExportedModule]
) -> tuple[HeldFile, Any]:
    """Return a network with what comes before it in one file, and its samples.

    Args:
        before: what comes before it.
        X: samples as the app gives them.
        export: the network, with the tensors that ``before.transform`` made of the samples.

    Raises:
        ConversionError: samples that ``before`` does not take.
        ParityError: the tensors or the answers differ from those of the Python.
    """
    samples = before.check(X)
    exported = export(_columns(_python_rows(before, X)))
    hold_to_module(exported)
    nodes, result = before.build()
    proto = put_before(exported.proto, nodes, result, before.given())
    names = list(exported.samples[0])
    results = {names[0]: result} if isinstance(result, str) else result
    apart, answers = _held(before, exported, proto, results, samples)
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


def _columns(rows: Sequence[Feed]) -> Tensors:
    """Return the tensors of all samples: below each other, or as lists by input name."""
    if ONLY in rows[0]:
        return np.stack([row[ONLY] for row in rows])
    return {name: [row[name] for row in rows] for name in rows[0]}


def _python_rows(before: Preprocessing, X: Any) -> list[Feed]:
    made: list[Feed] = []
    for i, sample in enumerate(X):
        try:
            given = before.transform(sample)
            several = isinstance(given, Mapping)
            row = {n: np.asarray(v) for n, v in given.items()} if several else np.asarray(given)
        except Exception as error:  # the caller's own function may raise anything
            raise ConversionError(
                f"preprocess: transform fails on sample {i}; {type(error).__name__}: {error!s:.200}"
            ) from error
        if isinstance(row, Mapping):
            made.append(dict(row))
            continue
        made.append({ONLY: row})
        first = made[0][ONLY]
        if row.shape != first.shape or row.dtype.kind not in "fiub":
            raise ConversionError(
                f"preprocess: transform: expected numbers of one shape for every sample, got "
                f"{first.dtype} {first.shape} and {row.dtype} {row.shape} for sample {i}"
            )
    return made


def _held(
    before: Preprocessing,
    exported: ExportedModule,
    proto: Any,
    results: Mapping[str, str],
    samples: Sequence[NDArray[Any]],
) -> tuple[float, float]:
    """Return the largest differences of the tensors and of the answers from those of the Python."""
    import onnx

    watched = type(proto)()
    watched.CopyFrom(proto)
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in results.values())
    domains = [entry.domain for entry in proto.opset_import]
    raw = RawModel(watched, exported.kind, domains)
    found = 0.0, 0.0
    for i, (sample, tensors) in enumerate(zip(samples, _rows_of(exported), strict=True)):
        outputs = raw.run({before.name: sample})
        shown = _shown(f"sample {i}", sample)
        apart = _apart(outputs, tensors, results, before.allowed, shown)
        expected = exported.answers(tensors)
        actual = {name: outputs[name] for name in expected}
        answers = largest_difference(actual, expected, exported.kind, ANSWERS)
        found = max(found[0], apart), max(found[1], answers)
    for probe in before.probes:
        given = before.transform(probe)
        rows = given if isinstance(given, Mapping) else {next(iter(results)): given}
        tensors = {name: np.asarray(rows[name])[None] for name in results}
        outputs = raw.run({before.name: probe})
        _apart(outputs, tensors, results, before.allowed, _shown("another input", probe))
    return found


def _rows_of(exported: ExportedModule) -> Iterator[Feed]:
    for feed in exported.samples:
        for i in range(len(next(iter(feed.values())))):
            yield {name: array[i : i + 1] for name, array in feed.items()}


def _shown(name: str, sample: NDArray[Any]) -> str:
    """Return the name of a sample for a message; a text is shown."""
    return f"{name} ({sample[0]!r:.120})" if sample.dtype == object else name


def _apart(
    outputs: Feed, expected: Feed, results: Mapping[str, str], allowed: float, sample: str
) -> float:
    """Return the largest difference of tensors from those of the Python."""
    return max(
        _tensor_difference(outputs[result], expected[name], allowed, sample)
        for name, result in results.items()
    )


def _tensor_difference(actual: Any, expected: Any, allowed: float, sample: str) -> float:
    if actual.shape != expected.shape:
        raise ParityError(
            f"preprocess: {sample}: the steps give shape {actual.shape[1:]}, transform gives "
            f"{expected.shape[1:]}"
        )
    apart = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    largest = float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))
    if largest > allowed:
        place = tuple(int(k) for k in np.unravel_index(int(apart.argmax()), apart.shape))
        raise ParityError(
            f"preprocess: {sample}: the steps differ from transform by {largest:.3g} at "
            f"{place[1:]}: {actual[place]:.6g} instead of {expected[place]:.6g} (allowed "
            f"{allowed:.3g}). Are the settings (size, filter, mean, std and middle of a picture) "
            "those of the Python?"
        )
    return largest
