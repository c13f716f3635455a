"""Samples and answers from which a model's inputs are watched, where they are no table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from converters.certification.tensor_profile import WatchedSamples, embedding_output
from converters.errors import ConversionError
from converters.onnx_export.embedding import found_embedding, with_output
from converters.sources.onnx_samples import Samples
from converters.sources.onnx_signature import OnnxLayout
from edge_sdk.contract.manifest import OutputSpec, Signature
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.session import Model, row_count, take_rows


def exposed(proto: Any, signature: Signature, layout: OnnxLayout) -> tuple[Any, Signature]:
    """Return the model and its signature with the embedding as an output, if it is an inner tensor.

    Raises:
        ConversionError: a declared embedding that is no tensor of the model, or of a table.
    """
    declared, outputs = layout.embedding, [spec.name for spec in signature.outputs]
    if signature.columns:
        if declared:
            raise ConversionError(
                "embedding: expected inputs that are no table; its columns are watched"
            )
        return proto, signature
    if declared is False or declared in outputs:
        return proto, signature
    scores = signature.output("probabilities")
    name = declared
    if name is None and scores is not None and signature.batched:
        name = found_embedding(proto, scores.name)
    if name is None or name in outputs:
        return proto, signature
    proto, spec = with_output(proto, name)
    return proto, replace(signature, outputs=(*signature.outputs, spec))


def shown(signature: Signature) -> list[OutputSpec]:
    """Return the outputs that answers are compared by: all but an inner embedding."""
    return [spec for spec in signature.outputs if spec.role != "embedding"]


def watched_samples(release: Release, samples: Samples, layout: OnnxLayout) -> WatchedSamples:
    """Return the samples with the embeddings that ``release`` gives for them.

    Args:
        release: the chosen variant.
        samples: of the model.
        layout: what is declared.

    Raises:
        ConversionError: a declared embedding that is no output.
    """
    signature = release.manifest.signature
    name = embedding_output(signature, layout.embedding)
    if name is None:
        nothing: list[Feed] = [{}] * len(samples.feeds)
        return WatchedSamples(signature, samples.feeds, nothing, layout.kinds, layout.embedding)
    feeds, vectors = [], []
    axis = next(spec.batch for spec in signature.outputs if spec.name == name)
    for feed, outputs, rows in samples.calls(Model.load(release).run):
        is_filled = rows < row_count(feed, signature)
        feeds.append(take_rows(feed, slice(rows), signature) if is_filled else feed)
        array = outputs[name]
        vectors.append({name: array.take(np.arange(rows), axis) if is_filled else array})
    return WatchedSamples(signature, feeds, vectors, layout.kinds, layout.embedding)
