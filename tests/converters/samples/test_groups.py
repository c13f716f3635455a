"""Groups that a release declares: from columns, cut points or values beside the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from converters import ConversionError, convert
from converters.cli.main import main
from edge_sdk import EdgeDevice
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.messages import WindowReport
from edge_sdk.model.release import Release
from edge_sdk.telemetry.histogram_codec import decode_histograms
from tests.converters import builders
from tests.edge.builders import onnx_bytes
from tests.edge.builders import rows as linear_rows

SEXES = np.array(["f", "m"] * 75)


def converted(tmp_path, X, groups, name="names", **choices):
    y = builders.iris()[1]
    return convert(
        builders.model(name), X, y, name="m", out=tmp_path / "r", groups=groups, **choices
    )


def sizes(release, column):
    profiled = {g.group: g.rows for g in release.profile().groups if g.column == column}
    certified = {g.group: g.rows for g in release.certificate().groups if g.column == column}
    assert profiled == certified
    return profiled


def test_columns_of_the_model_and_others_are_declared_certified_and_profiled(tmp_path):
    frame = builders.measurements().assign(sex=SEXES)
    release = converted(tmp_path, frame, ["sex", "sepal:5.5,6.5"])
    assert release.manifest.groups == (
        GroupColumn("sex", values=("f", "m")),
        GroupColumn("sepal", edges=(5.5, 6.5)),
    )
    assert [c.name for c in release.manifest.signature.columns] == list(builders.measurements())
    assert sizes(release, "sex") == {"f": 75, "m": 75}
    sepal = frame["sepal"]
    low, high = int((sepal < 5.5).sum()), int((sepal >= 6.5).sum())
    assert sizes(release, "sepal") == {"..5.5": low, "5.5..6.5": 150 - low - high, "6.5..": high}
    profile = release.profile()
    for column in ("sex", "sepal"):
        each = [g.outputs for g in profile.groups if g.column == column]
        for i, output in enumerate(profile.outputs):
            assert tuple(np.sum([outputs[i] for outputs in each], axis=0)) == output.counts
    women, certificate = SEXES == "f", release.certificate()
    model, y = builders.model("names"), builders.iris()[1]
    (mine,) = [g for g in certificate.groups if g.group == "f"]
    assert mine.score == pytest.approx(model.score(builders.measurements()[women], y[women]))


# sentence: (groups, the columns they are counted by, group: rows)
FORMS = {
    "a text column": (lambda f: f, "sex", {"f": 75, "m": 75}),
    "values that are missing are a group": (
        lambda f: f.assign(sex=[None, "m"] * 75), "sex", {"missing": 75, "m": 75},
    ),
    "pandas' own missing values": (
        lambda f: f.assign(sex=pd.array(["f", pd.NA] * 75, "string")), "sex",
        {"f": 75, "missing": 75},
    ),
    "whole numbers": (lambda f: f.assign(sex=[1, 2] * 75), "sex", {"1": 75, "2": 75}),
    "truth values": (lambda f: f.assign(sex=[True, False] * 75), "sex", {"0": 75, "1": 75}),
    "pandas' categories": (
        lambda f: f.assign(sex=pd.Categorical(["f", "m"] * 75)), "sex", {"f": 75, "m": 75},
    ),
    "a group that is called other": (
        lambda f: f.assign(sex=["f", "other", "m"] * 50), "sex", {"f": 50, "m": 50, "other": 50},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "column", "expected"), FORMS.values(), ids=FORMS)
def test_a_column_of_any_kind_tells_groups_apart(tmp_path, change, column, expected):
    frame = change(builders.measurements().assign(sex=SEXES))
    release = converted(tmp_path, frame, column, variants=["float32"])
    assert sizes(release, column) == expected


def test_groups_may_be_given_beside_the_rows_or_as_they_were_declared(tmp_path):
    named = {"sex": SEXES, "age:30": np.linspace(10, 50, 150), "petal:4": None}
    release = converted(tmp_path, builders.measurements(), named, variants=["float32"])
    assert sizes(release, "sex") == {"f": 75, "m": 75}
    assert sizes(release, "age") == {"..30": 75, "30..": 75}
    again = convert(
        builders.model("names"), builders.measurements(), name="m", out=tmp_path / "again",
        groups=release.manifest.groups, variants=["float32"],
    )  # fmt: skip
    assert again.manifest.groups == release.manifest.groups
    assert {g.column for g in again.profile().groups} == {"petal"}  # the rows tell no others


def test_columns_of_arrays_are_numbered(tmp_path):
    release = convert(
        builders.model("logistic regression"), builders.digits()[0][:300], name="m",
        out=tmp_path / "r", groups=["x20:8"], variants=["float32"],
    )  # fmt: skip
    assert sum(sizes(release, "x20").values()) == 300
    more = np.column_stack([builders.digits()[0][:300], np.arange(300) % 2])
    release = convert(
        builders.model("logistic regression"), more, name="m", out=tmp_path / "s", groups="x64",
        variants=["float32"],
    )  # fmt: skip
    assert sizes(release, "x64") == {"0": 150, "1": 150}
    assert len(release.manifest.signature.columns) == 64


def test_rows_of_the_reference_profile_may_have_the_column_too(tmp_path):
    frame = builders.measurements().assign(sex=SEXES)
    release = converted(tmp_path, frame, "sex", profile=frame[:100], variants=["float32"])
    assert [f.name for f in release.profile().features] == list(builders.measurements())
    assert sum(release.profile().features[0].counts) == 100


# sentence: (groups, what the error says)
REFUSED = {
    "an unknown column": ("place", "there is no 'place' among"),
    "a number without cut points": ("sepal", "has 35 different numbers; give cut points, for"),
    "fractions without cut points": ({"dose": [0.5, 1.0] * 75}, "dose: has 2 different numbers"),
    "too many groups": ({"id": [f"u{i}" for i in range(150)]}, "150 different values, at most 32"),
    "too many cut points": (f"sepal:{','.join(map(str, range(40)))}", "at most 32 groups"),
    "cut points that fall": ("sepal:6,5", "expected ascending numbers"),
    "cut points that are no numbers": ("sepal:low", "cut points such as 30,60, got 'low'"),
    "cut points without end": ("sepal:1,inf", "cut points such as 30,60, got '1,inf'"),
    "cut points of a text": ("sex:1", "cut points are for numbers, got 'f'"),
    "a column twice": (["sex", "sex"], "expected each column once, got 'sex' twice"),
    "more columns than are counted": (
        {f"g{i}": SEXES for i in range(9)}, "groups: expected at most 8 columns",
    ),
    "values of fewer rows": ({"sex": ["f"]}, "sex: expected 150 values, one for each row of X; g"),
    "one text for all rows": ({"sex": "f"}, "sex: expected a value for each row, got 'f'"),
    "values that are lists": ({"sex": [["f"]] * 150}, "expected texts or numbers, got list"),
    "nothing but missing values": ({"sex": [None] * 150}, "all of them are missing"),
    "values without a name": (SEXES, "expected names of columns of X, or values by name"),
    "names that are none": ([1], "expected names of columns of X, got 1"),
    "values by what is no name": ({1: SEXES}, "expected names of columns of X, got 1"),
}  # fmt: skip


@pytest.mark.parametrize(("groups", "why"), REFUSED.values(), ids=REFUSED)
def test_groups_that_mean_nothing_are_refused_and_nothing_is_written(tmp_path, groups, why):
    with pytest.raises(ConversionError, match=why):
        converted(tmp_path, builders.measurements().assign(sex=SEXES), groups)
    assert not (tmp_path / "r").exists()


def test_on_the_command_line_columns_have_cut_points(tmp_path, capsys):
    import joblib

    joblib.dump(builders.model("names"), tmp_path / "m.joblib")
    frame = builders.measurements().assign(y=builders.iris()[1], sex=SEXES)
    frame.to_csv(tmp_path / "d.csv", index=False)
    command = [str(tmp_path / "m.joblib"), "--trust", "--name", "m", "--variants", "float32"]
    data = ["--data", str(tmp_path / "d.csv"), "--out", str(tmp_path / "r")]
    assert main([*command, *data, "--group", "sex", "--group", "sepal:5.5"]) == 0
    shown = capsys.readouterr().out
    assert "| sex=f | 75 |" in shown
    assert "| sepal=..5.5 | 52 |" in shown
    data[-1] = str(tmp_path / "s")
    assert main([*command, *data, "--group", "height"]) == 1
    assert "there is no 'height' among ['sepal', 'width'" in capsys.readouterr().err


def test_on_the_command_line_arrays_have_groups_beside_x(tmp_path, capsys):
    (tmp_path / "m.onnx").write_bytes(onnx_bytes(0))
    x = linear_rows(80)
    sexes, ages = np.array(["f", "m"] * 40), np.arange(80)
    np.savez(tmp_path / "d.npz", X=x, sex=sexes, age=ages)
    command = [str(tmp_path / "m.onnx"), "--data", str(tmp_path / "d.npz"), "--name", "m"]
    options = ["--group", "sex", "--group", "age:20", "--group", "x0:0", "--variants", "float32"]
    assert main([*command, "--out", str(tmp_path / "r"), *options]) == 0
    release = Release.open(tmp_path / "r")
    assert sizes(release, "sex") == {"f": 40, "m": 40}
    assert sizes(release, "age") == {"..20": 20, "20..": 60}
    assert sizes(release, "x0")["..0"] == int((x[:, 0] < 0).sum())


def test_a_file_is_scored_by_a_column_of_its_samples(tmp_path):
    path, x = tmp_path / "linear.onnx", linear_rows(120)
    path.write_bytes(onnx_bytes(0))
    with EdgeDevice.offline(
        convert(path, x, name="m", out=tmp_path / "plain", classes=range(3)).folder
    ) as device:
        y = device.predict_batch(x).labels.copy()
    y[:30] = (y[:30] + 1) % 3  # of those, only the f are answered wrongly
    frame = pd.DataFrame(x, columns=list("abcd")).assign(sex=["f"] * 60 + ["m"] * 60)
    release = convert(
        path, frame, y, name="m", out=tmp_path / "r", classes=range(3), groups=["sex", "a:0"],
        variants=["float32"],
    )  # fmt: skip
    assert [c.name for c in release.manifest.signature.columns] == list("abcd")
    scores = {g.group: g.score for g in release.certificate().groups if g.column == "sex"}
    assert scores == {"f": 0.5, "m": 1.0}
    assert sum(sizes(release, "a").values()) == 120
    with pytest.raises(ConversionError, match="X has 5 columns and the model takes 4, which it d"):
        convert(path, frame.assign(sex=1), name="m", out=tmp_path / "s", groups=["sex", "a:0"])


def test_feeds_may_have_their_group_beside_the_inputs(tmp_path):
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 1]) for n in "abs"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["s"])], "g", values[:2], values[2:]
    )
    path = tmp_path / "m.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(made.SerializeToString())
    feeds = [
        {"a": np.ones((1, 1), np.float32), "b": np.ones((1, 1), np.float32), "sex": "fm"[i % 2]}
        for i in range(6)
    ]
    options = {"groups": "sex", "output": "values"}
    release = convert(path, feeds, name="m", out=tmp_path / "r", **options)
    assert sizes(release, "sex") == {"f": 3, "m": 3}
    with EdgeDevice.offline(tmp_path / "r") as device:
        feed = {name: feeds[0][name] for name in "ab"}
        for i in range(200):
            device.predict(feed, groups={"sex": "fm"[i % 2]})
        (report,) = [b for b in device.reports() if isinstance(b, WindowReport) and b.groups]
    assert {g: c.observations for g, c in report.groups["sex"].items()} == {"f": 100, "m": 100}
    one_by_one = convert(path, feeds, name="m", out=tmp_path / "s", batched=False, **options)
    assert sizes(one_by_one, "sex") == {"f": 3, "m": 3}
    whole = {name: np.concatenate([feed[name] for feed in feeds]) for name in "ab"}
    options = options | {"groups": {"sex": [feed["sex"] for feed in feeds]}, "batched": False}
    with pytest.raises(ConversionError, match="sex: expected 1 values, one for each row"):
        convert(path, whole, name="m", out=tmp_path / "t", **options)


def test_a_device_counts_what_was_declared(tmp_path):
    frame, y = builders.measurements(), builders.iris()[1]
    model = LogisticRegression(max_iter=500).fit(frame, y)
    groups, rows_with_sex = ["sex", "sepal:5.5"], frame.assign(sex=SEXES)
    convert(
        model, rows_with_sex, y, name="m", out=tmp_path / "r", groups=groups, variants=["float32"]
    )
    with EdgeDevice.offline(tmp_path / "r") as device:
        assert device.status()["groups"] == ["sex"]
        for row in frame.assign(sex="f").to_dict("records"):
            device.predict(row)
        for row in frame.to_numpy(np.float32):
            device.predict(row, groups={"sex": "m"})
        (report,) = [b for b in device.reports() if isinstance(b, WindowReport)]
    assert {g: c.observations for g, c in report.groups["sex"].items()} == {"f": 150, "m": 150}
    assert {g: c.observations for g, c in report.groups["sepal"].items()} == {
        "..5.5": 104,
        "5.5..": 196,
    }


def test_missing_texts_are_counted_as_such_one_by_one_and_in_batches(tmp_path):
    ages = np.linspace(10, 70, 400)
    frame = pd.DataFrame({"age": ages, "city": [None, "Oslo", "Łódź", "Oslo"] * 100})
    y = ages > 40
    texts = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder(handle_unknown="ignore")
    )
    columns = make_column_transformer((texts, ["city"]), ("passthrough", ["age"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, y)
    convert(model, frame, y, name="m", out=tmp_path / "r", groups="city", variants=["float32"])
    with EdgeDevice.offline(tmp_path / "r") as device:
        device.predict_batch(frame[:200])
        device.predict_batch(frame[200:])
        (batches,) = [b for b in device.reports() if isinstance(b, WindowReport)]
        for row in frame.to_dict("records"):
            device.predict(row)
        (rows,) = [b for b in device.reports() if isinstance(b, WindowReport)]
    assert batches.features == rows.features
    assert decode_histograms(rows.features).each[1].tolist() == [200, 100, 100, 0]
    for report in (batches, rows):
        sizes = {group: counts.observations for group, counts in report.groups["city"].items()}
        assert sizes == {"Oslo": 200, "missing": 100, "Łódź": 100}
