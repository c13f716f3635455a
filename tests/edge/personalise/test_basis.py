"""The vectors that units are told apart by: which a release can give, and what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.contract.manifest import Column, Manifest, OutputSpec, Role, TensorSpec
from edge_sdk.errors import ReleaseError
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model
from edge_sdk.personalise.basis import LEAST_LOG, bases_of, vectors
from tests.edge.builders import make_release, rows


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return make_release(tmp_path).manifest


def with_embedding(manifest: Manifest, shape: tuple[int | None, ...] = (None, 8)) -> Manifest:
    inner = OutputSpec("inner", "float32", shape, "embedding")
    signature = manifest.signature
    return replace(manifest, signature=replace(signature, outputs=(*signature.outputs, inner)))


def with_outputs(manifest: Manifest, *roles: Role) -> Manifest:
    outputs = tuple(OutputSpec(role, "float32", (None, 3), role) for role in roles)
    return replace(manifest, signature=replace(manifest.signature, outputs=outputs))


def test_a_table_of_numbers_gives_features_and_outputs(manifest: Manifest) -> None:
    assert bases_of(manifest) == ("features", "outputs")


def test_an_embedding_stands_beside_the_features_where_there_are_both(manifest: Manifest) -> None:
    given = ("features+embedding", "features", "embedding", "outputs")
    assert bases_of(with_embedding(manifest)) == given


def test_an_embedding_of_no_fixed_size_gives_nothing(manifest: Manifest) -> None:
    assert bases_of(with_embedding(manifest, (None, None))) == ("features", "outputs")


def test_texts_are_no_features(manifest: Manifest) -> None:
    signature = replace(
        manifest.signature,
        inputs=(TensorSpec("X", "string", (None, 1)),),
        columns=(Column("word", "string", "X"),),
    )
    assert bases_of(replace(manifest, signature=signature)) == ("outputs",)


def test_a_regressor_needs_no_vector(manifest: Manifest) -> None:
    regressor = with_outputs(manifest, "value")
    assert bases_of(regressor) == ("outputs",)
    outputs = {"value": np.zeros((5, 1), np.float32)}
    assert vectors("outputs", regressor, {}, outputs).shape == (5, 0)


@pytest.mark.parametrize("roles", [("scores",), ("label",), ("other",)])
def test_what_has_neither_probabilities_nor_a_number_has_no_basis(
    manifest: Manifest, roles: tuple[Role, ...]
) -> None:
    assert bases_of(with_outputs(manifest, *roles)) == ()


def test_a_model_with_state_or_of_one_input_at_a_time_has_none(manifest: Manifest) -> None:
    alone = replace(manifest, signature=replace(manifest.signature, batched=False))
    assert bases_of(alone) == ()


def test_vectors_are_the_inputs_and_the_logarithms_of_the_probabilities(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    x = rows(6)
    feed = InputSchema.of(release.manifest).batch(x)
    outputs = Model.load(release).run(feed)
    assert (vectors("features", release.manifest, feed, outputs) == x).all()
    logs = vectors("outputs", release.manifest, feed, outputs)
    assert logs.dtype == np.float32
    np.testing.assert_allclose(logs, np.log(outputs["probabilities"]), rtol=1e-6)


def test_a_probability_of_nothing_is_cut(manifest: Manifest) -> None:
    outputs = {"probabilities": np.array([[1.0, 0.0, 0.0]], np.float32)}
    assert vectors("outputs", manifest, {}, outputs).tolist()[0][0] == 0.0
    assert vectors("outputs", manifest, {}, outputs).min() == pytest.approx(LEAST_LOG)


def test_an_embedding_is_flat_and_behind_the_features(manifest: Manifest) -> None:
    inner = with_embedding(manifest, (None, 2, 3))
    feed = {"X": np.arange(8, dtype=np.float32).reshape(2, 4)}
    outputs = {"inner": np.arange(12, dtype=np.float32).reshape(2, 2, 3)}
    both = vectors("features+embedding", inner, feed, outputs)
    assert both.tolist()[1] == [4.0, 5.0, 6.0, 7.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]


def test_a_basis_that_the_release_cannot_give_is_refused(manifest: Manifest) -> None:
    with pytest.raises(ReleaseError, match="cannot give the basis 'embedding', only features"):
        vectors("embedding", manifest, {}, {})
