"""``convert``: the front door. Chooses the source that fits the model, and runs the pipeline."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Unpack

from converters.certification.search import SearchPlan, plan_of
from converters.errors import ConversionError
from converters.estimators.fitted_estimator import inspect_estimator
from converters.estimators.model_file import load
from converters.frameworks.exported_module import ExportedModule
from converters.frameworks.frameworks import FILES, UNREAD, export_module, load_module
from converters.memory import large_blocks_mapped
from converters.options import Calibration, Data, Keywords, Metadata, Options, Search
from converters.pipeline.release_pipeline import ReleasePipeline
from converters.release_spec import ReleaseSpec, lineage_of, path_of
from converters.samples.rows import refuse_other_tables
from converters.samples.tensors import as_arrays
from converters.sources.estimator_source import EstimatorSource
from converters.sources.model_source import ModelSource
from converters.sources.module_parity import HeldFile, held_file, module_samples
from converters.sources.onnx_signature import OnnxLayout
from converters.sources.onnx_source import OnnxSource
from converters.sources.preprocessed import Preprocessing, exported_file, with_preprocessing
from edge_sdk.contract.errors import EdgeError
from edge_sdk.model.release import Release

Progress = Callable[[str], None]

EXTRAS: Final = {
    "convert": ("onnx", "sklearn", "skl2onnx"),
    "torch": ("torch", "onnxscript", "keras"),
    "extensions": ("onnxruntime_extensions",),
}
"""Packages that each extra brings."""


def convert(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    name: str,
    out: str | Path,
    metadata: Metadata = Metadata(),
    datasets: Data = Data(),
    search: Search = Search(),
    calibration: Calibration = Calibration(),
    layout: OnnxLayout = OnnxLayout(),
    preprocess: Preprocessing | None = None,
    trust: bool = False,
    progress: Progress = lambda step: None,
    **keywords: Unpack[Keywords],
) -> Release:
    """Turn a trained model into a certified release folder.

    Args:
        model: a fitted scikit-learn classifier, regressor or Pipeline, or a ``Booster`` of LightGBM
            or XGBoost; a module of PyTorch, Keras or Hugging Face; the path of an estimator as a
            pickle (with ``trust``) or skops file, of a module as ``.pt2`` or ``.keras``, or of an
            ``.onnx`` file.
        X: rows that the model was not trained on, [N, features] as array or DataFrame (for networks
            also arrays by input name, or a list of feeds or arrays): answers are checked, the
            reference profile and golden vectors are taken from them.
        y: their labels or values, [N]; of a multilabel network a table [N, classes], or a list of
            labels for each row. Without it no score is certified.
        name: of the model.
        out: folder to write; it must not exist.
        metadata: version, lineage, licence, and what a device must keep.
        datasets: the training data, rows for the profile, and groups of rows.
        search: variants to try, and what the chosen file may cost.
        calibration: the cloud model that a cascade threshold is certified against.
        layout: meaning of the outputs, classes, state and batch axis of an ``.onnx`` file.
        preprocess: what comes before the network, such as :class:`converters.Picture`: it goes
            into the release, and ``X`` is then what the app gives.
        trust: allow loading a pickle, which runs code that it contains.
        progress: called with a line for each step.
        **keywords: fields of the five groups by their names, as in ``version="1.1"``,
            ``data=(X_train, y_train)`` or ``budget="size<=200KB"``; they win over the groups.

    Returns:
        The release in ``out``.

    Raises:
        ConversionError: with the reasons; nothing was written.
    """
    options = Options(metadata, datasets, search, calibration, layout).with_keywords(keywords)
    with _as_conversion_errors(), large_blocks_mapped(_bytes_of(model)):
        X, y = as_arrays(X), as_arrays(y)
        refuse_other_tables(X)
        spec = _spec(name, out, X, y, options)
        plan = _plan(options.search)
        if plan.ship and options.calibration.calibrate_against is not None:
            raise ConversionError(
                "ship: a cascade threshold is certified for the answers of one file; leave out "
                "ship, or calibrate_against"
            )
        if isinstance(model, str | Path) and Path(model).suffix != ".onnx":
            model = _loaded(Path(model), trust=trust)
        source = _source(model, X, y, options, plan, preprocess)
        # A source with an exact truth is one that our own exporter writes.
        plan = plan.for_our_export() if source.exact else plan
        cloud = options.calibration.calibrate_against
        return ReleasePipeline(source, spec, plan, progress).run(cloud)


def _source(
    model: Any, X: Any, y: Any, options: Options, plan: SearchPlan, before: Preprocessing | None
) -> ModelSource:
    """Choose the source that fits the model; another framework adds its line here."""
    groups, layout, exact = options.datasets.groups, options.layout, plan.tolerances.exact
    network = _network(model, X, before, batched=layout.batched is not False)
    if network is not None:
        if options.calibration.calibrate_against is not None:
            raise ConversionError(
                "calibrate_against: expected a scikit-learn classifier as the model, got a "
                f"network ({type(model).__name__}): a threshold is certified for those alone. "
                "Leave it out, and set a threshold of your own in the policy (cascade: threshold)"
            )
        held, samples = network
        return OnnxSource(held, samples, y, groups=groups, layout=layout, rounding=exact)
    estimator = inspect_estimator(model)
    data = options.datasets.data
    return EstimatorSource(
        estimator,
        X,
        y,
        groups=groups,
        classes=layout.classes,
        profile=options.datasets.profile,
        training=None if data is None else data[0],
        rounding=exact,
    )


def _network(
    model: Any, X: Any, before: Preprocessing | None, *, batched: bool
) -> tuple[HeldFile | Path, Any] | None:
    """Return a network as a file, and its samples; ``None`` if ``model`` is none."""
    if before is not None:
        return with_preprocessing(before, X, lambda tensors: _exported(model, tensors))
    if isinstance(model, str | Path):
        return Path(model), X
    exported = export_module(model, X, batched=batched)
    return None if exported is None else (held_file(exported), module_samples(exported, X))


def _exported(model: Any, tensors: Any) -> ExportedModule:
    """Return a network that something is put before: a module, or an ``.onnx`` file."""
    if isinstance(model, str | Path):
        return exported_file(Path(model), tensors)
    exported = export_module(model, tensors, batched=True)
    if exported is None:
        raise ConversionError(
            "preprocess: expected a module of PyTorch or Keras, or an .onnx file; put the steps "
            f"of {type(model).__name__} into a Pipeline of scikit-learn"
        )
    return exported


def _bytes_of(model: Any) -> int:
    """Return the bytes of a model's file; 0 of one that is in memory."""
    is_file = isinstance(model, str | Path) and Path(model).is_file()
    return Path(model).stat().st_size if is_file else 0


def _loaded(path: Path, *, trust: bool) -> Any:
    if path.suffix in FILES:
        return load_module(path, trust=trust)
    if path.suffix in UNREAD:
        raise ConversionError(
            f"{path}: holds weights, and not the network that they belong to; load it in Python "
            "and give the module, or save it with torch.export.save (.pt2) or Keras (.keras)"
        )
    return load(path, trust=trust)


def _spec(name: str, out: str | Path, X: Any, y: Any, options: Options) -> ReleaseSpec:
    metadata, data = options.metadata, options.datasets.data
    return ReleaseSpec(
        name,
        path_of(out),
        metadata.version,
        lineage_of(metadata.mode, metadata.parent, (X, y) if data is None else data),
        metadata.device_budget,
        metadata.licence,
        options.calibration.cascade,
        metadata.purpose,
        tuple(metadata.limits_of_use),
        data is not None,
        options.datasets.extra_columns == "ignore",
        dict(metadata.origin),
        dict(metadata.reported),
    )


def _plan(search: Search) -> SearchPlan:
    return plan_of(
        search.variants,
        search.tolerances,
        search.budget,
        search.target,
        search.ship,
        search.seconds,
    )


@contextlib.contextmanager
def _as_conversion_errors() -> Iterator[None]:
    """Raise errors of our other packages, and of missing packages, as errors of conversion."""
    try:
        yield
    except EdgeError as error:
        raise ConversionError(str(error)) from error
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        extra = next((name for name, packages in EXTRAS.items() if missing in packages), None)
        if extra is None:
            raise
        install = f'pip install "edge-deployment-sdk[{extra}]"'
        raise ConversionError(f"{missing} is not installed: {install}") from error
