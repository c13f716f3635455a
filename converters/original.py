"""The trained model in its own framework: what it is, and what it answers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.rows import Rows
from edge_sdk.contract.manifest import Label, Task
from edge_sdk.release import Feed


@dataclass(frozen=True)
class Original:
    """A fitted scikit-learn estimator or Pipeline."""

    estimator: Any
    task: Task
    classes: tuple[Label, ...]

    @property
    def names(self) -> list[str] | None:
        """The feature names it was fitted with, if it was."""
        found = getattr(self.estimator, "feature_names_in_", None)
        return None if found is None else [str(name) for name in found]

    @property
    def width(self) -> int | None:
        """How many features it was fitted with, if it says so."""
        found = getattr(self.estimator, "n_features_in_", None)
        return None if found is None else int(found)

    @property
    def has_probabilities(self) -> bool:
        """Whether it says how sure it is."""
        return hasattr(self.estimator, "predict_proba")

    def answers(self, rows: Rows) -> Feed:
        """Its outputs by name (``label`` and ``probabilities``, or ``value``), batch axis first.

        Raises:
            ConversionError: it refuses the rows.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._answers(rows)
        except ConversionError:
            raise
        except Exception as error:
            raise ConversionError(f"X: the model itself refuses these rows; {error}") from error

    def _answers(self, rows: Rows) -> Feed:
        predicted = np.asarray(self.estimator.predict(rows.table))
        if self.task == "regression":
            return {"value": predicted.astype(np.float32).reshape(len(rows), -1)}
        answers: Feed = {"label": plain_labels(predicted)}
        if self.has_probabilities:
            answers["probabilities"] = np.asarray(self.estimator.predict_proba(rows.table))
        return answers

    def accepts(self, rows: Rows) -> bool:
        """Whether it answers these rows at all."""
        try:
            self.answers(rows)
        except ConversionError:
            return False
        return True


def original_of(model: Any) -> Original:
    """Look at a fitted estimator.

    Raises:
        ConversionError: not an estimator, not fitted, or of a kind that releases do not carry.
    """
    from sklearn.base import BaseEstimator, is_classifier, is_regressor
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if isinstance(model, type) or not isinstance(model, BaseEstimator):
        came = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ConversionError(
            "model: expected a fitted scikit-learn estimator, or the path of an .onnx, .pkl or "
            f".joblib file; got {came}"
        )
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise ConversionError(f"model: {type(model).__name__} is not fitted; call fit") from error
    if is_classifier(model):
        return Original(model, "classification", _classes(model))
    if is_regressor(model):
        return Original(model, "regression", ())
    raise ConversionError(
        f"model: expected a classifier or a regressor, got {type(model).__name__}"
    )


def _classes(model: Any) -> tuple[Label, ...]:
    if isinstance(model.classes_, list):
        raise ConversionError("model: several target columns are not supported for classifiers")
    return tuple(plain_labels(np.asarray(model.classes_)).tolist())


def plain_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels as int64 or as strings.

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


def load(path: str | Path, *, trust: bool = False) -> Any:
    """A fitted model from ``.pkl``/``.pickle``/``.joblib``, or ``.skops`` where skops is installed.

    Args:
        path: of the file.
        trust: loading a pickle runs code that it contains; say that you trust it.

    Raises:
        ConversionError: not trusted, unknown kind of file, or unreadable.
    """
    where = Path(path)
    if not where.is_file():
        raise ConversionError(f"{where}: there is no such file")
    if where.suffix == ".skops":
        return _load_skops(where, trust=trust)
    if where.suffix not in (".pkl", ".pickle", ".joblib"):
        raise ConversionError(f"{where}: expected .onnx, .pkl, .pickle, .joblib or .skops")
    if not trust:
        raise ConversionError(
            f"{where}: loading a pickle runs code inside it; if you trust its source, say --trust"
        )
    import joblib

    try:
        return joblib.load(where)
    except Exception as error:
        raise ConversionError(f"{where}: cannot be loaded; {error}") from error


def _load_skops(where: Path, *, trust: bool) -> Any:
    """Skops lists the types that a file would construct before it constructs any."""
    try:
        from skops import io
    except ImportError as error:
        raise ConversionError(f"{where}: reading this needs skops; pip install skops") from error
    try:
        unknown = io.get_untrusted_types(file=where)
        if not unknown or trust:
            return io.load(where, trusted=unknown)
    except Exception as error:
        raise ConversionError(f"{where}: cannot be loaded; {error}") from error
    raise ConversionError(
        f"{where}: holds types that skops does not know: {', '.join(unknown[:5])}; "
        "if you trust its source, say --trust"
    )
