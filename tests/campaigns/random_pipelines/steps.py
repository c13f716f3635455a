"""Transformers that are drawn, by what they need of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn import (
    cluster,
    decomposition,
    feature_selection,
    impute,
    kernel_approximation,
    preprocessing,
    random_projection,
)
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import FeatureUnion, make_pipeline

from tests.campaigns.random_pipelines.tables import Table

R = np.random.Generator
Make = Callable[[R], Any]


def one(random: R, *choices: Any) -> Any:
    """Return one of the choices."""
    return choices[int(random.integers(len(choices)))]


SCALERS: Mapping[str, Make] = {
    "StandardScaler": lambda r: preprocessing.StandardScaler(with_mean=one(r, True, True, False)),
    "MinMaxScaler": lambda r: preprocessing.MinMaxScaler(clip=one(r, False, True)),
    "RobustScaler": lambda r: preprocessing.RobustScaler(),
    "MaxAbsScaler": lambda r: preprocessing.MaxAbsScaler(),
    "Normalizer": lambda r: preprocessing.Normalizer(one(r, "l2", "l1", "max")),
    "PowerTransformer": lambda r: preprocessing.PowerTransformer(standardize=one(r, True, False)),
    "QuantileTransformer": lambda r: preprocessing.QuantileTransformer(
        n_quantiles=50, output_distribution=one(r, "uniform", "normal"), random_state=0
    ),
}
SHAPES: Mapping[str, Make] = {
    "PolynomialFeatures": lambda r: preprocessing.PolynomialFeatures(
        2, interaction_only=one(r, True, False), include_bias=one(r, True, False)
    ),
    "SplineTransformer": lambda r: preprocessing.SplineTransformer(
        int(r.integers(3, 6)),
        degree=one(r, 2, 3),
        include_bias=one(r, True, False),
        extrapolation=one(r, "constant", "linear", "continue", "periodic", "error"),
    ),
    "KBinsDiscretizer": lambda r: preprocessing.KBinsDiscretizer(
        int(r.integers(3, 6)),
        encode=one(r, "ordinal", "onehot", "onehot-dense"),
        strategy=one(r, "quantile", "uniform"),
        quantile_method="averaged_inverted_cdf",
    ),
    "Binarizer": lambda r: preprocessing.Binarizer(threshold=float(r.normal())),
    "FunctionTransformer": lambda r: preprocessing.FunctionTransformer(
        one(
            r,
            np.tanh,
            np.arctan,
            np.cbrt,
            np.arcsinh,
            np.sign,
            np.abs,
            np.square,
            np.sin,
            np.exp2,
            np.rint,
            np.trunc,
            np.deg2rad,
            None,
        )
    ),
    "PCA": lambda r: decomposition.PCA(2, whiten=one(r, True, False)),
    "TruncatedSVD": lambda r: decomposition.TruncatedSVD(2, random_state=0),
    "KernelPCA": lambda r: decomposition.KernelPCA(2, kernel=one(r, "rbf", "poly"), gamma=0.1),
    "FastICA": lambda r: decomposition.FastICA(2, random_state=0, max_iter=500),
    "FactorAnalysis": lambda r: decomposition.FactorAnalysis(2),
    "Nystroem": lambda r: kernel_approximation.Nystroem(n_components=10, gamma=0.1, random_state=0),
    "RBFSampler": lambda r: kernel_approximation.RBFSampler(
        gamma=0.1, n_components=12, random_state=0
    ),
    "GaussianRandomProjection": lambda r: random_projection.GaussianRandomProjection(
        3, random_state=0
    ),
    "KMeans": lambda r: cluster.KMeans(4, n_init=2, random_state=0),
    "FeatureAgglomeration": lambda r: cluster.FeatureAgglomeration(2),
    "VarianceThreshold": lambda r: feature_selection.VarianceThreshold(),
}
POSITIVE: Mapping[str, Make] = {
    "box-cox": lambda r: preprocessing.PowerTransformer("box-cox"),
    "log": lambda r: preprocessing.FunctionTransformer(one(r, np.log, np.log1p, np.sqrt, np.log10)),
    "NMF": lambda r: decomposition.NMF(2, random_state=0, max_iter=300),
}
SELECTORS: Mapping[str, Make] = {
    "SelectKBest": lambda r: feature_selection.SelectKBest(k=2),
    "SelectPercentile": lambda r: feature_selection.SelectPercentile(percentile=60),
    "SelectFromModel": lambda r: feature_selection.SelectFromModel(
        _tree(), threshold=-np.inf, max_features=2
    ),
}
FILLERS: Mapping[str, Make] = {
    "SimpleImputer": lambda r: impute.SimpleImputer(
        strategy=one(r, "mean", "median", "most_frequent"), add_indicator=one(r, False, True)
    ),
    "constant": lambda r: impute.SimpleImputer(strategy="constant", fill_value=-1.5),
    "KNNImputer": lambda r: impute.KNNImputer(n_neighbors=3),
    "IterativeImputer": lambda r: impute.IterativeImputer(max_iter=3, random_state=0),
}
ENCODERS: Mapping[str, Make] = {
    "OneHotEncoder": lambda r: preprocessing.OneHotEncoder(
        handle_unknown="ignore", sparse_output=one(r, True, False)
    ),
    "rare": lambda r: preprocessing.OneHotEncoder(
        min_frequency=20, handle_unknown="infrequent_if_exist", drop=one(r, None, "first")
    ),
    "OrdinalEncoder": lambda r: preprocessing.OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1
    ),
    "TargetEncoder": lambda r: preprocessing.TargetEncoder(random_state=0),
}


def _tree() -> Any:
    from sklearn.tree import DecisionTreeRegressor

    return DecisionTreeRegressor(max_depth=3, random_state=0)


def draw_numeric(random: R, table: Table, *, target: bool) -> list[Any]:
    """Return up to three transformers of numbers, fillers first where numbers are missing."""
    pools = [SCALERS, SCALERS, SHAPES]
    pools += [POSITIVE] if table.positive else []
    pools += [SELECTORS] if target else []
    steps = []
    if table.holes:
        name = one(random, *FILLERS)
        steps.append(FILLERS[name](random))
    for _ in range(int(random.choice([0, 1, 2, 3], p=[0.25, 0.4, 0.25, 0.1]))):
        pool = one(random, *pools)
        steps.append(pool[one(random, *pool)](random))
        pools = [SCALERS, SHAPES]  # numbers are no longer positive, nor as many as selectors want
    if len(steps) > 1 and not table.holes and random.random() < 0.2:
        return [FeatureUnion([(f"part{i}", step) for i, step in enumerate(steps)])]
    return steps


def draw_steps(random: R, table: Table, *, target: bool) -> list[Any]:
    """Return the transformers before the last step for a table of any kind."""
    if table.kind == "documents":
        words = one(random, CountVectorizer, TfidfVectorizer)
        steps = [
            words(
                ngram_range=one(random, (1, 1), (1, 2)),
                min_df=2,
                lowercase=one(random, True, False),
            )
        ]
        if random.random() < 0.3:
            steps.append(decomposition.TruncatedSVD(3, random_state=0))
        return steps
    inner = draw_numeric(random, table, target=target)
    if not table.framed:
        return inner
    return [_columns(random, table, inner, target=target)]


def _columns(random: R, table: Table, inner: list[Any], *, target: bool) -> Any:
    numbers: Any = make_pipeline(*inner) if inner else "passthrough"
    encoders = [name for name in ENCODERS if target or name != "TargetEncoder"]
    encoder: Any = ENCODERS[one(random, *encoders)](random)
    if table.holes and random.random() < 0.5:
        encoder = make_pipeline(
            impute.SimpleImputer(strategy="constant", fill_value="none"), encoder
        )
    chosen: Any = list(table.numbers[: int(random.integers(2, 5))])
    if table.kind == "frame" and "day" not in table.X and random.random() < 0.3:
        chosen = make_column_selector(dtype_include="number")
    parts = [("numbers", numbers, chosen)]
    if table.texts:
        parts.append(("texts", encoder, list(table.texts[: int(random.integers(1, 3))])))
    return ColumnTransformer(parts, remainder="drop")
