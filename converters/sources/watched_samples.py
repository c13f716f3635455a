"""Samples and answers from which a model's inputs are watched, where they are no table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from converters.certification.tensor_profile import SAMPLES, Samples
from converters.errors import ConversionError
from converters.onnx_export.embedding import found_embedding, with_output
from converters.sources.onnx_signature import OnnxLayout
from edge_sdk.contract.manifest import OutputSpec, Signature
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model, row_count
from edge_sdk.model.state import RecurrentState


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


def samples_of(release: Release, X: Any, feed: Feed, layout: OnnxLayout) -> Samples:
    """Return the samples with the answers of ``release`` to them.

    Args:
        release: the chosen variant.
        X: as :func:`converters.convert` took it; a list of feeds is taken one by one, as the steps
            of a sequence where the model has state.
        feed: the same as tensors of N samples, where they fit together.
        layout: what is declared.
    """
    signature, model = release.manifest.signature, Model.load(release)
    several = isinstance(X, list) and len(X) > 1 and isinstance(X[0], Mapping)
    feeds: Sequence[Feed] = [feed]
    if several and not (signature.batched and row_count(feed, signature) >= len(X)):
        schema = InputSchema(signature)
        check = schema.batch if signature.batched else schema.row
        feeds = [check(each) for each in X[:SAMPLES]]
    answers = []
    state = RecurrentState(signature)
    for each in feeds:
        answers.append(model.run({**each, **state.feed}))
        state.update(answers[-1])
    return Samples(signature, feeds, answers, layout.kinds, layout.embedding)
