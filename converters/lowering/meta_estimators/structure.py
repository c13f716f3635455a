"""Pipelines, column transformers, unions, and searches that hand on to the model they chose."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering import registry
from converters.lowering.graph import Graph
from converters.lowering.registry import Lowering, lowers
from converters.lowering.table import Table, floats, pick, side_by_side

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import FeatureUnion, Pipeline


def _before_last_step(estimator: Any, graph: Graph, rows: Table) -> Table:
    """Return the rows after all steps but the last, [N, features of the last step]."""
    for (name, step), (_, following) in itertools.pairwise(estimator.steps):
        rows = step_of(graph, name, step, rows)
        width = getattr(following, "n_features_in_", rows.width)
        # After a refused step widths may not fit; go on with some that do, to find all refusals.
        if graph.problems and width != rows.width:
            rows = _stand_in(graph, width)
    return rows


def step_of(graph: Graph, name: str, step: Any, rows: Table) -> Table:
    """Write one transformer of a pipeline.

    A refusal is noted in ``graph.problems`` and zeros stand in, so that one conversion reports all
    steps that cannot be lowered.

    Args:
        graph: the graph to write into.
        name: of the step in its pipeline.
        step: a fitted transformer, ``None`` or ``passthrough``.
        rows: columns [N, features] that it gets.
    """
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return rows
    try:
        return registry.transform(step, graph, rows)
    except UnsupportedModel as error:
        graph.problems.append(f"step {name!r}: {error}")
        return _stand_in(graph, width_of(step) or rows.width)


def _stand_in(graph: Graph, width: int) -> Table:
    return Table.of(graph.constant(np.zeros((1, width), np.float32)), width)


def width_of(step: Any) -> int | None:
    """Return the number of columns that a fitted transformer gives, if it tells."""
    try:
        return len(step.get_feature_names_out())
    except Exception:  # any estimator may raise anything here; the width is a guess then
        return None


def _of_last_step(method: Lowering) -> Lowering:
    """Return the lowering of a Pipeline's method that its last step has."""

    def lower(estimator: Any, graph: Graph, rows: Table) -> Any:
        return method(estimator.steps[-1][1], graph, _before_last_step(estimator, graph, rows))

    return lower


lowers("predict", "Pipeline")(_of_last_step(registry.predict))
lowers("predict_proba", "Pipeline")(_of_last_step(registry.probabilities))
lowers("decision_function", "Pipeline")(_of_last_step(registry.decision))


@lowers("transform", "Pipeline")
def _lower_pipeline_transform(estimator: Pipeline, graph: Graph, rows: Table) -> Table:
    name, step = estimator.steps[-1]
    return step_of(graph, name, step, _before_last_step(estimator, graph, rows))


@lowers("transform", "FeatureUnion")
def _lower_feature_union(estimator: FeatureUnion, graph: Graph, rows: Table) -> Table:
    weights = estimator.transformer_weights or {}
    parts = []
    for name, step in estimator.transformer_list:
        if step == "drop":
            continue
        parts.append(_weighted(graph, step_of(graph, name, step, rows), weights.get(name)))
    return side_by_side(parts)


@lowers("transform", "ColumnTransformer")
def _lower_column_transformer(estimator: ColumnTransformer, graph: Graph, rows: Table) -> Table:
    weights = estimator.transformer_weights or {}
    parts = []
    for name, step, columns in _steps(estimator):
        if len(columns) and not (isinstance(step, str) and step == "drop"):
            transformed = step_of(graph, name, step, pick(graph, rows, columns))
            parts.append(_weighted(graph, transformed, weights.get(name)))
    return side_by_side(parts)


def _steps(estimator: Any) -> Iterator[tuple[str, Any, list[int]]]:
    places = estimator._transformer_to_input_indices
    for name, step, _ in estimator.transformers_:
        yield name, step, list(places[name])


def _weighted(graph: Graph, table: Table, weight: float | None) -> Table:
    if weight is None:
        return table
    return Table.of(graph.op("Mul", floats(graph, table), weight), table.width)


def _delegate(name: str, attribute: str) -> None:
    """Lower the class ``name`` as the fitted estimator in its ``attribute``."""

    def hand_on(method: Lowering) -> Lowering:
        return lambda estimator, graph, rows: method(getattr(estimator, attribute), graph, rows)

    lowers("predict", name)(hand_on(registry.predict))
    lowers("predict_proba", name)(hand_on(registry.probabilities))
    lowers("decision_function", name)(hand_on(registry.decision))
    lowers("transform", name)(hand_on(registry.transform))


for _name, _attribute in {
    "GridSearchCV": "best_estimator_",
    "RandomizedSearchCV": "best_estimator_",
    "HalvingGridSearchCV": "best_estimator_",
    "HalvingRandomSearchCV": "best_estimator_",
    "FrozenEstimator": "estimator",
    "SelfTrainingClassifier": "estimator_",
    "RANSACRegressor": "estimator_",
}.items():
    _delegate(_name, _attribute)
