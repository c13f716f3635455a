"""The bill of materials of a release: CycloneDX 1.6 with a model card, as JSON.

Written by hand, since no library for CycloneDX writes ``modelCard``; the tests hold it to the
schema. It has no time and no random number, so the same files give the same bytes. It lists every
file of the release but itself and the manifest, which names it.

Source: ECMA-424, CycloneDX Bill of Materials Specification 1.6.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from converters.documents.facts import ReleaseFacts, name_of
from edge_sdk.contract.manifest import FileRef, Variant

Json = dict[str, Any]

NAMESPACE: Final = uuid.UUID("5b2f7a52-6f5b-4f5e-9d55-2f0d8f3b1c6e")
"""Of serial numbers: the same files have the same one."""

NAME: Final = "edge-deployment-sdk"

PYPI: Final = (
    "catboost", "keras", "lightgbm", "onnx", "onnxruntime", "onnxruntime-extensions", "onnxscript",
    "scikit-learn", "skl2onnx", "timm", "torch", "transformers", "xgboost",
)  # fmt: skip
"""Tools that are distributions of the package index, and so have a package URL."""


def bill_of_materials(facts: ReleaseFacts) -> bytes:
    """Return the document as UTF-8 JSON, keys in order."""
    manifest = facts.manifest
    files = manifest.files
    content = "".join(f"{name}:{ref.sha256};" for name, ref in sorted(files.items()))
    own = f"{manifest.model}/{manifest.version}:{content}"
    models = [_variant(facts, variant) for variant in manifest.variants]
    others = [_file(name, files[name]) for name in sorted(_others(facts))]
    libraries = list(_libraries(facts))
    data = _data(facts)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, own)}",
        "version": 1,
        "metadata": {"component": _model(facts), "tools": {"components": _tools(facts)}},
        "components": [*models, *others, data, *libraries],
        "dependencies": _dependencies(facts, models, others, libraries, data),
    }
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _model(facts: ReleaseFacts) -> Json:
    """The model itself, of which the files are variants."""
    manifest = facts.manifest
    component: Json = {
        "type": "machine-learning-model",
        "bom-ref": _ref(facts),
        "name": manifest.model,
        "version": manifest.version,
        "modelCard": _card(facts),
    }
    if facts.purpose:
        component["description"] = facts.purpose
    if manifest.licence:
        component["licenses"] = [_licence(manifest.licence)]
    if manifest.lineage.parent is not None:
        parent = {
            "type": "machine-learning-model",
            "name": manifest.model,
            "version": manifest.lineage.parent,
        }
        component["pedigree"] = {"ancestors": [parent]}
    return component


def _ref(facts: ReleaseFacts) -> str:
    return f"model:{facts.manifest.model}@{facts.manifest.version}"


def _licence(text: str) -> Json:
    """An SPDX expression, or a name of another licence."""
    try:
        return {"expression": str(canonicalize_license_expression(text))}
    except InvalidLicenseExpression:
        return {"license": {"name": text}}


def _card(facts: ReleaseFacts) -> Json:
    manifest = facts.manifest
    signature = manifest.signature
    parameters: Json = {
        "task": manifest.task,
        "datasets": [{"ref": _DATA}],
        "inputs": [{"format": _format(spec.dtype, spec.shape)} for spec in signature.inputs],
        "outputs": [{"format": _format(spec.dtype, spec.shape)} for spec in signature.outputs],
    }
    if manifest.task != "generic":
        parameters["approach"] = {"type": "supervised"}
    if "estimator" in manifest.training:
        parameters["modelArchitecture"] = manifest.training["estimator"]
    considerations: Json = {"technicalLimitations": facts.limits()}
    if facts.purpose:
        considerations["useCases"] = [facts.purpose]
    tradeoffs = [
        f"{name}: not chosen, since {why}" for name, why in facts.certificate.not_chosen.items()
    ]
    if tradeoffs:
        considerations["performanceTradeoffs"] = tradeoffs
    return {
        "bom-ref": f"card:{manifest.model}@{manifest.version}",
        "modelParameters": parameters,
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(facts))},
        "considerations": considerations,
    }


def _format(dtype: str, shape: tuple[int | None, ...]) -> str:
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    return f"{dtype} [{sizes}]"


def _metrics(facts: ReleaseFacts) -> Iterator[Json]:
    chosen, certificate = facts.chosen, facts.certificate
    if certificate.original_score is not None:
        yield {"type": f"{facts.score_name} of the model", "value": f"{certificate.original_score}"}
    if chosen.score is not None:
        yield _metric(facts.score_name, chosen.score, low=chosen.score_bound)
    if chosen.flips_bound is not None:
        yield _metric("share of labels that differ", chosen.label_flips, high=chosen.flips_bound)
    yield _metric("largest difference of a number", chosen.max_difference)
    for group in certificate.groups:
        if group.score is not None:
            bound = group.score_bound
            yield _metric(facts.score_name, group.score, low=bound, slice=name_of(group))


def _metric(
    kind: str,
    value: float,
    *,
    low: float | None = None,
    high: float | None = None,
    slice: str | None = None,  # noqa: A002 (the name that CycloneDX has)
) -> Json:
    metric: Json = {"type": kind, "value": f"{value}"}
    if slice is not None:
        metric["slice"] = slice
    bounds = {"lowerBound": low, "upperBound": high}
    interval = {name: f"{bound}" for name, bound in bounds.items() if bound is not None}
    return metric | ({"confidenceInterval": interval} if interval else {})


def _variant(facts: ReleaseFacts, variant: Variant) -> Json:
    """A model file, with what a device must know of it."""
    opsets = ", ".join(
        f"{domain or 'ai.onnx'} {number}" for domain, number in variant.runtime.opsets.items()
    )
    properties = {
        "variant": variant.name,
        "precision": variant.precision,
        "target": variant.target,
        "provider": variant.provider,
        "ir_version": str(variant.runtime.ir_version),
        "opsets": opsets,
    }
    component = _file(variant.model, facts.manifest.files[variant.model])
    component["type"] = "machine-learning-model"
    component["properties"] = [
        {"name": f"{NAME}:{name}", "value": value} for name, value in properties.items()
    ]
    return component


def _file(name: str, ref: FileRef) -> Json:
    return {
        "type": "file",
        "bom-ref": f"file:{name}",
        "name": name,
        "hashes": [{"alg": "SHA-256", "content": ref.sha256}],
    }


def _others(facts: ReleaseFacts) -> set[str]:
    models = {variant.model for variant in facts.manifest.variants}
    return {*facts.manifest.files} - models


_DATA: Final = "data:training"


def _data(facts: ReleaseFacts) -> Json:
    """The data set by its fingerprint: the rows themselves go nowhere."""
    lineage = facts.manifest.lineage
    name = "training data" if facts.data_given else "check rows"
    component: Json = {
        "type": "data",
        "bom-ref": _DATA,
        "name": name,
        "description": f"{lineage.rows:,} rows",
        "data": [{"type": "dataset", "name": name}],
    }
    if lineage.fingerprint:
        component["hashes"] = [{"alg": "SHA-256", "content": lineage.fingerprint}]
    return component


def _libraries(facts: ReleaseFacts) -> Iterator[Json]:
    """What a device needs to run the files, and what the model was made with, which none needs."""
    version = facts.certificate.tools.get("onnxruntime")
    if version is not None:
        yield _library("onnxruntime", version, "library") | {"scope": "required"}
    for name, version in sorted(facts.frameworks.items()):
        yield _library(name, version, "framework") | {"scope": "excluded"}


def _tools(facts: ReleaseFacts) -> list[Json]:
    tools: Mapping[str, str] = facts.certificate.tools
    return [_library(name, version, "application") for name, version in sorted(tools.items())]


def _library(name: str, version: str, kind: str) -> Json:
    component: Json = {"type": kind, "name": name, "version": version}
    if kind != "application":
        component["bom-ref"] = f"{kind}:{name}"
    if name in PYPI:
        component["purl"] = f"pkg:pypi/{name}@{quote(version, safe='')}"
    return component


def _dependencies(
    facts: ReleaseFacts, models: list[Json], others: list[Json], libraries: list[Json], data: Json
) -> list[Json]:
    """The model is made of its files, by its framework; the library runs each model file."""
    made_by = [each for each in libraries if each["type"] == "framework"]
    of_model = [part["bom-ref"] for part in (*models, *others, data, *made_by)]
    run_by = [each["bom-ref"] for each in libraries if each not in made_by]
    return [
        {"ref": _ref(facts), "dependsOn": of_model},
        *({"ref": model["bom-ref"], "dependsOn": run_by} for model in models),
    ]
