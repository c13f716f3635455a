"""Answers of a file as its release gives them: by role, with the classes and the true labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.sources import class_labels
from converters.sources.onnx_batch import Axes
from converters.sources.onnx_heads import flat_label, with_label, with_scores
from converters.sources.onnx_outputs import OutputReading, read_outputs, table
from converters.sources.onnx_signature import OnnxLayout, output_specs
from edge_sdk.contract.manifest import Label, OutputSpec, Role, Task
from edge_sdk.model.release import Feed


@dataclass(frozen=True)
class Reader:
    """Reader of a file's answers.

    Attributes:
        reading: meaning of the outputs of the file as it came.
        outputs: of the release, with their roles.
        classes: labels in the order of the scores; none for values.
        truth: ``y`` in the coding of the answers; ``None`` without it.
        is_argmax: True if the label is the class of the largest probability.
        threshold: score from which a class of a multilabel model is given.
    """

    reading: OutputReading
    outputs: tuple[OutputSpec, ...]
    classes: tuple[Label, ...]
    truth: NDArray[Any] | None
    is_argmax: bool
    threshold: float

    @property
    def task(self) -> Task:
        """Task of the release."""
        if self.reading.is_class:
            return "classification"
        if self.reading.is_multilabel:
            return "multilabel"
        return "regression" if self.reading.name is not None else "generic"

    @property
    def scored(self) -> tuple[str, ...]:
        """Names, in :meth:`by_role`, of what ``truth`` is compared with."""
        names = {"classification": "label", "multilabel": "labels", "regression": "value"}
        return (names[self.task],) if self.task in names else ()

    @property
    def scored_outputs(self) -> tuple[str, ...]:
        """Names, in :meth:`by_role`, of the outputs that have a role."""
        return tuple(spec.role for spec in self.outputs if spec.role != "other")

    def rounding(self, own: Feed) -> float:
        """Return the largest difference of scores by rounding of the file's own answers.

        In half precision onnxruntime leaves out the rounding of an output that is cast behind it.
        """
        name = self.reading.name
        if name is None or self.reading.kind == "values" or own[name].dtype != np.float16:
            return 0.0
        largest = float(np.abs(own[name]).max(initial=1.0, where=np.isfinite(own[name])))
        return largest * float(np.finfo(np.float16).eps)

    def by_role(self, answers: Feed) -> Feed:
        """Return a release's answers by role, others by name; several labels a row as a table."""
        named = {}
        for spec in self.outputs:
            if spec.name in answers:
                is_other = spec.role == "other"
                named[f"output {spec.name}" if is_other else spec.role] = answers[spec.name]
        if "scores" in named:
            named["labels"] = named["scores"] >= self.threshold
        return named

    def expected(self, own: Feed) -> Feed:
        """Return the answers of the file as it came in the form of :meth:`by_role`.

        What stands behind its outputs in the release is computed here apart from it.
        """
        by_name, reading = dict(own), self.reading
        by_role = {spec.role: spec.name for spec in self.outputs}
        label = by_role.get("label")
        if label is not None and reading.label is not None:
            by_name[label] = own[reading.label].ravel()
        if reading.name is not None and reading.kind != "values":
            scores = scores_of(by_name.pop(reading.name), reading)
            role: Role = "probabilities" if reading.is_class else "scores"
            by_name[by_role[role]] = scores
            if label is not None and self.is_argmax:
                by_name[label] = labels_of(scores, self.classes)
        return self.by_role(by_name)


def reader_of(proto: Any, own: Feed, axes: Axes | None, y: Any, layout: OnnxLayout) -> Reader:
    """Return the reader of a file's answers; what its outputs need is put behind them.

    Args:
        proto: ModelProto, changed in place.
        own: its answers to all samples, axis 0 the samples.
        axes: of the rows of each tensor; ``None`` without.
        y: labels or values as the caller gave them.
        layout: facts that the file does not say.

    Raises:
        ConversionError: outputs whose meaning is not known, or ``classes`` or ``y`` that do not
            fit them.
    """
    reading = read_outputs(own, y, layout, batched=axes is not None)
    rows = len(next(iter(own.values())))
    classes, truth = _labelled(reading, own, y, layout, rows)
    specs = {spec.name: _observed(spec, own, axes) for spec in output_specs(proto)}
    roles: dict[str, Role] = {}
    is_argmax = False
    if reading.name is not None and reading.kind != "values":
        name = with_scores(proto, reading, own[reading.name].shape)
        roles[name] = "probabilities" if reading.is_class else "scores"
        if reading.is_class:
            label, is_argmax = _label_output(proto, name, reading, own, classes)
            roles[label] = "label"
    elif reading.name is not None:
        roles[reading.name] = "value"
    elif reading.label is not None:
        roles[flat_label(proto, reading.label, own[reading.label].ndim)] = "label"
    outputs = tuple(
        replace(specs.get(spec.name, spec), role=roles.get(spec.name, "other"))
        for spec in output_specs(proto)
    )
    return Reader(reading, outputs, classes, truth, is_argmax, layout.threshold)


def _observed(spec: OutputSpec, own: Feed, axes: Axes | None) -> OutputSpec:
    """Return an output with the shape that it has; a size that is declared wrongly is open."""
    if spec.name not in own:  # recurrent state
        return spec
    rows, *found = own[spec.name].shape
    axis = None if axes is None else axes.get(spec.name, 0)
    if axis is not None:
        found.insert(axis, rows)
    declared = spec.shape if len(spec.shape) == len(found) else (None,) * len(found)
    pairs = zip(declared, found, strict=True)
    shape = tuple(
        want if want == have or i == axis else None for i, (want, have) in enumerate(pairs)
    )
    return replace(spec, shape=shape, batch=axis or 0)


def _labelled(
    reading: OutputReading, own: Feed, y: Any, layout: OnnxLayout, rows: int
) -> tuple[tuple[Label, ...], NDArray[Any] | None]:
    """Return the classes and the true answers."""
    name, classes = reading.name, layout.classes
    if name is None and reading.label is not None:
        return _of_labels(own[reading.label], classes, y, rows)
    if name is None or reading.kind == "values":
        if classes is not None:
            raise ConversionError(
                "classes: this model gives values; declare output=logits or probabilities for a "
                "classifier"
            )
        if name is None and y is not None:
            raise ConversionError(
                "y: nothing to compare it with, as this model gives its outputs by name; declare "
                'which one answers, as in output={"y": "logits"}, or leave y out'
            )
        if y is None or name is None:
            return (), None
        values = table(own[name])
        missing = np.argwhere(~np.isfinite(values))
        if len(missing):
            row, column = missing[0]
            raise ConversionError(
                f"y: no score can be certified, as the model gives {values[row, column]} for row "
                f"{row} of X; leave such rows out, or y"
            )
        return (), class_labels.coded_values(y, values)
    if reading.is_multilabel:
        labels = class_labels.class_labels(classes, None, reading.classes, name)
        return labels, None if y is None else class_labels.coded_sets(y, labels, rows)
    if y is not None:
        class_labels.check_length(y, rows)
    chosen = scores_of(own[name], reading).argmax(axis=1)
    if classes is None and reading.label is not None:
        classes = class_labels.of_columns(own[reading.label], chosen, reading.classes)
    labels = class_labels.class_labels(classes, y, reading.classes, name)
    if y is None:
        return labels, None
    truth = class_labels.coded(y, labels, rows)
    class_labels.refuse_other_order(truth, chosen, labels)
    return labels, truth


def _of_labels(
    answers: NDArray[Any], classes: Any, y: Any, rows: int
) -> tuple[tuple[Label, ...], NDArray[Any] | None]:
    """Return the classes and the true answers of a file that gives labels and no scores."""
    given = class_labels.plain_labels("the answers", answers)
    if y is not None:
        class_labels.check_length(y, rows)
    truth = () if y is None else class_labels.plain_labels("y", y)
    if truth and not set(map(str, truth)) & set(map(str, given)):
        raise ConversionError(
            f"y: expected the labels that the model gives, such as {given[0]!r}; got "
            f"{truth[0]!r}. Is y in another coding?"
        )
    if classes is None:
        labels = tuple(sorted({*given, *truth}, key=lambda label: (str(type(label)), label)))
    else:
        labels = class_labels.class_labels(classes, None, len(classes), "the answers")
    answered = class_labels.coded(given, labels, len(given))
    if y is None:
        return labels, None
    coded = class_labels.coded(y, labels, rows)
    places = {label: place for place, label in enumerate(labels)}
    chosen = np.array([places[label] for label in answered], np.int64)
    class_labels.refuse_other_order(coded, chosen, labels)
    return labels, coded


def _label_output(
    proto: Any, name: str, reading: OutputReading, own: Feed, classes: tuple[Label, ...]
) -> tuple[str, bool]:
    """Return the output that holds the label, and whether it follows from the probabilities.

    Raises:
        ConversionError: the file's own label is neither the likeliest class nor one of the classes.
    """
    if reading.label is None:
        return with_label(proto, name, classes), True
    scores, array = scores_of(own[reading.name or ""], reading), own[reading.label]
    likeliest = labels_of(scores, classes).astype(str)
    given = np.array([str(label) for label in array.ravel()])
    if array.ndim == 1 and (given == likeliest).all():
        return reading.label, True
    places = scores.argmax(axis=1).astype(str)
    if (given == likeliest).all() or (given == places).all():
        return with_label(proto, name, classes), True
    if _by_a_rule(given, scores, classes):
        return flat_label(proto, reading.label, array.ndim), False
    raise ConversionError(
        f"classes: the file's own label {reading.label!r} does not follow from the scores "
        f"{reading.name!r} of the classes {list(classes)[:5]}. Name all classes in the order of "
        f"the columns (classes=), or, if it is no label, say so: "
        f'output={{"{reading.name}": "{reading.kind}", "{reading.label}": "values"}}'
    )


def _by_a_rule(
    given: NDArray[Any], probabilities: NDArray[Any], classes: tuple[Label, ...]
) -> bool:
    """Return whether a file's labels [N] are made of the probabilities by a rule of its own.

    Of two classes that is a threshold. Of more it agrees with the likeliest class on most rows.
    Any other output of whole numbers, such as a count, is no label.
    """
    names = [str(label) for label in classes]
    if not set(given) <= set(names):
        return False
    if len(names) == 2:
        second = given == names[1]
        of_first, of_second = probabilities[~second, 1], probabilities[second, 1]
        return bool(of_first.max(initial=0.0) <= of_second.min(initial=1.0))
    return bool((given == np.array(names)[probabilities.argmax(axis=1)]).mean() > 0.5)


def scores_of(answers: NDArray[Any], reading: OutputReading) -> NDArray[Any]:
    """Return answers [N, …] of the output that answers as probabilities or scores [N, classes]."""
    numbers = table(answers)
    dtype = np.float64 if numbers.dtype == np.float64 else np.float32
    x = numbers.astype(np.float64)
    if reading.kind == "multilabel-logits" or (reading.kind == "logits" and reading.width == 1):
        with np.errstate(over="ignore"):
            x = 1 / (1 + np.exp(-x))
    elif reading.kind == "logits":
        powers = np.exp(x - x.max(axis=1, keepdims=True))
        x = powers / powers.sum(axis=1, keepdims=True)
    if reading.is_class and reading.width == 1:
        x = np.hstack([1 - x, x])
    return x.astype(dtype)


def labels_of(probabilities: NDArray[Any], classes: tuple[Label, ...]) -> NDArray[Any]:
    """Return the class of the largest probability of each row, [N]."""
    is_text = any(isinstance(label, str) for label in classes)
    labels: NDArray[Any] = np.array(classes, object if is_text else np.int64)
    return np.asarray(labels[probabilities.argmax(axis=1)])
