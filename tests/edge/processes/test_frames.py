"""Frames between processes: what is sent comes, and what no owner would send is refused."""

from __future__ import annotations

import json
import socket
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edge_sdk.errors import ContractError, HubBusy, InputError, StateError, UpdateError
from edge_sdk.processes.frames import ARRAY_BYTES, HEAD, packed, receive
from edge_sdk.processes.refusals import error_from_plain, error_to_plain


def sent(frame: bytes) -> Any:
    """What the other end of a real connection gets, in pieces of any size."""
    here, there = socket.socketpair()
    with here, there:
        there.settimeout(60)
        here.settimeout(60)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        here.sendall(frame)
        here.shutdown(socket.SHUT_WR)
        return receive(there)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text().filter(lambda t: t != "$array"), inner)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_come_as_they_were(value: Any) -> None:
    assert sent(packed(value)) == value


DTYPES = ["<f4", "<f8", "<f2", ">f4", "|i1", "<i8", "<u2", "|b1", "<U5", "|S3", "<M8[ns]", "<c8"]


@given(st.sampled_from(DTYPES).flatmap(lambda d: arrays(d, array_shapes(min_dims=1, min_side=0))))
def test_arrays_come_with_their_dtype_and_shape(array: Any) -> None:
    came = sent(packed({"x": [array, {"deep": array}]}))["x"]
    for each in (came[0], came[1]["deep"]):
        assert np.asarray(each).dtype == array.dtype
        assert np.asarray(each).shape == array.shape
        assert np.asarray(each).tobytes() == array.tobytes()


def test_numbers_of_numpy_sets_and_arrays_of_objects_are_plain() -> None:
    message = {"x": np.float32(1.5), "labels": {"a"}, "row": np.array(["ab", 1], object)}
    came = sent(packed(message))
    assert came == {"x": 1.5, "labels": ["a"], "row": ["ab", 1]}


REFUSED = {
    "no length": b"\x01",
    "text that is no JSON": HEAD.pack(3, 0) + b"{x}",
    "text that is no UTF-8": HEAD.pack(2, 0) + b"\xff\xff",
    "nesting without end": HEAD.pack(200_000, 0) + b"[" * 200_000,
    "more than the head says": HEAD.pack(1, 0) + b"12",
    "a head that promises gigabytes": HEAD.pack(1, ARRAY_BYTES + 1) + b"1",
    "less than the head says": HEAD.pack(100, 0) + b"1",
}


def marker(dtype: Any, shape: Any, offset: Any) -> bytes:
    text = json.dumps({"$array": [dtype, shape, offset]}).encode()
    return HEAD.pack(len(text), 16) + text + bytes(16)


REFUSED |= {
    "an array of objects": marker("|O8", [1], 0),
    "a structured dtype": marker("<f4,<f4", [1], 0),
    "a dtype that is no text": marker(7, [1], 0),
    "an array beyond its frame": marker("<f4", [5], 0),
    "an array before its frame": marker("<f4", [1], -4),
    "a shape below nothing": marker("<f4", [-1], 0),
    "a shape that overflows": marker("<f4", [1 << 29] * 20, 0),
    "a shape of a hundred axes": marker("<f4", [1] * 100, 0),
    "a shape that is true": marker("|b1", [True], 0),
    "a marker that is no list": marker(None, None, None).replace(b"null", b"nulL"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_frame_is_refused(case: str) -> None:
    with pytest.raises((ContractError, EOFError)):
        sent(REFUSED[case])


@given(st.binary(max_size=200))
def test_noise_is_refused_whatever_it_is(noise: bytes) -> None:
    try:
        sent(HEAD.pack(len(noise), 0) + noise)
    except (ContractError, EOFError):
        return
    json.loads(noise)


@pytest.mark.parametrize("value", [object(), {"x": 1j}, {(1, 2): 3}, [lambda: 1]])
def test_what_cannot_be_sent_is_refused_before_it_is(value: Any) -> None:
    with pytest.raises(InputError, match="expected"):
        packed(value)


ERRORS = [
    InputError("shape", "expected 4 features"),
    StateError("closed"),
    UpdateError("probe", "differs"),
    HubBusy("later", 429, 120.0),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_come_with_class_message_and_attributes(error: Any) -> None:
    came = error_from_plain(sent(packed(error_to_plain(error))))
    assert (type(came), str(came), vars(came)) == (type(error), str(error), vars(error))


def test_an_error_of_another_version_is_an_error_of_the_device() -> None:
    for name in ("Newer", "reason_of", "__builtins__"):
        came = error_from_plain({"class": name, "message": "what", "attributes": {}})
        assert (type(came).__name__, str(came)) == ("EdgeError", "what")
