"""Explanations of single predictions: each feature's part, by occlusion.

A feature's part is the average change of the output when that feature alone takes other values
from the reference profile: :data:`VALUES` of equal mass. For a model that is additive in its
features (on the chosen scale) the parts are exact and add up to the difference from the usual
output; for others they do not, and :attr:`Explanation.residual` is due to features acting together.

Sources: M. Robnik-Šikonja, I. Kononenko, "Explaining classifications for individual instances",
IEEE TKDE 20(5), 2008 (occlusion by the distribution of the feature); M. McKay, R. Beckman, W.
Conover, "A comparison of three methods for selecting values of input variables", Technometrics
21(2), 1979 (Latin hypercube for the usual output).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import STRING
from edge_sdk.errors import InputError
from edge_sdk.model.schema import InputSchema

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Column, Label
    from edge_sdk.contract.profile import FeatureProfile
    from edge_sdk.model.release import Release
    from edge_sdk.model.session import Model

VALUES: Final = 8
"""Reference values that replace one feature."""

USUAL_ROWS: Final = 16 * VALUES
"""Rows of reference values over which the usual output is averaged."""

CELLS: Final = 2_000_000
"""Values in one batch at most: 8 to 16 MB."""

ADDITIVE: Final = 0.1
"""Largest residual, as a share of all parts, of an explanation that adds up."""

CLIP: Final = 1e-6
"""Probabilities are clipped to [CLIP, 1 - CLIP] before their log-odds."""

Scale = Literal["probability", "log-odds"]
Output = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float64]]


@dataclass(frozen=True)
class Explanation:
    """Contribution of each feature to one output.

    Attributes:
        label: class that is explained; ``None`` for a regressor.
        scale: ``probability``, ``log-odds``, or ``value``.
        output: output for the input, on that scale.
        usual: mean output over reference values.
        parts: part of each feature, the largest first; positive ones raised the output.
        residual: ``output - usual`` minus the sum of the parts.
    """

    label: Label | None
    scale: str
    output: float
    usual: float
    parts: Mapping[str, float]
    residual: float

    @property
    def additive(self) -> bool:
        """True if the parts add up to the difference; else features acted together."""
        size = max(abs(self.output - self.usual), sum(map(abs, self.parts.values())))
        return abs(self.residual) <= ADDITIVE * size + 1e-9

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Return the features with the largest parts."""
        return list(self.parts.items())[:count]


def explain(release: Release, model: Model, x: Any, scale: Scale = "probability") -> Explanation:
    """Explain the output of ``model`` for ``x``; see :meth:`edge_sdk.EdgeDevice.explain`.

    Args:
        release: release of the model, for its schema and reference profile.
        model: loaded model of the release.
        x: one input, as :meth:`edge_sdk.EdgeDevice.predict` takes it.
        scale: ``probability`` or ``log-odds``, for a classifier.

    Raises:
        InputError: the input does not fit, or the model has no rows of named features.
    """
    signature = release.manifest.signature
    if not signature.columns or signature.state or not signature.batched:
        raise InputError("shape", "explain: expected a model of independent rows of named features")
    missing = release.manifest.training.get("missing") == "allowed"
    schema = InputSchema(signature, missing=missing)
    row = schema.row(x)
    values = [row[column.tensor][0, column.index] for column in signature.columns]
    profiles = {feature.name: feature for feature in release.profile().features}
    replacements = [representatives(profiles[c.name], c, v) for c, v in zip(
        signature.columns, values, strict=True
    )]  # fmt: skip
    rows = _MaskedRows(schema, model, values, replacements)
    label, name, output = _output(release, model.run(row), scale)
    output_for_x = float(output(model.run(row))[0])
    occluded = np.concatenate([output(answers) for answers in rows.occluded()])
    parts = output_for_x - occluded.reshape(len(values), VALUES).mean(axis=1)
    usual = float(output(rows.usual()).mean())
    order = np.argsort(-np.abs(parts), kind="stable")
    named = {signature.columns[i].name: float(parts[i]) for i in order}
    return Explanation(
        label, name, output_for_x, usual, named, output_for_x - usual - float(parts.sum())
    )


def _output(
    release: Release, answers: Mapping[str, NDArray[Any]], scale: Scale
) -> tuple[Label | None, str, Output]:
    """Return label, scale and reader of the explained output: the likeliest class, or the value."""
    signature = release.manifest.signature
    probabilities, value = signature.output("probabilities"), signature.output("value")
    if not isinstance(scale, str) or scale not in ("probability", "log-odds"):
        raise InputError("shape", f"scale: expected probability or log-odds, got {scale!r:.60}")
    if probabilities is not None and answers[probabilities.name].ndim == 2:
        name = probabilities.name
        best = int(answers[name][0].argmax())
        label = signature.classes[best] if signature.classes else best
        return label, scale, lambda outputs: _scaled(outputs[name][:, best], scale)
    if value is not None:
        return None, "value", lambda outputs: _first(outputs[value.name])
    raise InputError("shape", "explain: expected a model with probabilities or a value")


def _first(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.reshape(len(values), -1)[:, 0].astype(np.float64)


def _scaled(probabilities: NDArray[Any], scale: Scale) -> NDArray[np.float64]:
    p = probabilities.astype(np.float64)
    if scale == "probability":
        return p
    # Probabilities of exactly 0 or 1 would give infinite log-odds.
    clipped = np.clip(p, CLIP, 1 - CLIP)
    odds: NDArray[np.float64] = np.log(clipped / (1 - clipped))
    return odds


class _MaskedRows:
    """Batches of the input with some features replaced."""

    def __init__(
        self, schema: InputSchema, model: Model, values: Sequence[Any], others: Sequence[list[Any]]
    ) -> None:
        self._schema = schema
        self._model = model
        self._values = values
        self._others = others

    def occluded(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Outputs of :data:`VALUES` rows for each feature, in order."""
        width = len(self._values)
        # Several features per batch, as many as the memory bound allows.
        some = max(1, CELLS // (width * VALUES))
        for start in range(0, width, some):
            replaced = range(start, min(width, start + some))
            columns = [[value] * (len(replaced) * VALUES) for value in self._values]
            for place, i in enumerate(replaced):
                columns[i][place * VALUES : (place + 1) * VALUES] = self._others[i]
            yield self._run(columns)

    def usual(self) -> Mapping[str, NDArray[Any]]:
        """Outputs of rows in which every feature has its reference values, mixed at random."""
        # Each feature is permuted separately (Latin hypercube): all its values occur equally often.
        # The seed is fixed: the same input gets the same explanation.
        random = np.random.default_rng(0)
        rows = max(VALUES, min(USUAL_ROWS, CELLS // len(self._values) // VALUES * VALUES))
        mixed = [[other[i] for i in random.permutation(rows) % VALUES] for other in self._others]
        return self._run(mixed)

    def _run(self, columns: list[list[Any]]) -> Mapping[str, NDArray[Any]]:
        names = [column.name for column in self._schema.columns]
        return self._model.run(self._schema.batch(dict(zip(names, columns, strict=True))))


def representatives(feature: FeatureProfile, column: Column, value: Any) -> list[Any]:
    """Return :data:`VALUES` values of a feature, each for the same share of the training rows.

    Args:
        feature: training distribution.
        column: column of the feature, for its dtype.
        value: the input's own value, which is returned if training had no values.
    """
    counts = np.asarray(feature.counts[:-2], dtype=np.float64)
    if not counts.sum():
        return [value] * VALUES
    cumulated = np.cumsum(counts) / counts.sum()
    shares = (np.arange(VALUES) + 0.5) / VALUES
    if feature.categories is not None:
        names = [feature.categories[i] for i in np.searchsorted(cumulated, shares)]
        return [name if column.dtype == STRING else float(name) for name in names]
    assert feature.edges is not None
    edges = np.asarray(feature.edges)
    if len(edges) == 1:
        return [_column_value(column, float(edges[0]), edges)] * VALUES
    quantiles = np.interp(shares, np.concatenate([[0.0], cumulated]), edges)
    return [_column_value(column, float(q), edges) for q in quantiles]


def _column_value(column: Column, quantile: float, edges: NDArray[np.float64]) -> float | int:
    """Return a quantile as the column's kind of number."""
    # Bins are half-open: of whole numbers the upper edge belongs to the next bin, but for the last.
    if column.dtype.startswith("float"):
        return quantile
    last = len(edges) < 2 or quantile >= edges[-2]
    return round(quantile) if last else int(np.floor(quantile))
