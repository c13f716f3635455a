"""Options of convert: groups and keywords say the same, and a wrong one is told in words."""

from __future__ import annotations

import inspect
import math
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from converters import (
    Calibration,
    ConversionError,
    Data,
    Metadata,
    OnnxLayout,
    Search,
    Tolerances,
    convert,
)
from converters.options import Keywords, Options
from edge_sdk.contract.manifest import Budget
from tests.converters import builders
from tests.edge.builders import onnx_bytes
from tests.edge.builders import rows as linear_rows

X, Y = builders.iris()
GROUPS = (Metadata, Data, Search, Calibration, OnnxLayout)


def model():
    return builders.model("voting")


def test_every_field_of_a_group_is_a_keyword_and_none_has_two_meanings():
    names = [field.name for group in GROUPS for field in fields(group)]
    assert sorted(names) == sorted(Keywords.__annotations__)
    assert len(set(names)) == len(names)
    assert not set(names) & set(inspect.signature(convert).parameters)


def test_a_group_and_its_keywords_make_the_same_release(tmp_path):
    grouped = convert(
        model(),
        X,
        Y,
        name="m",
        out=tmp_path / "a",
        metadata=Metadata(version="1.1", parent="1.0", mode="stateful", licence="MIT"),
        datasets=Data(data=(X[:100], Y[:100]), profile=X[:40]),
        search=Search(variants=["float32"], tolerances=Tolerances(flips=0.5)),
    ).manifest
    flat = convert(
        model(),
        X,
        Y,
        name="m",
        out=tmp_path / "b",
        version="1.1",
        parent="1.0",
        mode="stateful",
        licence="MIT",
        data=(X[:100], Y[:100]),
        profile=X[:40],
        variants=["float32"],
        tolerances=Tolerances(flips=0.5),
    ).manifest
    assert (flat.version, flat.lineage, flat.licence) == (
        grouped.version,
        grouped.lineage,
        grouped.licence,
    )
    assert flat.files["model.onnx"] == grouped.files["model.onnx"]
    assert flat.files["profile.json"] == grouped.files["profile.json"]


def test_a_keyword_wins_over_its_group():
    options = Options(metadata=Metadata(version="1.1", licence="MIT"))
    merged = options.with_keywords({"version": "1.2"}).metadata
    assert (merged.version, merged.licence) == ("1.2", "MIT")


def test_a_keyword_that_is_none_is_a_type_error_as_in_every_function(tmp_path):
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        convert(model(), X, Y, name="m", out=tmp_path / "r", colour="blue")  # type: ignore[call-arg]


WRONG_OPTION = {
    "a version without quotes": ({"version": 1.1}, 'expected text such as "1.1".*put quotes'),
    "a whole version without quotes": ({"version": 2}, "put quotes"),
    "no version": ({"version": None}, "version: expected text"),
    "a parent without quotes": ({"parent": 1.0}, "parent: .*put quotes"),
    "a budget of the device as that of the file": (
        {"budget": Budget(p99_ms=1.0)},
        "budget: expected limits of the file as text.*device_budget",
    ),
    "a budget that is a number": ({"budget": 200}, "size<=200KB"),
    "a budget without meaning": ({"budget": "small"}, "size<=200KB"),
    "a budget of the file as that of the device": (
        {"device_budget": "p99<=1ms"},
        r"device_budget: expected a Budget\(p99_ms",
    ),
    "a device budget that nothing keeps": ({"device_budget": Budget(rss_mb=-1)}, "above 0"),
    "one variant that is no list": ({"variants": "float32"}, "variants: expected a list"),
    "tolerances that are a number": ({"tolerances": 0.1}, r"Tolerances\("),
    "a target that is a number": ({"target": 4}, "target: expected a name"),
    "a cascade that is a number": ({"cascade": 0.1}, r"CascadeTarget\("),
    "the path of the cloud's release": ({"calibrate_against": "cloud-1.0"}, "Release.open"),
    "training data without labels": ({"data": X}, r"data: expected the pair \(X, y\)"),
    "a licence that is a number": ({"licence": 3}, "SPDX"),
    "no folder": ({"out": None}, "out: expected the path of a folder"),
    "a group that is a dict": ({"metadata": {"version": "1.1"}}, r"metadata: expected Metadata\("),
    "classes as one text": ({"classes": "abc"}, "classes: expected a list"),
    "batched as a number": ({"batched": 0}, "batched: expected True, False or None"),
    "a folder with NUL in it": ({"out": "a\0b"}, "out: .* with NUL in it"),
    "a state that is a list": ({"state": ["h"]}, "state: expected names of outputs"),
}


@pytest.mark.parametrize("limit", [-1, math.nan, math.inf, "a", None, True])
@pytest.mark.parametrize("field", ["exact", "flips", "probability"])
def test_a_tolerance_is_a_number_from_zero(field, limit):
    with pytest.raises(ConversionError, match=f"tolerances: {field}: expected a number from 0"):
        Tolerances(**{field: limit})


@pytest.mark.parametrize("case", WRONG_OPTION)
def test_a_wrong_option_is_told_in_words(case, tmp_path):
    option, reason = WRONG_OPTION[case]
    with pytest.raises(ConversionError, match=reason):
        convert(model(), X, Y, **{"name": "m", "out": tmp_path / "r"} | option)
    assert list(tmp_path.iterdir()) == []


RECORDS = np.array([tuple(row) for row in X], dtype=[(name, "f4") for name in "abcd"])
TEXTS = np.array(["a", "b", "c"])[Y]
WRONG_DATA = {
    "rows and labels swapped": (Y, X, r"X, y: .*\(150,\) and \(150, 4\).*swapped"),
    "texts as labels, swapped": (TEXTS, X, "swapped"),
    "lists, swapped": (Y.tolist(), X.tolist(), "swapped"),
    "a series and a table, swapped": (
        pd.Series(Y, index=range(500, 650)),
        pd.DataFrame(X),
        "swapped",
    ),
    "an array of records": (RECORDS, Y, r"records with the fields \['a'.*pandas.DataFrame\(X\)"),
    "a recarray": (RECORDS.view(np.recarray), Y, "records"),
    "a sparse matrix": (sparse.csr_matrix(X), Y, r"X.toarray\(\)"),
    "records as labels": (X, RECORDS, "y: .*got records"),
    "rows as labels": (X, X, "y: expected 1 of them for each row"),
}


@pytest.mark.parametrize("case", WRONG_DATA)
def test_wrong_data_is_told_in_words(case, tmp_path):
    rows, labels, reason = WRONG_DATA[case]
    with pytest.raises(ConversionError, match=reason):
        convert(model(), rows, labels, name="m", out=tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_rows_and_labels_of_an_onnx_file_that_are_swapped_are_told(tmp_path):
    (tmp_path / "m.onnx").write_bytes(onnx_bytes(0))
    x = linear_rows(20)
    with pytest.raises(ConversionError, match="swapped"):
        convert(tmp_path / "m.onnx", np.zeros(20), x, name="m", out=tmp_path / "r")


def test_classes_of_an_onnx_file_may_be_an_array(tmp_path):
    (tmp_path / "m.onnx").write_bytes(onnx_bytes(0))
    x, classes = linear_rows(20), np.arange(3)
    release = convert(tmp_path / "m.onnx", x, name="m", out=tmp_path / "r", classes=classes)
    assert release.manifest.signature.classes == (0, 1, 2)


def test_training_data_may_be_an_array_of_records(tmp_path):
    release = convert(
        model(), X, Y, name="m", out=tmp_path / "r", data=(RECORDS, Y), variants=["float32"]
    )
    assert release.manifest.lineage.rows == 150
