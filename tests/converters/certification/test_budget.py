"""Budgets, targets, groups: what is read, what is chosen, what is refused with the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from converters import ConversionError, convert
from converters.certification.budget import BudgetLimits, BudgetTerms
from converters.certification.choice import choose, pareto
from converters.certification.parity import Tolerances
from converters.certification.picture import quality_of, write_plot
from converters.cli.main import main
from converters.errors import BudgetExceeded
from converters.quantization.targets import TARGETS
from converters.quantization.variants import VARIANTS
from converters.quantization.weight_storage import BLOCK, LARGEST_INT4, quantize_int4
from edge_sdk.contract.certificate import VariantResult
from edge_sdk.model.release import Release
from tests.converters import builders


def result(name, size=100, row_us=10.0, accepted=True, **more):
    return VariantResult(name, size, size, 0.0, 0.01, 0.0, 0.9, row_us, 1.0, 1.0, accepted, **more)


READ = {
    "size<=200KB p99<=50us": {"size": 200_000, "p99": 50},
    "flips<=0.1% accuracy-drop<=0.002": {"flips": 0.001, "accuracy-drop": 0.002},
    "SIZE<=1MiB, load<=2s": {"size": 1_048_576, "load": 2_000},
    "row<=1.5ms": {"row": 1_500},
}


@pytest.mark.parametrize("text", READ)
def test_a_budget_is_read_with_its_units(text):
    assert BudgetLimits.parse(text).limits == pytest.approx(READ[text])


@pytest.mark.parametrize("text", READ)
def test_a_budget_that_is_written_and_read_again_is_the_same(text):
    assert BudgetLimits.parse(BudgetLimits.parse(text).format()) == BudgetLimits.parse(text)


@pytest.mark.parametrize("text", ["", "size", "size<200", "size<=2parsecs", "beauty<=1", "size<=x"])
def test_what_is_no_budget_is_refused_with_an_example(text):
    with pytest.raises(ConversionError, match="size<=200KB"):
        BudgetLimits.parse(text)


def test_the_smallest_within_the_budget_is_chosen_and_float32_is_always_a_candidate():
    results = {
        r.name: r
        for r in (
            result("float32", 100, 10),
            result("slow", 10, 99),
            result("wrong", 20, 10, accepted=False),
            result("small", 30, 12),
        )
    }
    terms = BudgetTerms(0.9)
    for text, name in {"row<=20us": "small", "row<=11us": "float32"}.items():
        choice = choose(results, BudgetLimits.parse(text), terms)
        assert choice is not None
        assert choice.name == name
        assert set(choice.not_chosen) == set(results) - {name}
    assert choose(results, BudgetLimits.parse("size<=5B"), terms) is None
    assert "size is 100 B, allowed 5 B" in BudgetLimits.parse("size<=5B").exceeded(
        results["float32"], terms
    )


def test_flips_within_a_budget_are_those_that_the_rows_can_show():
    terms, limits = BudgetTerms(0.9, 2_000, 0.05), BudgetLimits.parse("flips<=0.1%")
    few, enough = (result("float32", flips_bound=bound) for bound in (0.0015, 0.001))
    assert limits.exceeded(enough, terms) == ""
    broken = limits.exceeded(few, terms)
    assert "flips is 0.15%, allowed 0.1%: 0.00% label flips" in broken
    assert "2,995 rows would show it" in broken
    assert "no number of rows shows it" in BudgetLimits.parse("flips<=0%").exceeded(few, terms)
    drop = BudgetLimits.parse("accuracy-drop<=1%")
    assert drop.exceeded(result("float32", drop_bound=0.02), BudgetTerms(0.9)) != ""


def test_limits_of_the_budget_take_the_place_of_tolerances():
    allowed = BudgetLimits.parse("flips<=5% difference<=0.5").tolerances(Tolerances())
    assert (allowed.flips, allowed.probability, allowed.accuracy_drop) == (0.05, 0.5, 0.01)


numbers = st.floats(1, 100)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_nothing_on_the_pareto_front_is_beaten_and_everything_else_is(pairs):
    results = {str(i): result(str(i), size, row) for i, (size, row) in enumerate(pairs)}
    front = pareto(results.values())
    assert front
    for name, one in results.items():
        beaten = any(
            o.bytes <= one.bytes
            and o.row_us <= 1.05 * one.row_us
            and (o.bytes < one.bytes or 1.05 * o.row_us < one.row_us)
            for o in results.values()
        )
        assert (name in front) == (not beaten)


MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 70), st.integers(1, 5)),
    elements=st.floats(-1e3, 1e3, width=32),
)


@given(MATRICES)
def test_four_bits_are_within_half_a_step_of_what_they_were(weights):
    packed, scale = quantize_int4(weights)
    low, high = packed & 15, packed >> 4
    steps = np.stack([low, high], axis=1).reshape(-1, weights.shape[1]).astype(np.float64) - 8
    assert np.abs(steps).max() <= LARGEST_INT4
    weights_again = steps.reshape(len(scale), BLOCK, -1) * scale[:, None]
    error = np.abs(weights_again.reshape(-1, weights.shape[1])[: len(weights)] - weights)
    step = np.repeat(scale, BLOCK, axis=0)[: len(weights)]
    assert (error <= step * 0.5001 + 1e-30).all()


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    X, y = builders.data_of("scaler and MLP")
    out = tmp_path_factory.mktemp("every") / "r"
    groups = np.where(X[:, 3] > 8, "dark", "light")
    return convert(
        builders.model("scaler and MLP"), X, y, name="m", out=out, groups={"shade": groups},
        budget="size<=1MB flips<=100% difference<=1 accuracy-drop<=100%",
    )  # fmt: skip


def test_with_a_budget_every_variant_is_tried_and_the_smallest_within_is_chosen(every):
    results = {v.name: v for v in every.certificate().variants}
    assert set(results) >= set(VARIANTS) - {
        "mixed", "compact-trees", "rounded-trees", "optimised", "float16"
    }  # fmt: skip
    assert every.manifest.variant == min(results.values(), key=lambda v: v.bytes).name
    assert all(v.p99_us is not None and v.memory_kb is not None for v in results.values())


def test_storage_variants_are_as_small_as_their_bits(every):
    results = {v.name: v for v in every.certificate().variants}
    plain = results["float32"].bytes
    assert results["float16-storage"].bytes < 0.55 * plain
    assert results["int8-storage"].bytes < 0.30 * plain
    assert results["int4-storage"].bytes < 0.22 * plain
    for name in ("float16-storage", "int8-storage"):
        assert results[name].label_flips == 0


def test_the_certificate_tells_groups_apart(every):
    X, y = builders.data_of("scaler and MLP")
    groups = {g.group: g for g in every.certificate().groups}
    assert set(groups) == {"dark", "light"}
    assert sum(g.rows for g in groups.values()) == len(X)
    model, dark = builders.model("scaler and MLP"), X[:, 3] > 8
    assert groups["dark"].original_score == pytest.approx(model.score(X[dark], y[dark]))


def test_a_picture_of_the_variants_is_saved(every, tmp_path):
    write_plot(every.certificate(), tmp_path / "v.png")
    assert (tmp_path / "v.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_the_figures_that_there_are_and_the_budget(every, tmp_path):
    certificate = every.certificate()
    quality = quality_of(certificate)
    assert "score" in quality.title
    assert quality.limit == pytest.approx(certificate.original_score - 1)
    unlabelled = replace(
        certificate,
        variants=tuple(replace(v, score=None) for v in certificate.variants),
        original_score=None,
        limits={"flips": 0.01, "size": 1e5, "p99": 50.0, "load": 5.0},
    )
    assert (quality_of(unlabelled).title, quality_of(unlabelled).limit) == (
        "labels as the model's", 0.99,
    )  # fmt: skip
    write_plot(unlabelled, tmp_path / "v.svg")
    drawn = (tmp_path / "v.svg").read_text()
    assert "limits without an axis: load" in drawn
    assert "budget in red" in drawn
    numbers = replace(
        unlabelled, variants=tuple(replace(v, flips_bound=None) for v in unlabelled.variants)
    )
    assert quality_of(numbers).title == "largest difference"


def test_mixed_precision_keeps_sensitive_matrices_in_more_bits(tmp_path):
    X, y = builders.data_of("scaler and MLP")
    release = convert(
        builders.model("scaler and MLP"), X, y, name="m", out=tmp_path / "r",
        variants=["mixed", "int8-storage", "int4-storage"],
        budget="difference<=0.3 flips<=2% accuracy-drop<=3%",
    )  # fmt: skip
    results = {v.name: v for v in release.certificate().variants}
    assert not results["int4-storage"].accepted
    assert results["mixed"].accepted
    assert results["int4-storage"].bytes < results["mixed"].bytes < results["float32"].bytes


def test_where_nothing_keeps_the_budget_the_table_is_in_the_refusal(tmp_path):
    X, y = builders.iris()
    with pytest.raises(BudgetExceeded) as refusal:
        convert(builders.model("voting"), X, y, name="m", out=tmp_path / "r", budget="size<=9B")
    assert "size is" in refusal.value.table
    assert not (tmp_path / "r").exists()


def test_a_target_leaves_out_what_it_cannot_run(tmp_path):
    X, y = builders.data_of("forest")
    lines: list[str] = []
    release = convert(
        builders.model("forest"), X, y, name="m", out=tmp_path / "r", target="legacy",
        progress=lines.append,
    )  # fmt: skip
    assert [v.name for v in release.certificate().variants] == ["float32"]
    assert any("left out compact-trees: legacy: needs ai.onnx.ml 5" in line for line in lines)
    assert release.manifest.runtime.ir_version <= TARGETS["legacy"].ir_version
    assert onnx.load(release.model_path).ir_version == release.manifest.runtime.ir_version


def test_an_unknown_target_is_refused_with_those_that_there_are(tmp_path):
    X, y = builders.iris()
    with pytest.raises(ConversionError, match="pi4"):
        convert(builders.model("voting"), X, y, name="m", out=tmp_path / "r", target="fridge")


def test_on_the_command_line_a_broken_budget_is_exit_code_1_with_the_table(tmp_path, capsys):
    import joblib

    X, y = builders.iris()
    joblib.dump(builders.model("voting"), tmp_path / "m.joblib")
    np.savez(tmp_path / "d.npz", X=X, y=y)
    command = [str(tmp_path / "m.joblib"), "--data", str(tmp_path / "d.npz"), "--name", "m"]
    budget = ["--out", str(tmp_path / "r"), "--trust", "--budget", "size<=9B"]
    assert main([*command, *budget]) == 1
    assert "| float32 |" in capsys.readouterr().err


def test_on_the_command_line_groups_come_from_a_column_and_a_picture_is_saved(tmp_path, capsys):
    import joblib

    joblib.dump(builders.model("names"), tmp_path / "m.joblib")
    frame = builders.measurements().assign(y=builders.iris()[1], place=["n", "s"] * 75)
    frame.to_csv(tmp_path / "d.csv", index=False)
    command = [str(tmp_path / "m.joblib"), "--data", str(tmp_path / "d.csv"), "--name", "m"]
    options = ["--group", "place", "--plot", str(tmp_path / "v.png"), "--target", "pi4"]
    assert main([*command, "--out", str(tmp_path / "r"), "--trust", *options]) == 0
    assert "| place=n | 75 |" in capsys.readouterr().out
    assert (tmp_path / "v.png").exists()
    columns = Release.open(tmp_path / "r").manifest.signature.columns
    assert [c.name for c in columns] == list(builders.measurements().columns)
