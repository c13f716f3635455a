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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import STRING
from edge_sdk.errors import InputError
from edge_sdk.model.explain_regions import ExplanationRequest, Output, region_parts
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


@dataclass(frozen=True)
class Explanation:
    """Contribution of each feature to one output.

    Attributes:
        label: class that is explained; ``None`` for others than classifiers.
        scale: ``probability``, ``log-odds``, ``value``, or ``similarity`` of a model that gives a
            vector: the cosine of the angle to the vector for the whole input.
        output: output for the input, on that scale.
        usual: mean output over reference values; of regions the output without any.
        parts: part of each feature or region by name, the largest first; positive ones raised the
            output.
        residual: ``output - usual`` minus the sum of the parts.
        names: of regions, where the input is no table: squares of a picture, stretches of a
            sequence, blocks of a vector, words of a text; in the order of their numbers in
            ``regions``.
        regions: number of the region of each place: [H, W] of a picture, [T] of a sequence, [words]
            of a text, else in the shape of the tensor; ``None`` for a table.
        faithfulness: correlation, -1 to 1, of what the parts foretell with the output for random
            selections of regions; NaN where the output hardly depends on them, ``None`` for a
            table.
    """

    label: Label | None
    scale: str
    output: float
    usual: float
    parts: Mapping[str, float]
    residual: float
    names: tuple[str, ...] = ()
    regions: NDArray[np.int64] | None = None
    faithfulness: float | None = None

    @property
    def additive(self) -> bool:
        """True if the parts add up to the difference; else features acted together."""
        size = max(abs(self.output - self.usual), sum(map(abs, self.parts.values())))
        return abs(self.residual) <= ADDITIVE * size + 1e-9

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Return the features with the largest parts."""
        return list(self.parts.items())[:count]

    def heatmap(self) -> NDArray[np.float64]:
        """Return the part of each place's region, in the shape of ``regions``.

        Raises:
            InputError: the input is a table, which has no places.
        """
        if self.regions is None:
            raise InputError("shape", "heatmap: expected a picture, a sequence or a vector")
        heat: NDArray[np.float64] = np.array([self.parts[n] for n in self.names])[self.regions]
        return heat


def explain(
    release: Release,
    model: Model,
    x: Any,
    scale: Scale = "probability",
    request: ExplanationRequest = ExplanationRequest(),
) -> Explanation:
    """Explain the output of ``model`` for ``x``; see :meth:`edge_sdk.EdgeDevice.explain`.

    Args:
        release: release of the model, for its schema and reference profile.
        model: loaded model of the release.
        x: one input, as :meth:`edge_sdk.EdgeDevice.predict` takes it.
        scale: ``probability`` or ``log-odds``, for a classifier.
        request: class that is explained; method and regions, for inputs that are no table.

    Raises:
        InputError: the input does not fit, cannot be divided, or needs those before it.
    """
    signature = release.manifest.signature
    if signature.state:
        raise InputError("shape", "explain: expected a model without recurrent state")
    if not signature.columns:
        return _by_regions(release, model, x, scale, request)
    if request.method != "occlusion":
        raise InputError("shape", "method: a table is explained by occlusion, feature by feature")
    schema = InputSchema.of(release.manifest)
    row = schema.row(x)
    values = [row[column.tensor][0, column.index] for column in signature.columns]
    profiles = {feature.name: feature for feature in release.profile().features}
    replacements = [representatives(profiles[c.name], c, v) for c, v in zip(
        signature.columns, values, strict=True
    )]  # fmt: skip
    rows = _MaskedRows(schema, model, values, replacements)
    label, name, output = _output(release, model.run(row), scale, request.label)
    output_for_x = float(output(model.run(row))[0])
    occluded = np.concatenate([output(answers) for answers in rows.occluded()])
    parts = output_for_x - occluded.reshape(len(values), VALUES).mean(axis=1)
    usual = float(output(rows.usual()).mean())
    order = np.argsort(-np.abs(parts), kind="stable")
    named = {signature.columns[i].name: float(parts[i]) for i in order}
    return Explanation(
        label, name, output_for_x, usual, named, output_for_x - usual - float(parts.sum())
    )


def _by_regions(
    release: Release, model: Model, x: Any, scale: Scale, request: ExplanationRequest
) -> Explanation:
    feed = InputSchema(release.manifest.signature).row(x)
    label, name, output = _output(release, model.run(feed), scale, request.label)
    found = region_parts(release, model, feed, output, request)
    order = np.argsort(-np.abs(found.parts), kind="stable")
    return Explanation(
        label=label,
        scale=name,
        output=found.output,
        usual=found.usual,
        parts={found.names[i]: float(found.parts[i]) for i in order},
        residual=found.output - found.usual - float(found.parts.sum()),
        names=found.names,
        regions=found.regions,
        faithfulness=found.faithfulness,
    )


def _output(
    release: Release, answers: Mapping[str, NDArray[Any]], scale: Scale, of: Label | None
) -> tuple[Label | None, str, Output]:
    """Return label, scale and reader of the explained output.

    That is class ``of`` or the likeliest, the value, or of a model that gives a vector how similar
    it is to the one for the input.
    """
    signature = release.manifest.signature
    classes = signature.output("probabilities") or signature.output("scores")
    value = signature.output("value")
    if not isinstance(scale, str) or scale not in ("probability", "log-odds"):
        raise InputError("shape", f"scale: expected probability or log-odds, got {scale!r:.60}")
    if classes is not None and answers[classes.name].ndim == 2:
        scores, labels = classes.name, signature.classes or range(answers[classes.name].shape[1])
        place = int(answers[scores][0].argmax()) if of is None else _place(of, labels)
        return labels[place], scale, lambda outputs: _scaled(outputs[scores][:, place], scale)
    if of is not None:
        raise InputError("label", f"label: this model gives no probability of {of!r:.60}")
    if value is not None and signature.columns:
        return None, "value", lambda outputs: _first(outputs[value.name])
    shown = [spec for spec in signature.outputs if spec.role != "embedding"]
    vectors = [spec for spec in shown if spec.dtype.startswith("float")]
    if len(vectors) != 1 or not signature.batched:
        raise InputError(
            "shape", "explain: expected a model with probabilities, a value or a vector"
        )
    name, axis = vectors[0].name, vectors[0].batch
    whole = _rows(answers[name], axis)[0]
    if whole.size == 1:
        return None, "value", lambda outputs: _first(_rows(outputs[name], axis))
    return None, "similarity", lambda outputs: _cosines(_rows(outputs[name], axis), whole)


def _place(of: Label, labels: Sequence[Label]) -> int:
    if not isinstance(of, int | str | np.integer) or of not in labels:
        raise InputError("label", f"label: expected one of {list(labels)[:20]}, got {of!r:.60}")
    return labels.index(of)


def _rows(array: NDArray[Any], axis: int) -> NDArray[np.float64]:
    turned = np.moveaxis(array, axis, 0)
    return turned.reshape(len(turned), -1).astype(np.float64)


def _cosines(rows: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(whole)
    cosines: NDArray[np.float64] = rows @ whole / np.maximum(lengths, 1e-300)
    return cosines


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
