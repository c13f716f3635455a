"""The manifest of a release: inputs and outputs of the model, its lineage, its files.

A release is named by the SHA-256 of its ``manifest.json``; the manifest holds length and SHA-256 of
every other file, so one digest fixes the whole release.

A release may hold several files of one model, its *variants*: the same inputs and outputs, in other
precision, or for another execution provider. Each has golden vectors and a certificate of its own.
The publisher signs all of them; a device downloads those that it may take.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.dtypes import Dtype
from edge_sdk.contract.errors import require
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.limits import (
    FEATURES,
    GROUP_COLUMNS,
    MANIFEST_BYTES,
    MODEL_BYTES,
    VARIANTS,
)
from edge_sdk.contract.names import CPU, Version, check_digest, check_name, check_provider
from edge_sdk.contract.serving_terms import Metric
from edge_sdk.contract.version import MANIFEST_FORMAT

Task = Literal["classification", "multilabel", "regression", "generic"]
Role = Literal["label", "probabilities", "scores", "value", "embedding", "other"]
Label = int | str

MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
PROFILE: Final = "profile.json"
GOLDEN: Final = "golden.npz"
CERTIFICATE: Final = "certificate.json"
CARD: Final = "model-card.md"
BOM: Final = "bom.cdx.json"
DOCUMENTS: Final = (CARD, BOM)
"""Files for people and their tools, which no device downloads."""

UNFINISHED: Final = (".part", ".made")
"""Endings of files that are being downloaded, or made of a patch."""

ANY: Final = "any"


@dataclass(frozen=True)
class FileRef:
    """Length in bytes and SHA-256 of a file."""

    length: int
    sha256: str

    def __post_init__(self) -> None:
        check_digest("sha256", self.sha256)
        # Checked before a download starts: the length decides how much is written.
        require(0 <= self.length <= MODEL_BYTES, f"length: expected 0 to {MODEL_BYTES}")


@dataclass(frozen=True)
class TensorSpec:
    """An input tensor. ``None`` in ``shape`` is a dimension of any size.

    ``batch`` is the axis of the rows, where the signature is batched.
    """

    name: str
    dtype: Dtype
    shape: tuple[int | None, ...]
    batch: int = 0


@dataclass(frozen=True)
class OutputSpec:
    """An output tensor and its role for the application; ``batch`` as in :class:`TensorSpec`.

    ``probabilities`` [rows, classes] sum to 1 in each row. ``scores`` [rows, classes] are of a
    multilabel model: the probability of each class for itself.
    An ``embedding`` is an inner tensor that monitoring sums up; no prediction shows it.
    """

    name: str
    dtype: Dtype
    shape: tuple[int | None, ...]
    role: Role = "other"
    batch: int = 0


@dataclass(frozen=True)
class Column:
    """A named feature: column ``index`` of axis 1 of the input tensor ``tensor``.

    ``lacking`` is True if a text column may miss values; ``categories``, if set, are the only texts
    that the model was fitted on.
    """

    name: str
    dtype: Dtype
    tensor: str
    index: int = 0
    lacking: bool | None = None
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True)
class StateLink:
    """Recurrent state: ``output`` of one call is ``input`` of the next."""

    input: str
    output: str


@dataclass(frozen=True)
class Signature:
    """Inputs, outputs and the names of features and classes.

    ``columns`` is empty for models whose inputs are not rows of features (``predict`` then takes a
    feed by input name). ``classes`` are the labels in the order of the probabilities or scores;
    a multilabel model gives those whose score is at least ``threshold``. Where the signature is
    ``batched``, every tensor but the state has the rows along its axis ``batch``; else the model
    takes one input at a time, and its outputs are given whole. ``state`` starts with zeros; its
    open dimensions have size one.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[OutputSpec, ...]
    columns: tuple[Column, ...] = ()
    classes: tuple[Label, ...] = ()
    batched: bool = True
    state: tuple[StateLink, ...] = ()
    threshold: float = 0.5

    def __post_init__(self) -> None:
        tensors = [spec.name for spec in self.inputs]
        require(bool(self.inputs) and bool(self.outputs), "expected an input and an output")
        require(len(set(tensors)) == len(tensors), "inputs: expected different names")
        require(len(self.columns) <= FEATURES, f"columns: expected at most {FEATURES}")
        names = [column.name for column in self.columns]
        require(len(set(names)) == len(names), "columns: expected different names")
        for column in self.columns:
            require(column.tensor in tensors, f"columns: {column.name} is in no input tensor")
        require(0 <= self.threshold <= 1, f"threshold: expected 0 to 1, got {self.threshold}")
        self._check_state()
        self._check_batch()

    def _check_state(self) -> None:
        inputs = {spec.name: spec for spec in self.inputs}
        outputs = {spec.name: spec for spec in self.outputs}
        for link in self.state:
            require(link.input in inputs, f"state: there is no input {link.input!r}")
            require(link.output in outputs, f"state: there is no output {link.output!r}")
            same = inputs[link.input].dtype == outputs[link.output].dtype
            require(same, f"state: {link.input!r} and {link.output!r} have different dtypes")
        # If every input were state, the application would have nothing to pass.
        require(len(self.state) < len(inputs), "state: expected an input besides the state")

    def _check_batch(self) -> None:
        if not self.batched:
            return
        state = {name for link in self.state for name in (link.input, link.output)}
        specs: tuple[TensorSpec | OutputSpec, ...] = (*self.inputs, *self.outputs)
        for spec in specs:
            has_axis = 0 <= spec.batch < len(spec.shape)
            require(
                spec.name in state or has_axis,
                f"{spec.name}: there is no axis {spec.batch} of rows",
            )

    @property
    def application_inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs that the application passes: all but the recurrent state."""
        state = {link.input for link in self.state}
        return tuple(spec for spec in self.inputs if spec.name not in state)

    def output(self, role: Role) -> OutputSpec | None:
        """Return the output that has ``role``, or ``None``."""
        return next((spec for spec in self.outputs if spec.role == role), None)


@dataclass(frozen=True)
class Lineage:
    """Parent version, kind of training and data set of a version.

    ``fingerprint`` is the SHA-256 of the training data (see ``converters``), ``rows`` their number.
    """

    mode: Literal["stateless", "stateful"] = "stateless"
    parent: str | None = None
    fingerprint: str = ""
    rows: int = 0


@dataclass(frozen=True)
class Cascade:
    """Certified rule for serving the on-device model's answer without the cloud.

    The cloud is asked when ``metric`` of the probabilities is below ``threshold``. Of the answers
    that stand without it, at most a share ``bound`` differs from the cloud model's: certified at
    confidence ``1 - alpha`` for inputs distributed like the calibration rows, and for no others.
    ``coverage`` is the share of the calibration rows that stands.
    """

    threshold: float
    metric: Metric = "max_probability"
    bound: float | None = None
    alpha: float = 0.05
    coverage: float | None = None


@dataclass(frozen=True)
class RuntimeNeeds:
    """Requirements on onnxruntime: IR version and the opset of each domain."""

    ir_version: int
    opsets: Mapping[str, int]


@dataclass(frozen=True)
class Variant:
    """One model file of a release.

    Attributes:
        name: of the variant, such as ``int8-storage``; it differs within a release.
        runtime: requirements of this file on onnxruntime.
        precision: number type in which it computes, such as ``float32`` or ``int8``.
        target: kind of machine that it was made for; ``any`` for all.
        provider: onnxruntime's execution provider that it was certified with. A file for the CPU
            is plain ONNX, which a device may try on any provider; a file for another one is taken
            by devices alone that are configured to use that one.
        model: name of the ONNX file.
        golden: name of its golden vectors.
        certificate: name of its certificate.
    """

    name: str
    runtime: RuntimeNeeds
    precision: str = "float32"
    target: str = ANY
    provider: str = CPU
    model: str = MODEL
    golden: str = GOLDEN
    certificate: str = CERTIFICATE

    def __post_init__(self) -> None:
        check_name("name", self.name)
        check_name("precision", self.precision)
        check_name("target", self.target)
        check_provider("provider", self.provider)
        require(len(set(self.files)) == len(self.files), "expected three different files")

    def runs_on(self, providers: Collection[str]) -> tuple[str, ...]:
        """Return those of ``providers``, in their order, on which a device may try this file."""
        return tuple(name for name in providers if self.provider in (name, CPU))

    @property
    def files(self) -> tuple[str, str, str]:
        """Names of the files that belong to this variant."""
        return self.model, self.golden, self.certificate


@dataclass(frozen=True)
class Budget:
    """Latency and memory that a device must not exceed for the release to be activated on it."""

    p99_ms: float | None = None
    rss_mb: float | None = None


@dataclass(frozen=True)
class Manifest:
    """``manifest.json`` of a release.

    ``variants`` are in the order of preference: the first is the one that the conversion chose, and
    ``metrics`` and ``cascade`` are of its answers. ``groups`` are the columns that define groups of
    rows.
    """

    model: str
    version: str
    task: Task
    signature: Signature
    files: Mapping[str, FileRef]
    variants: tuple[Variant, ...]
    lineage: Lineage = Lineage()
    metrics: Mapping[str, float] = field(default_factory=dict)
    cascade: Cascade | None = None
    budget: Budget = Budget()
    licence: str | None = None
    training: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[GroupColumn, ...] = ()
    format: Literal[2] = MANIFEST_FORMAT

    def __post_init__(self) -> None:
        check_name("model", self.model)
        Version.parse(self.version)
        self._check_variants()
        # File names become paths inside the release folder, so they must be plain names.
        for name in self.files:
            check_name("files", name)
            # Devices write these beside the files that they download.
            own = name == MANIFEST or name.endswith(UNFINISHED)
            require(not own, f"files: expected another name than {name}")
        grouped = {column.name for column in self.groups}
        require(len(grouped) == len(self.groups), "groups: expected different columns")
        require(len(grouped) <= GROUP_COLUMNS, f"groups: expected at most {GROUP_COLUMNS} columns")

    def _check_variants(self) -> None:
        require(bool(self.variants), "variants: expected at least one")
        require(len(self.variants) <= VARIANTS, f"variants: expected at most {VARIANTS}")
        names = [variant.name for variant in self.variants]
        require(len(set(names)) == len(names), "variants: expected different names")
        own = [name for variant in self.variants for name in variant.files]
        shared = (PROFILE, *DOCUMENTS)
        is_own = len({*own, *shared}) == len(own) + len(shared)
        require(is_own, "variants: expected files of their own")
        for name in (*own, PROFILE):
            require(name in self.files, f"files: expected {name}")

    @property
    def variant(self) -> str:
        """Name of the variant that the conversion chose."""
        return self.variants[0].name

    @property
    def runtime(self) -> RuntimeNeeds:
        """Requirements of the variant that the conversion chose."""
        return self.variants[0].runtime

    def variants_for(self, providers: Collection[str] | None) -> tuple[Variant, ...]:
        """Return the variants that a device may take, in the order of preference.

        Args:
            providers: onnxruntime's execution providers that the device uses; ``None`` for a place
                that keeps every variant, such as a hub.
        """
        if providers is None:
            return self.variants
        return tuple(variant for variant in self.variants if variant.runs_on(providers))

    def files_for(self, providers: Collection[str] | None) -> dict[str, FileRef]:
        """Return the files that a device needs; arguments as for :meth:`variants_for`."""
        if providers is None:
            return dict(self.files)
        taken = {name for variant in self.variants_for(providers) for name in variant.files}
        others = {name for variant in self.variants for name in variant.files} - taken
        unneeded = {*others, *DOCUMENTS}
        return {name: ref for name, ref in self.files.items() if name not in unneeded}

    @classmethod
    def from_json(cls, raw: bytes) -> Manifest:
        """Parse; raises :class:`ContractError`."""
        return decode(cls, raw, limit=MANIFEST_BYTES)

    def to_json(self) -> bytes:
        """Canonical bytes; their SHA-256 names the release."""
        return encode(self)
