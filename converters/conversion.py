"""``convert``: the front door. Looks at what came, and hands it to the conversion that fits."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from converters.certification.parity import Tolerances
from converters.certification.search import plan_of
from converters.errors import ConversionError
from converters.estimators.fitted_estimator import inspect_estimator, load
from converters.pipeline.onnx_pipeline import OnnxReading, convert_existing
from converters.pipeline.sklearn_pipeline import ConversionJob
from converters.release_spec import CascadeTarget, ReleaseSpec
from converters.samples.fingerprint import count_rows, fingerprint
from converters.samples.groups import declare, without_groups
from edge_sdk.contract.errors import EdgeError
from edge_sdk.contract.manifest import Budget, Lineage
from edge_sdk.model.release import Release

Progress = Callable[[str], None]

BROUGHT: Final = ("onnx", "sklearn", "skl2onnx")
"""Packages that the extra ``convert`` brings."""


def convert(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    name: str,
    out: str | Path,
    version: str = "1.0",
    parent: str | None = None,
    mode: str = "stateless",
    data: tuple[Any, Any] | None = None,
    classes: Sequence[Any] | None = None,
    state: Mapping[str, str] = MappingProxyType({}),
    batched: bool | None = None,
    variants: Sequence[str] | None = None,
    tolerances: Tolerances = Tolerances(),
    limits: str | None = None,
    target: str | None = None,
    groups: Any = None,
    calibrate_against: Release | None = None,
    cascade: CascadeTarget = CascadeTarget(),
    profile: Any = None,
    budget: Budget = Budget(),
    licence: str | None = None,
    trust: bool = False,
    progress: Progress = lambda message: None,
) -> Release:
    """Turn a trained model into a certified release folder.

    Args:
        model: a fitted scikit-learn classifier, regressor or Pipeline; the path of one as a pickle
            (with ``trust``) or skops file; or the path of an ``.onnx`` file.
        X: rows that the model was not trained on, [N, features] as array or DataFrame (for ONNX
            files also a list of feeds): answers are checked, the reference profile and golden
            vectors are taken from them.
        y: their labels or values, [N]; without it no score is certified.
        name: of the model.
        out: folder to write; it must not exist.
        version: ``MAJOR.MINOR``.
        parent: version that this one continues; a stateful one needs it.
        mode: ``stateless`` (trained from scratch) or ``stateful`` (from its parent).
        data: the training data ``(X, y)``, for the dataset fingerprint; default ``(X, y)``.
        classes: labels in the order of the probabilities, for ONNX files.
        state: for recurrent ONNX files: input name to the output whose value it gets in the next
            call; devices begin with zeros.
        batched: for ONNX files: whether axis 0 of every tensor is the batch; by default, if it is
            open in all of them or has one size in all.
        variants: which files to try, of :data:`converters.quantization.variants.VARIANTS`; by
        default those that pay most often, with ``limits`` all of them.
        tolerances: what a variant may differ by.
        limits: what the chosen file may cost, such as ``size<=200KB p99<=50us flips<=0.1%
            accuracy-drop<=0.2%``; see :mod:`converters.certification.budget`. The smallest file
            within is chosen.
        target: where the file must run, of :data:`converters.quantization.targets.TARGETS`.
        groups: by which columns rows are told apart: names of columns of ``X``, with cut points
            for numbers (``["sex", "age:30,60"]``), or values [N] by name of what ``X`` does not
            have. The certificate says how each group fares, and devices count them. A column that
            is not one of the model's must be told to :meth:`edge_sdk.EdgeDevice.predict`.
        profile: rows whose distribution the reference profile describes; default ``X``.
        calibrate_against: the cloud model's release: a cascade threshold is certified against it.
        cascade: how sure an answer must be to stand without the cloud.
        budget: what a device must keep for the release to be activated there.
        licence: of the model, as an SPDX identifier.
        trust: allow loading a pickle.
        progress: called with a line for each step.

    Raises:
        ConversionError: with the reasons; nothing was written.
    """
    with _as_conversion_errors():
        lineage = _lineage(mode, parent, data or (X, y))
        wish = ReleaseSpec(name, Path(out), version, lineage, _positive(budget), licence, cascade)
        plan = plan_of(variants, tolerances, limits, target)
        if isinstance(model, str | Path) and Path(model).suffix == ".onnx":
            if calibrate_against is not None:
                raise ConversionError("calibrate_against: expected a scikit-learn classifier")
            reading = OnnxReading(classes, state, batched)
            return convert_existing(Path(model), X, y, wish, reading, plan, groups, progress)
        loaded = load(model, trust=trust) if isinstance(model, str | Path) else model
        original = inspect_estimator(loaded)
        X, declared = declare(X, groups, names=original.names, width=original.width)
        job = ConversionJob(original, X, y, wish, plan, progress, declared)
        return job.run(without_groups(profile, X, declared), calibrate_against)


@contextlib.contextmanager
def _as_conversion_errors() -> Iterator[None]:
    """Errors of our other packages, and packages that are missing, as errors of conversion."""
    try:
        yield
    except EdgeError as error:
        raise ConversionError(str(error)) from error
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in BROUGHT:
            raise
        brings = 'pip install "edge-deployment-sdk[convert]"'
        raise ConversionError(f"{missing} is not installed: {brings}") from error


def _lineage(mode: str, parent: str | None, data: tuple[Any, Any]) -> Lineage:
    if mode not in ("stateless", "stateful"):
        raise ConversionError(f"mode: expected stateless or stateful, got {mode!r}")
    if mode == "stateful" and parent is None:
        raise ConversionError("parent: a stateful version continues another; say which")
    return Lineage(mode, parent, fingerprint(*data), count_rows(data[0]))  # type: ignore[arg-type]


def _positive(budget: Budget) -> Budget:
    for name, limit in (("p99_ms", budget.p99_ms), ("rss_mb", budget.rss_mb)):
        if limit is not None and not 0 < limit < math.inf:
            raise ConversionError(f"budget: {name}: expected a number above 0, got {limit}")
    return budget
