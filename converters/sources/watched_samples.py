"""Samples and answers from which a model's inputs are watched, where they are no table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from converters.certification.tensor_profile import SAMPLES, Samples
from converters.onnx_export.embedding import found_embedding, with_output
from converters.sources.onnx_signature import OnnxLayout
from edge_sdk.contract.manifest import OutputSpec, Signature
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model
from edge_sdk.model.state import RecurrentState


def exposed(proto: Any, signature: Signature, layout: OnnxLayout) -> tuple[Any, str | None]:
    """Return the model with its embedding as an output, and its name; as it was where it has none.

    Raises:
        ConversionError: a declared embedding that is no tensor of the model.
    """
    declared, outputs = layout.embedding, [spec.name for spec in signature.outputs]
    if declared is False or declared in outputs:
        return proto, None
    name = declared
    scores = signature.output("probabilities")
    if name is None and scores is not None:
        name = found_embedding(proto, scores.name)
    if name is None or name in outputs:
        return proto, None
    return with_output(proto, name), name


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
    if several and not (signature.batched and len(next(iter(feed.values()))) >= len(X)):
        schema = InputSchema(signature)
        feeds = [schema.row(each) for each in X[:SAMPLES]]
    answers = []
    state = RecurrentState(signature)
    for each in feeds:
        answers.append(model.run({**each, **state.feed}))
        state.update(answers[-1])
    return Samples(signature, feeds, answers, layout.kinds, layout.embedding)
