"""A release from an ``.onnx`` file that somebody exported: its own signature, samples as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.certification import measure, parity
from converters.certification.candidates import Judged, group_results, of_rows
from converters.certification.golden import GOLDEN_ROWS, plain
from converters.certification.onnx_candidates import OnnxCandidates, compared
from converters.certification.profile import group_profiles, reference_profile
from converters.certification.search import SearchPlan
from converters.errors import ConversionError
from converters.onnx_export.cleanup import tidy
from converters.onnx_export.export import clean
from converters.release_spec import ReleaseSpec
from converters.samples.groups import DeclaredGroups, check_rows, declare
from converters.samples.rows import Rows
from edge_sdk.contract.certificate import Certificate, GroupResult
from edge_sdk.contract.manifest import (
    CERTIFICATE,
    GOLDEN,
    MODEL,
    PROFILE,
    Column,
    Dtype,
    Manifest,
    OutputSpec,
    Role,
    Signature,
    StateLink,
    Task,
    TensorSpec,
)
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.errors import ContractError
from edge_sdk.model.release import Feed, Golden, Release, write_release
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.state import initial_state

TOLERANCE: Final = 1e-4
_DTYPES: Final[Mapping[int, Dtype]] = {
    1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 8: "string",
    9: "bool", 10: "float16", 11: "float64",
}  # fmt: skip


@dataclass(frozen=True)
class OnnxReading:
    """How to read a file that does not say it itself.

    Attributes:
        classes: name the outputs: the vector is the label, the matrix of floats the probabilities.
        state: inputs of a recurrent model to the outputs that feed them.
        batched: whether axis 0 of every tensor is the batch; ``None``: as their shapes suggest.
    """

    classes: Sequence[Any] | None = None
    state: Mapping[str, str] = field(default_factory=dict)
    batched: bool | None = None


def convert_existing(
    path: Path,
    X: Any,
    y: Any,
    wish: ReleaseSpec,
    reading: OnnxReading,
    plan: SearchPlan,
    groups: Any = None,
    progress: Callable[[str], None] = lambda message: None,
) -> Release:
    """Make a release of the model at ``path``; see :func:`converters.convert`.

    The file itself is the reference: golden vectors are its own answers on this machine.

    Raises:
        ConversionError: unreadable, tensors of an unknown type, or samples that do not fit.
    """
    proto = _loaded(path)
    X, declared = _declared(proto, X, groups)
    signature = _signature(proto, X, reading)
    task: Task = "classification" if reading.classes else "generic"
    manifest = replace(
        wish.manifest(task, signature, proto, {"estimator": "onnx"}),
        groups=tuple(each.column for each in declared),
    )
    feed = _feed(InputSchema(signature), X) | initial_state(signature)
    rows = len(next(iter(feed.values()))) if signature.batched else 1
    check_rows(declared, rows)
    tried = OnnxCandidates(manifest, feed, plan, lambda found: _score(manifest, found, y), progress)
    raw, manifest, results, answers, truth = tried.run(proto)
    _check_answers(declared, rows, answers)
    score = _score(manifest, truth, y)
    certificate = Certificate(
        chosen=manifest.variant,
        variants=tuple(results.values()),
        rows=rows,
        original_score=score,
        tolerances=asdict(plan.tolerances),
        tools=measure.tools(),
        machine=measure.machine(),
        repeat=plan.repeat(wish.out.name),
        groups=_group_results(manifest, declared, answers, truth, y),
    )
    files = {
        MODEL: raw,
        PROFILE: _profile(manifest, feed, answers, y, declared).to_json(),
        GOLDEN: _golden(feed, answers, signature.batched).to_bytes(),
        CERTIFICATE: certificate.to_json(),
    }
    own = results[manifest.variant].score
    metrics = {} if own is None else {"score": own}
    return write_release(wish.out, replace(manifest, metrics=metrics), files)


def _loaded(path: Path) -> Any:
    import onnx

    if not path.is_file():
        raise ConversionError(f"{path}: there is no such file")
    try:
        proto = onnx.load(str(path))
        onnx.checker.check_model(proto)
    except Exception as error:
        raise ConversionError(f"{path}: expected a valid ONNX model; {error}") from error
    clean(proto)
    tidy(proto)
    return proto


def _golden(feed: Feed, answers: Feed, batched: bool) -> Golden:
    """Some rows, where all tensors share a batch axis; else everything."""
    counts = {len(array) if array.ndim else 0 for array in (*feed.values(), *answers.values())}
    some = GOLDEN_ROWS if len(counts) == 1 and batched else None
    inputs = {name: plain(array)[:some] if some else plain(array) for name, array in feed.items()}
    outputs = {name: plain(a)[:some] if some else plain(a) for name, a in answers.items()}
    return Golden(inputs, outputs, TOLERANCE)


def _score(manifest: Manifest, answers: Feed, y: Any) -> float | None:
    """Accuracy, if the file has labels and there is something to compare them with."""
    label = manifest.signature.output("label")
    if y is None or label is None:
        return None
    found = answers[label.name]
    if len(y) != len(found):
        raise ConversionError(f"y: expected {len(found)} values, got {len(y)}")
    return parity.score({"label": found}, y)


def _profile(
    manifest: Manifest, feed: Feed, answers: Feed, y: Any, declared: tuple[DeclaredGroups, ...]
) -> ReferenceProfile:
    signature = manifest.signature
    if not signature.columns:
        rows = len(next(iter(feed.values()))) if signature.batched else 1
        return ReferenceProfile(
            rows, (), (), group_profiles(ReferenceProfile(rows, ()), {}, declared)
        )
    known: Feed = {r.role: answers[r.name] for r in signature.outputs if r.role != "other"}
    table = Rows(signature.columns, feed[signature.inputs[0].name])
    made = reference_profile(table, known, signature.classes, y)
    return replace(made, groups=group_profiles(made, known, declared))


def _group_results(
    manifest: Manifest, declared: Sequence[DeclaredGroups], answers: Feed, truth: Feed, y: Any
) -> tuple[GroupResult, ...]:
    def judged(rows: NDArray[np.int64]) -> Judged:
        own, before = of_rows(answers, rows), of_rows(truth, rows)
        some = None if y is None else np.asarray(y)[rows]
        return _score(manifest, before, some), _score(manifest, own, some), compared(own, before)

    return group_results(declared, judged)


def _check_answers(declared: Sequence[DeclaredGroups], rows: int, answers: Feed) -> None:
    """Groups are of rows: each has its own answers."""
    apart = all(array.ndim and len(array) == rows for array in answers.values())
    if declared and not apart:
        raise ConversionError("groups: expected answers for each row, this model has others")


def _declared(proto: Any, X: Any, groups: Any) -> tuple[Any, tuple[DeclaredGroups, ...]]:
    """Groups of the samples; a list of feeds may have them beside the inputs."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [_spec(value) for value in proto.graph.input if value.name not in constants]
    shape = inputs[0].shape if len(inputs) == 1 else ()
    width = shape[1] if len(shape) == 2 else None
    names = _names(inputs) if isinstance(X, list) else None
    return declare(X, groups, names=names, width=width)


def _feed(schema: InputSchema, X: Any) -> Feed:
    if not hasattr(X, "__len__"):
        names = [spec.name for spec in schema.signature.inputs]
        raise ConversionError(f"X: expected samples of the inputs {names}, got {type(X).__name__}")
    if schema.columns:
        return schema.batch(X)
    if isinstance(X, list) and X and isinstance(X[0], Mapping):
        feeds = [schema.row(feed) for feed in X]
        if schema.signature.state:
            return feeds[0]  # each step needs the state that the one before left
        return feeds[0] if len(feeds) == 1 else _stacked(feeds, schema.signature.inputs)
    return schema.row(X)


def _stacked(feeds: list[Feed], inputs: Sequence[TensorSpec]) -> Feed:
    """Feeds joined along the batch axis; the first alone where they cannot be."""
    if any(spec.shape[:1] != (None,) for spec in inputs):
        return feeds[0]
    try:
        return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    except ValueError:
        return feeds[0]


def _signature(proto: Any, X: Any, reading: OnnxReading) -> Signature:
    classes = reading.classes
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = tuple(_spec(v) for v in proto.graph.input if v.name not in constants)
    outputs = tuple(_output(v, classes) for v in proto.graph.output)
    columns: tuple[Column, ...] = ()
    first = inputs[0]
    if len(inputs) == 1 and len(first.shape) == 2 and first.shape[1] and not isinstance(X, list):
        names = [str(c) for c in X.columns] if hasattr(X, "columns") else None
        columns = tuple(
            Column(names[i] if names else f"x{i}", first.dtype, first.name, i)
            for i in range(first.shape[1])
        )
    links = tuple(StateLink(name, source) for name, source in reading.state.items())
    batched = reading.batched
    if batched is None:
        batched = _is_batched(inputs, outputs, links)
    try:
        return Signature(
            inputs, outputs, columns if batched else (), tuple(classes or ()), batched, links
        )
    except ContractError as error:
        raise ConversionError(
            f"{error}; the file has {_names(inputs)} and {_names(outputs)}"
        ) from error


def _names(specs: Sequence[TensorSpec] | Sequence[OutputSpec]) -> list[str]:
    return [spec.name for spec in specs]


def _is_batched(
    inputs: Sequence[TensorSpec], outputs: Sequence[OutputSpec], links: Sequence[StateLink]
) -> bool:
    """Whether axis 0 is the batch: open in every tensor, or of one size in all that are tables."""
    state = {name for link in links for name in (link.input, link.output)}
    specs: tuple[TensorSpec | OutputSpec, ...] = (*inputs, *outputs)
    shapes = [spec.shape for spec in specs if spec.name not in state]
    if any(not shape for shape in shapes):
        return False
    sizes = {shape[0] for shape in shapes}
    is_table = all(len(shape) > 1 for shape in shapes[: len(inputs) - len(links)])
    return sizes == {None} or (len(sizes) == 1 and is_table)


def _spec(value: Any) -> TensorSpec:
    tensor = value.type.tensor_type
    if tensor.elem_type not in _DTYPES:
        raise ConversionError(
            f"{value.name}: expected a tensor of numbers, booleans or strings; "
            "a model with a ZipMap must be exported without it"
        )
    shape = tuple(dim.dim_value or None for dim in tensor.shape.dim)
    return TensorSpec(value.name, _DTYPES[tensor.elem_type], shape)


def _output(value: Any, classes: Sequence[Any] | None) -> OutputSpec:
    spec = _spec(value)
    role: Role = "other"
    if classes:
        if len(spec.shape) == 1:
            role = "label"
        elif spec.dtype.startswith("float") and spec.shape[-1] in (None, len(classes)):
            role = "probabilities"
    return OutputSpec(spec.name, spec.dtype, spec.shape, role)
