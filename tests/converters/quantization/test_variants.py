"""Smaller files of the same model: built right, judged, chosen only where they pay."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import numpy_helper

from converters import Tolerances, convert
from converters.certification.choice import choose
from converters.certification.measure import judge
from converters.certification.parity import Difference
from converters.certification.row_counts import RowCounts
from converters.quantization.dynamic_int8 import LARGEST_INT7, int8_dynamic
from converters.quantization.weight_storage import (
    LARGEST_INT8,
    int8_storage,
    quantize,
    quantize_to_half,
)
from edge_sdk.contract.certificate import VariantResult
from tests.converters import builders


@pytest.fixture(scope="module")
def mlp(tmp_path_factory):
    X, y = builders.data_of("scaler and MLP")
    out = tmp_path_factory.mktemp("mlp") / "r"
    return convert(builders.model("scaler and MLP"), X, y, name="m", out=out)


@pytest.fixture(scope="module")
def proto(tmp_path_factory):
    X, y = builders.data_of("scaler and MLP")
    out = tmp_path_factory.mktemp("plain") / "r"
    model = builders.model("scaler and MLP")
    release = convert(model, X, y, name="m", out=out, variants=["float32"])
    return onnx.load(release.model_path)


def by_name(release):
    return {result.name: result for result in release.certificate().variants}


def test_int8_storage_has_under_a_third_of_the_bytes_and_no_label_flips(mlp):
    results = by_name(mlp)
    assert results["int8-storage"].bytes < results["float32"].bytes / 3
    assert results["int8-storage"].label_flips == 0
    assert results["int8-storage"].accepted


def test_the_chosen_variant_is_the_file_that_was_written(mlp):
    certificate = mlp.certificate()
    result = by_name(mlp)[certificate.chosen]
    assert mlp.manifest.variant == certificate.chosen
    assert mlp.model_path.stat().st_size == result.bytes
    assert mlp.manifest.metrics["max_difference"] == result.max_difference


def test_a_variant_out_of_tolerance_is_not_chosen_and_the_certificate_says_why(tmp_path):
    X, y = builders.data_of("scaler and MLP")
    strict = Tolerances(probability=1e-6)
    model = builders.model("scaler and MLP")
    release = convert(model, X, y, name="m", out=tmp_path / "r", tolerances=strict)
    assert release.manifest.variant == "float32"
    assert "allowed 1e-06" in by_name(release)["int8-storage"].reason


def test_models_without_large_matrices_have_float32_alone(tmp_path):
    X, y = builders.data_of("voting")
    release = convert(builders.model("voting"), X, y, name="m", out=tmp_path / "r")
    assert list(by_name(release)) == ["float32"]


def test_trees_have_a_compact_form_with_the_same_answers(tmp_path):
    X, y = builders.data_of("forest")
    release = convert(builders.model("forest"), X, y, name="m", out=tmp_path / "r")
    results = by_name(release)
    assert list(results) == ["float32", "compact-trees"]
    assert results["compact-trees"].bytes < results["float32"].bytes / 2
    assert results["compact-trees"].accepted
    assert results["compact-trees"].max_difference < 1e-6


@pytest.mark.parametrize("make", [int8_storage, int8_dynamic])
def test_a_variant_is_a_valid_model_and_leaves_its_source_alone(proto, make):
    before = proto.SerializeToString(deterministic=True)
    onnx.checker.check_model(make(proto), full_check=True)
    assert proto.SerializeToString(deterministic=True) == before


def test_integer_products_keep_seven_bits_so_that_no_cpu_overflows(proto):
    weights = [
        numpy_helper.to_array(tensor)
        for tensor in int8_dynamic(proto).graph.initializer
        if tensor.name.endswith("_int8")
    ]
    assert weights
    assert max(int(np.abs(w.astype(int)).max()) for w in weights) == LARGEST_INT7
    assert 2 * 255 * LARGEST_INT7 < 1 << 15


finite = st.floats(-1e3, 1e3, width=32)
matrices = arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2), elements=finite)


@given(matrices)
def test_scales_in_float16_cost_nothing_more_than_the_half_step(weights):
    quantized, scale = quantize_to_half(weights)
    error = np.abs(quantized * scale.astype(np.float64) - weights)
    assert (error <= scale.astype(np.float64) * 0.5001).all()


@given(matrices, st.sampled_from([LARGEST_INT7, LARGEST_INT8]))
def test_quantized_weights_are_within_half_a_step_of_what_they_were(weights, largest):
    quantized, scale = quantize(weights, largest)
    assert quantized.dtype == np.int8
    assert np.abs(quantized.astype(int)).max() <= largest
    error = np.abs(quantized * scale.astype(np.float64) - weights)
    assert (error <= scale * 0.5001 + 1e-30).all()


def result(name, size, row_us=10.0, accepted=True, batch_us=1.0):
    return VariantResult(name, size, size, 0.0, 0.0, 0.0, 1.0, row_us, batch_us, 1.0, accepted)


CHOICES = {
    "the smallest that is accepted": ([("a", 50, 10, True), ("b", 40, 10, True)], "b"),
    "not one out of tolerance": ([("a", 50, 10, True), ("b", 40, 10, False)], "a"),
    "not one slower by more than a tenth and noise": (
        [("a", 50, 11, True), ("b", 40, 11.6, True)], "a",
    ),
    "of files as small the faster": ([("a", 41, 7, True), ("b", 40, 10, True)], "a"),
    "not one slower in a batch": ([("a", 50, 10, True, 1.2)], "float32"),
    "not one of nearly the same size": ([("a", 95, 5, True)], "float32"),
    "float32 where nothing else is left": ([], "float32"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHOICES)
def test_the_choice_is(case):
    others, expected = CHOICES[case]
    results = {"float32": result("float32", 100)}
    results |= {name: result(name, *rest) for name, *rest in others}
    choice = choose(results)
    assert choice is not None
    assert choice.name == expected


SAME = Difference(0.0, 0.0, 0.0, ())
JUDGEMENTS = {
    "within every tolerance": (Difference(0.0, 0.1, 0.0, ()), RowCounts(300, 0), None, None, ""),
    "flips so few that the rows show it": (SAME, RowCounts(2_000, 10), None, None, ""),
    "so few flips, of fewer rows": (
        SAME, RowCounts(200, 1), None, None,
        "0.50% label flips among 200 rows, which do not rule out 2.35% (allowed 1.00%; 1,",
    ),
    "no flips, of too few rows": (
        SAME, RowCounts(150, 0), None, None,
        "0.00% label flips among 150 rows, which do not rule out 1.98% "
        "(allowed 1.00%; 299 rows would show it)",
    ),
    "too many flips": (
        SAME, RowCounts(1_000, 10), None, None,
        "1.00% label flips among 1,000 rows, which do not rule out 1.69% (allowed 1.00%; no number",
    ),
    "a large difference": (
        Difference(0.0, 0.5, 0.0, ()), RowCounts(0, 0), None, None, "differs by 0.5",
    ),
    "right answers lost": (
        SAME, RowCounts(2_000, 14, 1_800, 14), 0.9, 0.9, "0.70% right answers lost among 2,000",
    ),
    "as many lost as the rows allow": (SAME, RowCounts(2_000, 10, 1_800, 10), 0.9, 0.905, ""),
    "a lower R²": (SAME, RowCounts(0, 0), 0.8, 0.9, "score drops by 0.1"),
    "a higher R²": (SAME, RowCounts(0, 0), 0.9, 0.8, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", JUDGEMENTS)
def test_a_variant_is_judged(case):
    difference, counts, score, original, reason = JUDGEMENTS[case]
    flips = 0.5 if case == "right answers lost" else Tolerances().flips
    judged = judge(difference, counts, score, original, Tolerances(flips=flips), 0.05)
    assert judged.startswith(reason)
    assert bool(judged) == bool(reason)
