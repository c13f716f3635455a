"""Options of :func:`converters.convert`, in groups: one frozen dataclass for each question.

Every field is also a keyword of ``convert`` itself: ``convert(…, version="1.1")`` says the same as
``convert(…, metadata=Metadata(version="1.1"))``. A keyword wins over the same field of a group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypedDict

from converters.certification.budget import EXAMPLE
from converters.certification.parity import Tolerances
from converters.certification.search import SECONDS
from converters.errors import ConversionError
from converters.release_spec import CascadeTarget
from converters.sources.onnx_signature import OnnxLayout, OutputKind
from edge_sdk.contract.manifest import Budget
from edge_sdk.model.release import Release


@dataclass(frozen=True)
class Metadata:
    """Entries of the manifest that the model itself does not say.

    Attributes:
        version: ``MAJOR.MINOR``, as text.
        parent: version that this one continues; a stateful one needs it.
        mode: ``stateless`` (trained from scratch) or ``stateful`` (from its parent).
        licence: of the model, as an SPDX identifier.
        purpose: what the model is for, in a sentence or several; for the model card.
        limits_of_use: what it must not be used for, or where it is known to fail, a sentence each;
            the card has them before those that the conversion itself found.
        device_budget: latency and memory that a device must keep for the release to be activated
            there; what the file itself may cost is :attr:`Search.budget`.
        origin: where the model came from, as texts by name: parameters and tags of its training.
        reported: metrics that its training reported, by name; nobody checks them.
    """

    version: str = "1.0"
    parent: str | None = None
    mode: Literal["stateless", "stateful"] = "stateless"
    licence: str | None = None
    device_budget: Budget = Budget()
    purpose: str = ""
    limits_of_use: Sequence[str] = ()
    origin: Mapping[str, str] = field(default_factory=dict)
    reported: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(isinstance(self.purpose, str), "purpose", "a text", self.purpose)
        limits = self.limits_of_use
        is_list = isinstance(limits, Sequence) and not isinstance(limits, str)
        is_texts = is_list and all(isinstance(limit, str) for limit in limits)
        _require(is_texts, "limits_of_use", "a list of texts", limits)
        is_told = all(isinstance(x, str) for pair in self.origin.items() for x in pair)
        _require(is_told, "origin", "texts by name", self.origin)
        is_finite = all(math.isfinite(value) for value in self.reported.values())
        _require(is_finite, "reported", "finite numbers by name", self.reported)


@dataclass(frozen=True)
class Data:
    """Data besides the rows that answers are checked on.

    Attributes:
        data: the training data ``(X, y)``, for the dataset fingerprint; default the check rows. A
            fitted estimator's answers are checked on these rows too: its thresholds come from them.
        profile: rows whose distribution the reference profile describes, [N, features]; default
            ``X``.
        groups: columns by which rows are told apart: names of columns of ``X``, with cut points for
            numbers (``["sex", "age:30,60"]``), or values [N] by name of what ``X`` does not have.
            The certificate says how each group fares, and devices count them. A column that is not
            one of the model's must be told to :meth:`edge_sdk.EdgeDevice.predict`.
        extra_columns: what devices do with columns by name that are no features: ``refuse`` the
            input, or ``ignore`` them, which is told once.
    """

    data: tuple[Any, Any] | None = None
    profile: Any = None
    groups: Any = None
    extra_columns: Literal["refuse", "ignore"] = "refuse"

    def __post_init__(self) -> None:
        is_pair = isinstance(self.data, tuple | list) and len(self.data) == 2
        _require(self.data is None or is_pair, "data", "the pair (X, y)", self.data)
        known = self.extra_columns in ("refuse", "ignore")
        _require(known, "extra_columns", "refuse or ignore", self.extra_columns)


@dataclass(frozen=True)
class Search:
    """Variants of the file that are tried, and the terms on which one is chosen.

    Attributes:
        variants: names of :data:`converters.quantization.variants.VARIANTS`; by default those that
            pay most often, with a ``budget`` all of them.
        tolerances: how far a variant may differ from the model.
        budget: upper limits for the chosen file, such as ``size<=200KB p99<=50us flips<=0.1%
            accuracy-drop<=0.2%``; see :mod:`converters.certification.budget`. The smallest file
            within them is chosen. Without a budget it is the smallest that is not slower.
        target: where the file must run, of :data:`converters.quantization.targets.TARGETS`.
        ship: names of variants that the release holds besides the chosen one, each with golden
            vectors and a certificate of its own; devices download those that they may take.
        seconds: of processor time, counted from the beginning: after them no other variant is
            begun, and the certificate says which were not tried.
    """

    variants: Sequence[str] | None = None
    tolerances: Tolerances = Tolerances()
    budget: str | None = None
    target: str | None = None
    ship: Sequence[str] = ()
    seconds: float = SECONDS

    def __post_init__(self) -> None:
        for which, names in (("variants", self.variants), ("ship", self.ship)):
            is_list = isinstance(names, Sequence) and not isinstance(names, str)
            none = names is None and which == "variants"
            _require(none or is_list, which, "a list of names", names)
        _require(isinstance(self.tolerances, Tolerances), "tolerances", "Tolerances(…)",
                 self.tolerances)  # fmt: skip
        is_text = self.budget is None or isinstance(self.budget, str)
        advice = "; limits of latency and memory on a device go into device_budget"
        wanted = f"limits of the file as text, such as {EXAMPLE}"
        _require(is_text, "budget", wanted, self.budget, advice)
        is_name = self.target is None or isinstance(self.target, str)
        _require(is_name, "target", "a name", self.target)
        is_number = isinstance(self.seconds, int | float) and self.seconds > 0
        _require(is_number, "seconds", "a positive number", self.seconds)


@dataclass(frozen=True)
class Calibration:
    """Certified threshold below which a device asks the cloud model.

    Attributes:
        calibrate_against: the cloud model's release; without one no threshold is certified.
        cascade: how sure an answer must be to stand without the cloud.
    """

    calibrate_against: Release | None = None
    cascade: CascadeTarget = CascadeTarget()

    def __post_init__(self) -> None:
        cloud = self.calibrate_against
        is_release = cloud is None or isinstance(cloud, Release)
        _require(is_release, "calibrate_against", "a release, as Release.open gives it", cloud)
        is_target = isinstance(self.cascade, CascadeTarget)
        _require(is_target, "cascade", "CascadeTarget(…)", self.cascade)


def _require(condition: bool, field: str, expected: str, value: Any, advice: str = "") -> None:
    if not condition:
        # Short values are shown; rows of data belong in no message.
        shown = f" {value!r:.60}" if isinstance(value, str | int | float) else ""
        raise ConversionError(
            f"{field}: expected {expected}; got {type(value).__name__}{shown}{advice}"
        )


class Keywords(TypedDict, total=False):
    """Every field of every group, as a keyword of ``convert``."""

    version: str
    parent: str | None
    mode: str
    licence: str | None
    device_budget: Budget
    purpose: str
    limits_of_use: Sequence[str]
    origin: Mapping[str, str]
    reported: Mapping[str, float]
    data: tuple[Any, Any] | None
    profile: Any
    groups: Any
    extra_columns: Literal["refuse", "ignore"]
    variants: Sequence[str] | None
    tolerances: Tolerances
    budget: str | None
    target: str | None
    ship: Sequence[str]
    seconds: float
    calibrate_against: Release | None
    cascade: CascadeTarget
    classes: Sequence[Any] | None
    state: Mapping[str, str]
    batched: bool | None
    output: OutputKind | Mapping[str, OutputKind] | None
    threshold: float
    kinds: Mapping[str, str]
    embedding: str | Literal[False] | None


@dataclass(frozen=True)
class Options:
    """All groups together."""

    metadata: Metadata = Metadata()
    datasets: Data = Data()
    search: Search = Search()
    calibration: Calibration = Calibration()
    layout: OnnxLayout = OnnxLayout()

    def __post_init__(self) -> None:
        for group in fields(self):
            expected, value = type(group.default), getattr(self, group.name)
            _require(isinstance(value, expected), group.name, f"{expected.__name__}(…)", value)

    def with_keywords(self, keywords: Mapping[str, Any]) -> Options:
        """Return the options with ``keywords`` in the place of the fields of the same name.

        Raises:
            ConversionError: a value of another type than its field.
            TypeError: a keyword is no field of any group.
        """
        left = dict(keywords)
        groups = {}
        for group in fields(self):
            options = getattr(self, group.name)
            names = [each.name for each in fields(options) if each.name in left]
            groups[group.name] = replace(options, **{name: left.pop(name) for name in names})
        if left:
            raise TypeError(f"convert() got an unexpected keyword argument {next(iter(left))!r}")
        return replace(self, **groups)
