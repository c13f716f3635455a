"""Value encodings: what is read is what the header's rule says, and never another label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.manifest import OutputSpec
from edge_sdk.contract.pack import ValueField
from edge_sdk.errors import PackError
from edge_sdk.model.release import Release
from edge_sdk.packs.reader import Pack
from tests.edge.builders import make_release
from tests.edge.packs.builders import random_keys, value_release, with_outputs, write

SLOW = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FINITE32 = st.floats(-(2.0**99), 2.0**99, width=32)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("release"))


def stored(path: Path, release: Release, keys: np.ndarray, **more: Any) -> dict[str, np.ndarray]:
    """What a reader gets of each output, in the order of ``keys``."""
    write(path, release, keys, **more)
    with Pack.open(path, release) as pack:
        pack.verify()
        found = [pack.get(key.tobytes()) for key in keys]
    return {name: np.stack([f[name] for f in found if f]) for name in found[0] or {}}


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]
)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_outputs_of_every_dtype_and_shape_come_back_as_they_were(
    release: Release, tmp_path: Path, dtype: Any, shape: tuple[int, ...]
) -> None:
    given_values = np.random.default_rng(1).integers(0, 100, (20, *shape)).astype(dtype)
    shaped = with_outputs(release, OutputSpec("y", dtype, (None, *shape)))
    found = stored(tmp_path / "p", shaped, random_keys(20), y=given_values)["y"]
    assert (found.dtype, found.shape) == (given_values.dtype, given_values.shape)
    assert (found == given_values).all()


def test_several_outputs_side_by_side_are_each_read_from_their_own_place(
    release: Release, tmp_path: Path
) -> None:
    two = with_outputs(
        release,
        OutputSpec("flag", "bool", (None,)),
        OutputSpec("y", "float64", (None, 3), "value"),
        OutputSpec("n", "int16", (None, 2)),
    )
    random = np.random.default_rng(0)
    outputs = {
        "flag": random.random(50) < 0.5,
        "y": random.normal(size=(50, 3)),
        "n": random.integers(-9, 9, (50, 2), dtype=np.int16),
    }
    found = stored(tmp_path / "p", two, random_keys(50), **outputs, encodings={"y": "float16"})
    assert (found["flag"] == outputs["flag"]).all()
    assert (found["n"] == outputs["n"]).all()
    assert (found["y"] == outputs["y"].astype(np.float16)).all()


@SLOW
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=FINITE32))
def test_uint8_reads_as_the_headers_rule_says_and_within_its_stated_error(
    release: Release, tmp_path: Path, values: np.ndarray
) -> None:
    keys = random_keys(len(values))
    shaped = value_release(release, "float32", values.shape[1])
    found = stored(tmp_path / "p", shaped, keys, y=values, encodings={"y": "uint8"})["y"]
    with Pack.open(tmp_path / "p", shaped) as pack:
        (field,) = pack.header.fields
    assert field.scale is not None
    assert field.offset is not None
    table = (field.offset + field.scale * np.arange(256.0)).astype(np.float32)
    assert found.dtype == np.float32
    assert np.isin(found, table).all()
    difference = np.abs(found.astype(float) - values.astype(float)).max()
    assert difference == field.max_error
    span = float(values.max()) - float(values.min())
    assert field.max_error <= span / 510 * (1 + 1e-6) + np.abs(values).max() * 1e-6


@SLOW
@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.floats(-6e4, 6e4))
)
def test_float16_reads_as_half_precision_and_within_its_stated_error(
    release: Release, tmp_path: Path, values: np.ndarray
) -> None:
    shaped = value_release(release, "float64", 2)
    keys = random_keys(len(values))
    found = stored(tmp_path / "p", shaped, keys, y=values, encodings={"y": "float16"})["y"]
    assert found.dtype == np.float64
    assert (found == values.astype(np.float16)).all()
    with Pack.open(tmp_path / "p", shaped) as pack:
        assert pack.header.fields[0].max_error == np.abs(found - values).max()


@pytest.mark.parametrize(("encoding", "size"), [(None, 40), ("float16", 20), ("uint8", 10)])
def test_an_encoding_makes_values_as_short_as_it_says(
    release: Release, tmp_path: Path, encoding: Any, size: int
) -> None:
    shaped = value_release(release, "float32", 10)
    encodings = {"y": encoding} if encoding else {}
    values = np.random.default_rng(0).random((9, 10), dtype=np.float32)
    header = write(tmp_path / "p", shaped, random_keys(9), y=values, encodings=encodings)
    assert header.value_bytes == size


@pytest.mark.parametrize("values", [np.zeros((0, 1)), np.full((5, 1), 2.5)])
def test_no_values_and_equal_values_have_no_error(
    release: Release, tmp_path: Path, values: np.ndarray
) -> None:
    header = write(
        tmp_path / "p", value_release(release, "float64"), random_keys(len(values)),
        y=values, encodings={"y": "uint8"},
    )  # fmt: skip
    assert header.fields[0].max_error == 0


def test_a_scalar_output_comes_back_as_an_array_without_axes(
    release: Release, tmp_path: Path
) -> None:
    shaped = with_outputs(release, OutputSpec("y", "float32", (None,), "value"))
    values = np.array([1.0, 2.0, 3.0], np.float32)
    for encoding in ("uint8", "float16"):
        found = stored(tmp_path / "p", shaped, random_keys(3), y=values, encodings={"y": encoding})[
            "y"
        ]
        assert (found.shape, found.dtype) == ((3,), np.float32)
        assert np.allclose(found, values, atol=0.004)


CLOSE = np.array([[0.6, 0.3, 0.1], [0.499, 0.4995, 0.0015], [0.0, 1.0, 0.0]], np.float32)
TOO_LARGE = np.array([[1e5], [0.0]], np.float32)
REFUSED: dict[str, tuple[OutputSpec, np.ndarray, dict[str, Any], str]] = {
    "probabilities that would get another label": (
        OutputSpec("y", "float32", (None, 3), "probabilities"), CLOSE, {"y": "uint8"},
        "1 of 3 rows would get another label",
    ),
    "an encoding of integers": (
        OutputSpec("y", "int32", (None,)), np.zeros(3, np.int32), {"y": "uint8"},
        "only floats can be stored as uint8",
    ),
    "NaN under an encoding": (
        OutputSpec("y", "float32", (None, 1), "value"), np.array([[1], [np.nan]], np.float32),
        {"y": "uint8"}, "1 rows are not finite",
    ),
    "infinity under an encoding": (
        OutputSpec("y", "float32", (None, 1), "value"), np.array([[1], [np.inf]], np.float32),
        {"y": "float16"}, "1 rows are not finite",
    ),
    "numbers beyond half precision": (
        OutputSpec("y", "float32", (None, 1), "value"), TOO_LARGE, {"y": "float16"}, "too large",
    ),
    "an encoding of an output that is not there": (
        OutputSpec("y", "float32", (None, 1), "value"), TOO_LARGE, {"z": "uint8"},
        "encodings: expected some of",
    ),
    "an unknown encoding": (
        OutputSpec("y", "float32", (None, 1), "value"), TOO_LARGE, {"y": "int4"},
        "expected the encoding float16 or uint8, got 'int4'",
    ),
    "strings of another role": (
        OutputSpec("y", "string", (None,)), np.array(["a", "b"]), {},
        "strings cannot be stored, leave this output out",
    ),
    "another dtype than declared": (
        OutputSpec("y", "float32", (None, 1), "value"), np.zeros((2, 1)), {},
        "expected the declared dtype float32, got float64",
    ),
    "another shape than declared": (
        OutputSpec("y", "float32", (None, 2), "value"), np.zeros((2, 3), np.float32), {},
        r"expected rows of shape \(2,\), got \(3,\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_not_be_true_to_the_model_is_refused(
    release: Release, tmp_path: Path, case: str
) -> None:
    spec, values, encodings, message = REFUSED[case]
    shaped = with_outputs(release, spec)
    with pytest.raises(PackError, match=message):
        write(tmp_path / "p", shaped, random_keys(len(values)), y=values, encodings=encodings)
    assert not (tmp_path / "p").exists()


def test_a_label_is_the_index_of_its_class_and_nothing_else(
    release: Release, tmp_path: Path
) -> None:
    named = with_outputs(
        release, OutputSpec("label", "string", (None,), "label"), classes=("no", "yes")
    )
    found = stored(tmp_path / "p", named, random_keys(3), label=np.array([0, 1, 1], np.int32))
    assert found["label"].tolist() == [0, 1, 1]
    with pytest.raises(PackError, match="expected an index below 2, 1 rows have others"):
        write(tmp_path / "p", named, random_keys(2), label=np.array([0, 2], np.int32))
    with pytest.raises(PackError, match="the index of the class"):
        write(tmp_path / "p", named, random_keys(2), label=np.array(["no", "yes"]))


def test_two_answers_that_only_an_encoding_makes_equal_are_still_refused(
    release: Release, tmp_path: Path
) -> None:
    keys = np.repeat(random_keys(1), 2, axis=0)
    values = np.array([[1.0], [1.0 + 1e-6]], np.float32)
    with pytest.raises(PackError, match="two different answers"):
        write(tmp_path / "p", value_release(release), keys, y=values, encodings={"y": "float16"})


@pytest.mark.parametrize(
    "arguments",
    [
        ("y", "value", "float32", (1,), "uint8"),
        ("y", "value", "float32", (1,), None, 1.0, 0.0),
        ("y", "value", "int32", (1,), "float16"),
        ("y", "value", "float32", (0,)),
    ],
)
def test_a_field_that_contradicts_itself_is_no_field(arguments: Any) -> None:
    with pytest.raises(ContractError, match="expected"):
        ValueField(*arguments)
