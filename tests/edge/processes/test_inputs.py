"""Inputs of other libraries on their way to an owner: they answer there as they do here."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import TensorSpec
from edge_sdk.errors import ContractError, InputError
from edge_sdk.model.pictures import as_array
from edge_sdk.processes.frames import HEAD, packed, unpacked
from edge_sdk.processes.inputs import many_to_plain
from tests.edge.builders import make_release, rows


def sent(value: Any) -> Any:
    """What comes at the other end."""
    frame = packed(value)
    text_bytes, _ = HEAD.unpack_from(frame)
    split = HEAD.size + text_bytes
    return unpacked(frame[HEAD.size : split], frame[split:])


NAMES = ["f0", "f1", "f2", "f3"]
FRAME = pd.DataFrame(rows(3), columns=NAMES)

ONE: dict[str, Any] = {
    "a table of one row": FRAME[:1],
    "a row of a table": FRAME.iloc[1],
    "a row by other names of pandas": pd.Series(dict(zip(NAMES, [1, 2, 3, 4], strict=True))),
    "a numbered row": pd.Series([1.0, 2.0, 3.0, 4.0]),
    "moments": dict(
        zip(NAMES, [pd.Timestamp(5, unit="s"), datetime.date(1970, 1, 2), 1, 2], strict=True)
    ),
    "lengths of time": [pd.Timedelta(3, "s"), np.timedelta64(4, "s"), datetime.timedelta(0, 5), 1],
    "objects": np.array([1, 2.0, np.float32(3), pd.Timestamp(0)], object),
}
MANY: dict[str, Any] = {
    "a table": FRAME,
    "in another order": FRAME[NAMES[::-1]],
    "rows of a table": [FRAME.iloc[0], FRAME.iloc[1]],
    "whole numbers that may be missing": FRAME.round().astype("Int64"),
}


@pytest.fixture
def device(tmp_path: Path) -> Any:
    with EdgeDevice.offline(make_release(tmp_path).folder, background=False) as opened:
        yield opened


@pytest.mark.parametrize("case", ONE)
def test_one_input_answers_there_as_it_does_here(device: EdgeDevice, case: str) -> None:
    here, there = device.predict(ONE[case]), device.predict(sent(ONE[case]))
    assert np.array_equal(here.probabilities, there.probabilities)


@pytest.mark.parametrize("case", MANY)
def test_many_inputs_answer_there_as_they_do_here(device: EdgeDevice, case: str) -> None:
    here = device.predict_batch(MANY[case])
    there = device.predict_batch(sent(many_to_plain(MANY[case])))
    assert np.array_equal(here.probabilities, there.probabilities)


REFUSED: dict[str, Any] = {
    "several rows": FRAME,
    "a column less": FRAME[["f0", "f1"]][:1],
    "a column more": FRAME.assign(f4=1)[:1],
    "what is missing": pd.Series(dict(zip(NAMES, [1, 2, 3, pd.NA], strict=True))),
    "no moment": [pd.NaT, 1, 2, 3],
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_that_is_refused_here_is_refused_there_for_the_same_reason(
    device: EdgeDevice, case: str
) -> None:
    with pytest.raises(InputError) as here:
        device.predict(REFUSED[case])
    with pytest.raises(InputError) as there:
        device.predict(sent(REFUSED[case]))
    assert (there.value.kind, str(there.value)) == (here.value.kind, str(here.value))


PICTURES = TensorSpec("x", "uint8", (None, None, None, 3))
PIXELS = np.random.default_rng(1).integers(0, 256, (4, 5, 3)).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_a_picture_comes_as_its_pixels(mode: str) -> None:
    image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
    picture = image.fromarray(PIXELS).convert(mode)
    came = sent({"x": [picture, picture]})["x"]
    assert np.array_equal(as_array(PICTURES, 0, came), as_array(PICTURES, 0, [picture, picture]))


def test_a_picture_of_more_bits_is_refused_there_as_it_is_here() -> None:
    image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
    picture = image.new("F", (3, 2))
    for each in (picture, sent(picture)):
        with pytest.raises(InputError, match="eight bits a channel, got mode 'F'"):
            as_array(PICTURES, 0, each)


@pytest.mark.parametrize("raw", [b"", b"\x00\xff", bytearray(b"ab"), memoryview(b"abc")])
def test_bytes_come_as_bytes(raw: Any) -> None:
    assert sent({"x": raw}) == {"x": bytes(raw)}


class Tensor:
    """What another library's array looks like."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def __array__(self, *_: Any, **__: Any) -> Any:
        if self._values is None:
            raise RuntimeError("on another device")
        return self._values


def test_an_array_of_another_library_comes_as_one_of_numpy() -> None:
    assert np.array_equal(sent({"x": Tensor(rows(2))})["x"], rows(2))
    with pytest.raises(InputError, match="expected an array, got Tensor; on another device"):
        packed({"x": Tensor(None)})


@pytest.mark.parametrize(
    "text", [b'{"$bytes": "raw"}', b'{"$picture": 3}', b'{"$picture": [1, 2]}']
)
def test_what_no_process_would_send_is_refused(text: bytes) -> None:
    with pytest.raises(ContractError):
        unpacked(text, b"")
