"""Inputs as applications have them: tables and rows of pandas, moments, pictures, bytes."""

from __future__ import annotations

import datetime
import io
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest
from PIL import Image

from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import Column, OutputSpec, Signature, TensorSpec
from edge_sdk.errors import InputError
from edge_sdk.model.release import write_release
from edge_sdk.model.schema import InputSchema
from tests.edge.builders import make_release

OUT = (OutputSpec("y", "float32", (None,)),)
DENSE = Signature(
    (TensorSpec("X", "float32", (None, 3)),),
    OUT,
    tuple(Column(name, "float32", "X", i) for i, name in enumerate("abc")),
)
MIXED = Signature(
    (TensorSpec("seen", "float64", (None, 1)), TensorSpec("city", "string", (None, 1))),
    OUT,
    (
        Column("seen", "float64", "seen"),
        Column("city", "string", "city", categories=("Bern", "Ulm")),
    ),
)
PICTURES = Signature((TensorSpec("picture", "uint8", (None, None, None, 3)),), OUT)
WHOLE = Signature((TensorSpec("v", "float32", (2, 2)),), OUT, batched=False)
COLUMNS = Signature((TensorSpec("v", "float32", (3, None), batch=1),), OUT)
VECTORS = Signature((TensorSpec("v", "float32", (None, 4)),), OUT)
TEXTS = Signature((TensorSpec("text", "string", (None,)),), OUT)
FRAME = pd.DataFrame({"c": [3.0, 6.0], "a": [1, 4], "b": [2.0, 5.0]})

ROWS: dict[str, Any] = {
    "a frame of one row, in another order": FRAME.iloc[:1],
    "a row of a frame": FRAME.iloc[0],
    "a row of a frame without names": pd.DataFrame([[1, 2, 3]]).iloc[0],
    "a series by hand": pd.Series([1, 2, 3]),
    "nullable integers": pd.DataFrame({n: pd.array([i + 1], "Int64") for i, n in enumerate("abc")}),
    "whole numbers as categories": pd.DataFrame(
        {n: pd.Categorical([i + 1]) for i, n in enumerate("abc")}
    ),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_of_pandas_becomes_the_same_tensor(case: str) -> None:
    assert InputSchema(DENSE).row(ROWS[case])["X"].tolist() == [[1, 2, 3]]


def test_a_table_of_pandas_and_a_list_of_its_rows_become_the_same_tensor() -> None:
    schema, expected = InputSchema(DENSE), [[1, 2, 3], [4, 5, 6]]
    assert schema.batch(FRAME)["X"].tolist() == expected
    assert schema.batch([row for _, row in FRAME.iterrows()])["X"].tolist() == expected


def test_more_columns_than_features_are_refused_where_the_release_says_nothing() -> None:
    schema = InputSchema(DENSE)
    wider = FRAME.assign(user=[7, 8], place=["x", "y"])
    for call in (lambda: schema.batch(wider), lambda: schema.row(wider.iloc[0])):
        with pytest.raises(InputError, match="'user', 'place' are no features") as caught:
            call()
        assert caught.value.kind == "unknown_feature"


def test_more_columns_are_left_out_and_told_once_where_the_release_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    schema, wider = InputSchema(DENSE, extra=True), FRAME.assign(user=[7, 8])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert schema.batch(wider)["X"].tolist() == [[1, 2, 3], [4, 5, 6]]
            assert schema.row({"a": 1, "b": 2, "c": 3, "user": 1})["X"].tolist() == [[1, 2, 3]]
    assert schema.named.ignored == ("user",)
    assert [r.getMessage() for r in caplog.records] == [
        "columns that are no features are left out: 'user'"
    ]


def test_columns_that_a_prediction_leaves_out_an_explanation_leaves_out_too(tmp_path: Path) -> None:
    made = make_release(tmp_path)
    training = {**made.manifest.training, "extra": "ignored"}
    files: dict[str, bytes | Path] = {name: made.folder / name for name in made.manifest.files}
    release = write_release(tmp_path / "extra", replace(made.manifest, training=training), files)
    row = {"f0": 1.0, "f1": 2.0, "f2": 3.0, "f3": 4.0, "user": 7}
    with EdgeDevice.offline(release.folder) as device:
        assert device.explain(row).label == device.predict(row).label
        assert "user" not in device.explain(row).parts


def test_ever_new_columns_fill_neither_the_memory_nor_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    schema = InputSchema(DENSE, extra=True)
    with caplog.at_level(logging.WARNING):
        for i in range(500):
            schema.row({"a": 1, "b": 2, "c": 3, f"x{i}": 0})
    assert len(schema.named.ignored) == len(caplog.records) == 20


def test_all_missing_features_are_named_at_once() -> None:
    for given in ({"b": 1}, pd.Series({"b": 1}), pd.DataFrame({"b": [1]})):
        with pytest.raises(InputError, match="expected 2 features 'a', 'c', which are not there"):
            InputSchema(DENSE).row(given)


REFUSED: dict[str, tuple[Any, str]] = {
    "two rows": (FRAME, "expected a table of one row, got 2: use predict_batch"),
    "no row": (FRAME[:0], "got 0"),
    "two columns of one name": (
        pd.DataFrame([[1, 2, 3, 4]], columns=list("abcc")), "got twice: 'c'",
    ),
    "two values of one name": (pd.Series([1, 2, 3, 4], list("abcc")), "got twice: 'c'"),
    "an array of Arrow": (pyarrow.array([1, 2, 3]), "'a': expected a number"),
    "years, which are of no fixed length": (
        {"a": 1, "b": np.timedelta64(3, "Y"), "c": 1}, "'b': expected a time in weeks or less",
    ),
    "a series that is too long": (pd.Series([1, 2, 3, 4]), "expected 3 features, got 4"),
    "nothing where a number is due": (pd.Series({"a": 1, "b": pd.NA, "c": 3}), "'b'"),
    "a text as category": (
        pd.DataFrame({"a": pd.Categorical(["x"]), "b": [1], "c": [1]}), "'a': expected a number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_does_not_fit_is_refused_in_words(case: str) -> None:
    given, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        InputSchema(DENSE).row(given)


@pytest.mark.parametrize(
    "moment",
    [
        pd.Timestamp("2026-03-01 12:00:00.5"),
        pd.Timestamp("2026-03-01 13:00:00.5", tz="Europe/Berlin"),
        np.datetime64("2026-03-01T12:00:00.500"),
        datetime.datetime(2026, 3, 1, 12, 0, 0, 500_000),
    ],
)
def test_a_moment_is_counted_in_unix_seconds(moment: Any) -> None:
    schema, expected = InputSchema(MIXED, missing=True), 1_772_366_400.5
    row = {"seen": moment, "city": "Ulm"}
    assert schema.row(row)["seen"].tolist() == [[expected]]
    frame = pd.DataFrame({"city": pd.Categorical(["Ulm", "Bern"]), "seen": [moment, pd.NaT]})
    feed = schema.batch(frame)
    assert feed["seen"][0, 0] == expected
    assert np.isnan(feed["seen"][1, 0])
    assert feed["city"].ravel().tolist() == ["Ulm", "Bern"]


def test_days_and_lengths_of_time_are_seconds() -> None:
    schema = InputSchema(MIXED)
    for given, seconds in (
        (datetime.date(1970, 1, 2), 86_400),
        (datetime.timedelta(minutes=2), 120),
        (pd.Timedelta("1h"), 3_600),
        (np.timedelta64(1_500, "ms"), 1.5),
    ):
        assert schema.row({"seen": given, "city": "Ulm"})["seen"].tolist() == [[seconds]]


def test_a_category_that_the_model_does_not_know_is_refused() -> None:
    frame = pd.DataFrame({"seen": [1.0], "city": pd.Categorical(["Rom"])})
    with pytest.raises(InputError, match="got 'Rom'") as caught:
        InputSchema(MIXED).row(frame)
    assert caught.value.kind == "unknown_category"


def picture(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK", "1"])
def test_a_picture_of_pillow_becomes_its_rgb_bytes(mode: str) -> None:
    given = picture(mode)
    feed = InputSchema(PICTURES).row(given)
    assert feed["picture"].shape == (1, 5, 7, 3)
    assert (feed["picture"][0] == np.asarray(given.convert("RGB"))).all()


def encoded(form: str) -> bytes:
    file = io.BytesIO()
    picture().save(file, form)
    return file.getvalue()


def test_an_encoded_picture_is_decoded_with_the_pillow_that_the_application_loaded() -> None:
    schema = InputSchema(PICTURES)
    assert (schema.row(encoded("PNG"))["picture"][0] == np.asarray(picture())).all()
    both = schema.batch([encoded("PNG"), picture()])["picture"]
    assert both.shape == (2, 5, 7, 3)
    assert (both[0] == both[1]).all()


def test_damaged_and_foreign_bytes_are_refused_and_no_foreign_error_crosses() -> None:
    schema, good = InputSchema(PICTURES), encoded("JPEG")
    bomb = encoded("PNG")
    huge = bomb[:16] + (65_000).to_bytes(4, "big") * 2 + bomb[24:]
    for raw in (b"", b"GIF89a", good[: len(good) // 2], huge, bytes(range(256)) * 40):
        with pytest.raises(InputError, match="'picture'"):
            schema.row(raw)


def test_a_sixteen_bit_picture_is_refused_because_eight_bits_would_lose_it() -> None:
    deep = Image.fromarray(np.full((4, 4), 60_000, np.uint16))
    with pytest.raises(InputError, match="eight bits a channel, got mode 'I;16'"):
        InputSchema(PICTURES).row(deep)


def test_a_picture_for_a_release_without_preprocessing_is_told_what_to_do() -> None:
    signature = Signature((TensorSpec("x", "float32", (None, 3, 8, 8)),), OUT)
    with pytest.raises(InputError, match="no preprocessing; convert it with preprocess=Picture"):
        InputSchema(signature).row(picture())


def test_raw_bytes_of_the_tensors_length_are_its_values() -> None:
    raw = np.array([1, 2, 3, 4], "<f4").tobytes()
    schema = InputSchema(VECTORS)
    assert schema.row(raw)["v"].tolist() == [[1, 2, 3, 4]]
    assert schema.row({"v": memoryview(raw)})["v"].tolist() == [[1, 2, 3, 4]]
    assert schema.batch([raw, raw])["v"].tolist() == [[1, 2, 3, 4]] * 2
    with pytest.raises(InputError, match="the bytes of float32 .4., little-endian, got 15 bytes"):
        schema.row(raw[:-1])


def test_raw_bytes_stand_where_the_tensor_has_its_rows() -> None:
    raw = np.array([1, 2, 3, 4], "<f4").tobytes()
    assert InputSchema(WHOLE).row(raw)["v"].tolist() == [[1, 2], [3, 4]]
    both = InputSchema(COLUMNS).batch([raw[:12], raw[4:]])
    assert both["v"].tolist() == [[1, 2], [2, 3], [3, 4]]


def test_bytes_for_a_model_of_texts_are_utf_8() -> None:
    assert InputSchema(TEXTS).row("Grüße".encode())["text"].tolist() == ["Grüße"]
    with pytest.raises(InputError, match="expected UTF-8"):
        InputSchema(TEXTS).row(b"\xff\xfe")


def test_the_device_imports_neither_pandas_nor_pillow(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    code = (
        "import sys; from edge_sdk import EdgeDevice\n"
        f"with EdgeDevice.offline({str(release.folder)!r}) as device:\n"
        "    device.predict([1, 2, 3, 4]); device.predict_batch([{'f0': 1, 'f1': 2, 'f2': 3,"
        " 'f3': 4}])\n"
        "print([name for name in ('pandas', 'PIL', 'polars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
