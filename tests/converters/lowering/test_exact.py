"""What is written in float64 gives scikit-learn's numbers, on rows beyond those of training."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.special
from sklearn.decomposition import (
    NMF,
    PCA,
    FactorAnalysis,
    KernelPCA,
    TruncatedSVD,
)
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, DotProduct, WhiteKernel
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import HuberRegressor, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
)
from sklearn.svm import SVC, SVR, NuSVC, OneClassSVM

from converters.errors import UnsupportedModel
from converters.estimators.fitted_estimator import inspect_estimator
from converters.onnx_export.export import export, output_specs
from converters.samples.rows import rows_of
from converters.sources.estimator_source import _run
from edge_sdk.contract.manifest import Signature

_random = np.random.default_rng(0)
X = _random.normal(size=(200, 4)) * [1, 5, 1, 0.1] + 3
VALUE = np.sin(X[:, 0]) + X[:, 1]
THREE = np.digitize(VALUE, np.quantile(VALUE, [0.3, 0.7]))
TWO = (VALUE > 2).astype(int)
HOLED = np.where(_random.random(X.shape) < 0.1, np.nan, X)


def gap(model, rows, *, wide=True):
    """The largest difference, in deviations of the output; endless if a label differs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original = inspect_estimator(model)
        table = rows_of(rows, original.names, width=original.width, wide=wide)
        proto = export(original, table, exact=True)
        specs = output_specs(proto, original)
        signature = Signature(table.tensors, specs, table.columns, original.classes)
        found, expected = _run(proto, signature, table), original.answers(table)
    worst = 0.0
    for name, truth in expected.items():
        if truth.dtype.kind == "f":
            np.testing.assert_array_equal(np.isnan(found[name]), np.isnan(truth))
            off = np.nanmax(np.abs(found[name] - truth)) / max(np.nanstd(truth), 1e-3)
            worst = max(worst, float(off))
        elif (found[name].astype(str) != truth.astype(str)).any():
            worst = np.inf
    return worst


UFUNCS = (
    np.tanh, np.arctan, np.cbrt, np.arcsinh, np.sign, np.abs, np.square, np.sin, np.exp2, np.rint,
    np.trunc, np.deg2rad, np.tan, np.sinh, np.cosh, scipy.special.expit, np.expm1, np.rad2deg,
    np.fabs, np.reciprocal, np.floor, np.ceil, np.exp, np.cos, np.negative,
)  # fmt: skip


@pytest.mark.parametrize("function", UFUNCS, ids=lambda f: f.__name__)
def test_a_function_of_numpy_is_itself(function):
    assert gap(FunctionTransformer(function).fit(X), (X - 3) * 2) < 5e-6


def test_functions_of_bounded_numbers():
    inside = np.clip((X - 3) / 5, -0.999, 0.999)
    for function in (np.arcsin, np.arccos, np.arctanh):
        assert gap(FunctionTransformer(function).fit(inside), inside) < 1e-6
    for function in (np.arccosh, np.log, np.log2, np.log10, np.log1p, np.sqrt):
        assert gap(FunctionTransformer(function).fit(X), np.abs(X) + 1) < 1e-6


@pytest.mark.parametrize("beyond", ["constant", "linear", "continue", "periodic"])
@pytest.mark.parametrize("degree", [2, 3])
def test_a_spline_beyond_its_knots(beyond, degree):
    model = SplineTransformer(5, degree=degree, extrapolation=beyond).fit(X[:60])
    assert gap(model, X) < 1e-6


@pytest.mark.parametrize("target", ["uniform", "normal"])
def test_quantiles_with_repeats_and_beyond_their_ends(target):
    grid = X.round(1)
    model = QuantileTransformer(n_quantiles=50, output_distribution=target).fit(grid[:100])
    assert gap(model, grid) < 1e-6


TRANSFORMERS = {
    "Yeo and Johnson": PowerTransformer(),
    "cubes": PolynomialFeatures(3),
    "products alone": PolynomialFeatures((2, 3), interaction_only=True),
    "largest": Normalizer("max"),
    "sums": Normalizer("l1"),
    "lengths": Normalizer(),
    "whitened": PCA(2, whiten=True),
    "radial kernel": KernelPCA(2, kernel="rbf"),
    "polynomial kernel": KernelPCA(2, kernel="poly", gamma=0.1),
    "singular vectors": TruncatedSVD(2),
    "factors": FactorAnalysis(2),
    "clipped": MinMaxScaler(clip=True),
    "clipped by size": MaxAbsScaler(),
    "above": Binarizer(threshold=0.5),
    "bins": KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"),
    "powers, then bins of them": make_pipeline(
        PowerTransformer(), KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf")
    ),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_transformer_gives_the_very_numbers(name):
    assert gap(TRANSFORMERS[name].fit(X[:120]), X) < 1e-6


MODELS = {
    **{f"SVC {k}": (SVC(kernel=k), THREE) for k in ("rbf", "poly", "linear", "sigmoid")},
    "SVC of two": (SVC(), TWO),
    "NuSVC": (NuSVC(nu=0.2), THREE),
    "SVR": (SVR(), VALUE),
    "SVR without support vectors": (SVR(epsilon=100), VALUE),
    "one class": (OneClassSVM(), None),
    "Gaussian process": (GaussianProcessRegressor(alpha=0.5), VALUE),
    "of several kernels": (
        GaussianProcessRegressor(RBF(3) * 2.0 + WhiteKernel() + DotProduct(), optimizer=None),
        VALUE,
    ),
    "linear discriminant": (LinearDiscriminantAnalysis(), THREE),
    "linear discriminant of two": (LinearDiscriminantAnalysis(), TWO),
    "quadratic discriminant": (QuadraticDiscriminantAnalysis(reg_param=0.1), THREE),
    "quadratic discriminant of two": (QuadraticDiscriminantAnalysis(reg_param=0.1), TWO),
    "neighbours": (KNeighborsClassifier(4), THREE),
    "neighbours by distance": (KNeighborsClassifier(4, weights="distance", p=1), THREE),
    "values of neighbours": (KNeighborsRegressor(4, weights="distance"), VALUE),
    "bagged": (BaggingClassifier(LogisticRegression(), 3, max_features=0.6), THREE),
    "bagged votes": (BaggingClassifier(SVC(), 3), THREE),
    "bagged values": (BaggingRegressor(Ridge(), 3, max_features=0.6), VALUE),
    "robust": (HuberRegressor(max_iter=500), VALUE),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_the_very_answers(name):
    model, target = MODELS[name]
    assert gap(model.fit(X, target), X) < 1e-4


@pytest.mark.parametrize(
    "imputer", [SimpleImputer(add_indicator=True), KNNImputer(n_neighbors=3), IterativeImputer()]
)
def test_an_imputer_that_two_outputs_ask_is_right_for_both(imputer):
    model = make_pipeline(imputer, OneClassSVM())  # gives labels and values
    assert gap(model.fit(HOLED), HOLED) < 1e-6


def test_ties_between_the_rows_that_a_gap_is_filled_from_are_refused():
    grid = np.array([[i % 3, i % 2, i % 5] for i in range(60)], float)
    model = KNNImputer(n_neighbors=2).fit(grid)
    with pytest.raises(UnsupportedModel, match="KNNImputer: some training rows are equally far"):
        export(inspect_estimator(model), rows_of(grid))


def test_what_solves_a_problem_for_each_row_is_still_refused():
    model = NMF(2, max_iter=500).fit(np.abs(X))
    with pytest.raises(UnsupportedModel, match="solves an optimisation problem"):
        export(inspect_estimator(model), rows_of(np.abs(X)))
