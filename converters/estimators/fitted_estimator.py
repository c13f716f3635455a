"""The trained model in its own framework: its task, its outputs, its answers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.estimators import label_sets
from converters.estimators.boosters import as_estimator, is_booster
from converters.estimators.sklearn_repairs import parts_of
from converters.samples.rows import Rows
from converters.trees.readers import is_tree_model
from edge_sdk.contract.manifest import Label, Task
from edge_sdk.model.release import Feed


@dataclass(frozen=True)
class FittedEstimator:
    """A fitted scikit-learn estimator or Pipeline.

    Attributes:
        estimator: the object itself.
        task: task of a release of it.
        classes: its labels in the order of the probabilities or scores.
        methods: its outputs by name, each with the method that answers it.
    """

    estimator: Any
    task: Task
    classes: tuple[Label, ...]
    methods: Mapping[str, str]

    @property
    def names(self) -> list[str] | None:
        """Names of the features that it was fitted with, if they had some."""
        names = getattr(self.estimator, "feature_names_in_", None)
        return None if names is None else [str(name) for name in names]

    @property
    def width(self) -> int | None:
        """Number of features that it was fitted with, if it says so."""
        width = getattr(self.estimator, "n_features_in_", None)
        return int(width) if width else None  # CatBoost forgets it in a pickle

    @property
    def optional(self) -> frozenset[str] | None:
        """Columns that it was fitted with and does not read; ``None`` if it must have all."""
        return _unread_columns(self.estimator)

    @property
    def scored(self) -> bool:
        """True if its answers can be compared with labels or values."""
        outputs = set(self.methods)
        return outputs in ({"label"}, {"label", "probabilities"}, {"value"}, {"scores"})

    def fitting(self, rows: Rows) -> FittedEstimator:
        """Return it as a model of several outputs, if its labels do not follow from its scores.

        Args:
            rows: some that it takes.
        """
        if self.task != "multilabel":
            return self
        answers = self.answers(rows)
        if label_sets.follow(answers["labels"], answers["scores"]):
            return self
        methods = {"labels": "predict", "probabilities": "predict_proba"}
        return replace(self, task="generic", classes=(), methods=methods)

    def answers(self, rows: Rows) -> Feed:
        """Return its outputs by name, batch axis first: labels [N], or floats [N, columns].

        Beside the ``scores`` of several labels a row there are the ``labels`` that it gives itself,
        a table of truth values.

        Raises:
            ConversionError: it refuses the rows.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._answers(rows)
        except ConversionError:
            raise
        except Exception as error:  # estimators of other libraries raise errors of their own
            raise ConversionError(f"X: the model itself refuses these rows; {error}") from error

    def _answers(self, rows: Rows) -> Feed:
        if "scores" in self.methods:
            scores = label_sets.scores_of(self._call(self.methods["scores"], rows.table))
            labels = label_sets.given(self._call("predict", rows.table))
            return {"scores": scores, "labels": labels}
        return {
            name: _answer(self._call(method, rows.table), name, len(rows))
            for name, method in self.methods.items()
        }

    def _call(self, method: str, table: Any) -> Any:
        """Call the estimator; some that were fitted in float64 fail on float32 rows.

        They get the same values in float64 then.
        """
        call = getattr(self.estimator, method)
        try:
            return call(table)
        except ValueError as error:
            if "dtype" not in str(error) or getattr(table, "dtype", None) != np.float32:
                raise
            return call(table.astype(np.float64))

    def answers_if_any(self, rows: Rows) -> Feed | None:
        """Return its outputs as :meth:`answers` does; ``None`` if it refuses the rows."""
        try:
            return self.answers(rows)
        except ConversionError:
            return None

    def accepts(self, rows: Rows) -> bool:
        """Return whether it answers these rows at all."""
        return self.answers_if_any(rows) is not None


def inspect_estimator(model: Any) -> FittedEstimator:
    """Return a fitted estimator with its task and outputs; a booster in its library's estimator.

    Raises:
        ConversionError: not an estimator, not fitted, or of a kind that releases do not carry.
    """
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    model = as_estimator(model) if is_booster(model) else model
    # Models of CatBoost are no BaseEstimator, and are readable all the same.
    is_estimator = isinstance(model, BaseEstimator) or is_tree_model(model)
    if isinstance(model, type) or not is_estimator:
        is_class = isinstance(model, type)
        received = f"the class {model.__name__}" if is_class else type(model).__name__
        raise ConversionError(
            "model: expected a fitted scikit-learn estimator, a module of PyTorch or Keras, or the "
            "path of an .onnx, .pt2, .keras, .skops, .pkl or "
            f".joblib file; got {received}"
        )
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise ConversionError(f"model: {type(model).__name__} is not fitted; call fit") from error
    return _kind_of(model)


def _kind_of(model: Any) -> FittedEstimator:
    from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor

    methods = {
        name: method
        for name, method in (("label", "predict"), ("probabilities", "predict_proba"))
        if _has(model, method)
    }
    if is_classifier(model):
        if _several_targets(model):
            count = label_sets.label_count(model, parts_of(model))
            if "probabilities" in methods and count:
                labels = tuple(range(count))
                return FittedEstimator(model, "multilabel", labels, {"scores": "predict_proba"})
            several = {_PLURALS.get(name, name): method for name, method in methods.items()}
            return FittedEstimator(model, "generic", (), several)
        return FittedEstimator(model, "classification", _classes(model.classes_), methods)
    if is_regressor(model):
        return FittedEstimator(model, "regression", (), {"value": "predict"})
    if is_outlier_detector(model) and "label" in methods:
        methods = methods | {"value": "decision_function"}
        return FittedEstimator(model, "classification", (-1, 1), methods)
    if "label" in methods and (is_clusterer(model) or "probabilities" in methods):
        return FittedEstimator(model, "classification", _clusters(model), methods)
    if _has(model, "transform"):
        return FittedEstimator(model, "generic", (), {"transformed": "transform"})
    raise ConversionError(
        f"model: {type(model).__name__} says nothing about new rows: it has neither predict nor "
        "transform. For clusters use KMeans, BisectingKMeans, Birch or MeanShift; for embeddings "
        "PCA or Isomap; for outliers IsolationForest, EllipticEnvelope or LocalOutlierFactor with "
        "novelty=True"
    )


def _unread_columns(model: Any) -> frozenset[str] | None:
    """Return the columns that a ColumnTransformer at the front leaves out; ``None`` without one."""
    while type(model).__name__ in _FRONTS:
        name = _FRONTS[type(model).__name__]
        model = model.steps[0][1] if name == "steps" else getattr(model, name)
    if type(model).__name__ != "ColumnTransformer" or not hasattr(model, "feature_names_in_"):
        return None
    read: set[int] = set()
    for name, step, _ in model.transformers_:
        if not (isinstance(step, str) and step == "drop"):
            read |= set(model._transformer_to_input_indices[name])
    names = [str(name) for name in model.feature_names_in_]
    return frozenset(name for place, name in enumerate(names) if place not in read)


_FRONTS: Final = {
    "Pipeline": "steps",
    "GridSearchCV": "best_estimator_",
    "RandomizedSearchCV": "best_estimator_",
    "TransformedTargetRegressor": "regressor_",
}
"""Attributes in which models hand their rows on as they are, by class."""


_PLURALS: Final = {"label": "labels"}


def _has(model: Any, method: str) -> bool:
    """Return whether it has a method; some find out only when they are asked, and raise."""
    try:
        return callable(getattr(model, method, None))
    except Exception:
        return False


def _several_targets(model: Any) -> bool:
    if isinstance(model.classes_, list):
        return True
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    return bool(getattr(last, "multilabel_", False)) or _is_label_table(last)


def _is_label_table(model: Any) -> bool:
    """Return whether it was fitted on a table of zeros and ones."""
    binarizer = getattr(model, "_label_binarizer", None) or getattr(model, "label_binarizer_", None)
    kind = getattr(binarizer, "y_type_", "") or getattr(model, "target_type_", "")
    return kind.startswith("multilabel") or type(model).__name__ == "ClassifierChain"


def _clusters(model: Any) -> tuple[Label, ...]:
    """Return the numbers of clusters, in the order of their probabilities if there are any."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    labels = getattr(last, "labels_", None)
    # Mixtures have components instead of labels. Label -1 is noise, and no cluster.
    count = getattr(last, "n_components", None) if labels is None else int(np.max(labels)) + 1
    if not isinstance(count, int):
        raise ConversionError(f"model: {type(last).__name__} does not say how many labels it has")
    return tuple(range(count))


def _classes(classes: Any) -> tuple[Label, ...]:
    return tuple(plain_labels(np.asarray(classes)).tolist())


def _answer(output: Any, name: str, rows: int) -> NDArray[Any]:
    """Return one output as an array: labels as they are, numbers as [N, columns].

    Several tables of probabilities, one for each target, stand side by side.
    """
    if isinstance(output, list):
        output = np.hstack([np.asarray(part) for part in output])
    if hasattr(output, "toarray"):
        output = output.toarray()
    array = np.asarray(output)
    if name == "label":
        return plain_labels(array.reshape(rows))  # CatBoost gives a column
    if name == "labels":
        return plain_labels(array)
    if array.dtype.kind not in "biuf":
        raise ConversionError(f"model: expected numbers as {name}, got {array.dtype}")
    array = array if array.dtype.kind == "f" else array.astype(np.float32)
    return array.reshape(rows, -1)


def plain_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as int64 or as strings.

    Raises:
        ConversionError: labels are neither whole numbers nor strings.
    """
    if labels.dtype.kind in "iub":
        return labels.astype(np.int64)
    if labels.dtype.kind == "f" and (labels == labels.astype(np.int64)).all():
        return labels.astype(np.int64)
    if labels.dtype.kind in "UO" and all(isinstance(label, str) for label in labels):
        return labels.astype(object)
    raise ConversionError(f"classes: expected whole numbers or strings, got {labels.dtype}")
