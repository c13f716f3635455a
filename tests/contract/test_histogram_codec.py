"""Packed histograms: what goes in comes out, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.histogram_codec import pack, unpack
from edge_sdk.contract.limits import MESSAGE_BYTES
from edge_sdk.contract.messages import WindowReport
from tests.contract.examples import REPORT

counts = st.lists(st.integers(0, 2**61), max_size=40)


@given(st.lists(counts, max_size=10))
def test_what_was_packed_is_unpacked(histograms: list[list[int]]) -> None:
    assert unpack(pack(histograms)) == tuple(map(tuple, histograms))


@given(st.text(alphabet="ABCDwxyz0189+/=", max_size=30))
def test_any_other_text_is_refused_or_is_the_only_text_of_what_it_says(text: str) -> None:
    try:
        found = unpack(text)
    except ContractError:
        return
    assert pack(found) == text


REFUSED = {
    "not base64": ("!!!", "expected base64"),
    "a text that ends early": (pack([[1, 2, 3]])[:-3], "the text ends"),
    "a length without end": ("/////////////w", "below 2"),
    "more than it says": (pack([[1]]) + pack([[2, 2, 2]]), "expected"),
    "a huge length": (pack([[]])[:2] + "////fw", "the text ends"),
    "a longer form of a number": ("AQGAAA", "shortest"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_text_that_is_wrong_is_refused(case: str) -> None:
    text, said = REFUSED[case]
    with pytest.raises(ContractError, match=said):
        unpack(text)


def test_a_report_travels_packed_and_a_device_of_before_is_still_read() -> None:
    raw = encode(REPORT)
    assert b'"features":"' in raw
    assert decode(WindowReport, raw, limit=MESSAGE_BYTES) == REPORT
    old = raw.replace(b'"format":2', b'"format":1')
    assert decode(WindowReport, old, limit=MESSAGE_BYTES).features == REPORT.features


def test_a_negative_count_is_not_packed() -> None:
    with pytest.raises(ContractError, match="got -1"):
        pack([[-1]])
