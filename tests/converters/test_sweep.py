"""The sweep over scikit-learn, in short: traps, what only we convert, what is refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401

from benchmarks.sweep.__main__ import main
from benchmarks.sweep.cases import names
from benchmarks.sweep.table import to_markdown
from benchmarks.sweep.trial import Verdict, trial

IN_PARITY = [
    "BisectingKMeans",
    "ClassifierChain",
    "EllipticEnvelope",
    "IterativeImputer",
    "KBinsDiscretizer",
    "KNNImputer",
    "LabelSpreading",
    "NearestCentroid",
    "OneVsOneClassifier",
    "PolynomialCountSketch",
    "RFECV",
    "SplineTransformer",
    "TargetEncoder",
    "TfidfVectorizer",
    "TransformedTargetRegressor",
    "TunedThresholdClassifierCV",
]
REFUSED = {
    "DBSCAN": "neither predict nor transform",
    "HashingVectorizer": "use TfidfVectorizer",
    "LabelEncoder": "transforms targets",
    "NMF": "solves an optimisation problem",
}


@pytest.mark.parametrize("name", IN_PARITY)
def test_a_release_agrees_on_rows_that_it_was_not_checked_on(name):
    verdict = trial(name)
    assert verdict.ours == "in parity", verdict.note


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused_with_its_reason(name):
    verdict = trial(name)
    assert verdict.ours == "refused"
    assert REFUSED[name] in verdict.note


def test_plain_skl2onnx_is_silently_wrong_where_it_forgets_a_threshold():
    verdict = trial("TunedThresholdClassifierCV")
    assert (verdict.plain, verdict.ours) == ("differs", "in parity")


def test_a_sweep_goes_on_where_it_was_and_ends_what_takes_too_long(tmp_path, capsys):
    kept = ["--state", str(tmp_path), "--seconds", "60"]
    assert main([*kept, "--only", "Ridge", "Normalizer"]) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert main([*kept, "--only", "Ridge", "Normalizer"]) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert main(["--state", str(tmp_path), "--seconds", "0.01", "--only", "Lasso"]) == 0
    assert "took over" in capsys.readouterr().err


def test_a_sweep_with_a_wrong_release_fails(tmp_path):
    (tmp_path / "Ridge.json").write_text('{"name": "Ridge", "plain": "differs", "ours": "WRONG"}')
    assert main(["--state", str(tmp_path), "--only", "Ridge"]) == 1


def test_the_table_counts_and_gives_reasons():
    text = to_markdown(
        [Verdict("A", "differs", "in parity"), Verdict("B", "in parity", "refused", "", "a | b")]
    )
    assert "| ours | 1 | 0 | 1 |" in text
    assert "| plain skl2onnx | 1 | 1 | 0 |" in text
    assert "| B | in parity | refused | a \\| b |" in text


def test_the_docs_name_every_estimator_of_this_scikit_learn_and_none_is_wrong():
    text = (Path(__file__).parents[2] / "docs" / "ESTIMATORS.md").read_text()
    assert [name for name in names() if f"| {name} |" not in text] == []
    assert "WRONG" not in text
