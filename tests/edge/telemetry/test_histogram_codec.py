"""Histograms as a text: what goes in comes out, and nothing else is read."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.histograms import NO_HISTOGRAMS
from edge_sdk.telemetry import histogram_codec
from edge_sdk.telemetry.histogram_codec import decode_alike, decode_histograms, encode_histograms
from edge_sdk.telemetry.histograms import HistogramCounts
from tests.contract.examples import histogram_text

counts = st.lists(st.integers(0, 2**62 - 1), max_size=40)


@given(st.lists(counts.map(tuple), max_size=10))
def test_histograms_survive_the_way(histograms: list[tuple[int, ...]]) -> None:
    decoded = decode_histograms(histogram_text(*histograms))
    assert [tuple(one.tolist()) for one in decoded] == histograms
    assert decoded.sizes == tuple(map(len, histograms))


@given(st.text(alphabet="ABCDwxyz0189+/=", max_size=30))
def test_any_other_text_is_refused_or_is_the_only_text_of_its_content(text: str) -> None:
    try:
        decoded = decode_histograms(text)
    except ContractError:
        return
    assert encode_histograms(decoded) == text


@given(st.text(alphabet="AQgwE8x/=\n", max_size=9))
def test_a_text_is_read_exactly_if_encoding_what_it_says_gives_it_back(text: str) -> None:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        same = base64.b64encode(raw).decode().rstrip("=") == text
    except ValueError:
        same = False
    if same:
        assert histogram_codec._bytes(text) == raw
    else:
        with pytest.raises(ContractError, match="base64"):
            histogram_codec._bytes(text)


def test_layouts_of_one_length_are_told_apart_whichever_came_before() -> None:
    layouts: list[list[tuple[int, ...]]] = [[(1, 2), (3,)], [(1,), (2, 3)], [(), (1, 2, 3)]]
    for histograms in (*layouts, *layouts[::-1]):
        decoded = decode_histograms(histogram_text(*histograms))
        assert [tuple(one.tolist()) for one in decoded] == histograms


def test_histograms_of_more_counts_than_are_remembered_survive_the_way() -> None:
    histograms = [tuple(range(20_000)), (7,) * 20_000]
    decoded = decode_histograms(histogram_text(*histograms))
    assert [tuple(one.tolist()) for one in decoded] == histograms


def test_no_histograms_have_a_text_too() -> None:
    assert encode_histograms(HistogramCounts.zeros(())) == NO_HISTOGRAMS
    assert list(decode_histograms(NO_HISTOGRAMS)) == []


REFUSED = {
    "nothing": ("", "the text ends"),
    "not base64": ("!!!", "expected base64"),
    "letters beyond ASCII": ("ä", "expected base64"),
    "a text that ends early": (histogram_text((1, 2, 3))[:-3], "the text ends"),
    "a length without end": ("/////////////w", "the text ends"),
    "a number of ten bytes": ("gICAgICAgICAAQ", "below 2"),
    "a number beyond all counts": ("//////////9/", "below 2"),
    "two texts in one": (histogram_text((1,)) + histogram_text((2, 2, 2)), "there is more"),
    "a huge length": ("AYCAgIAB", "the text ends"),
    "a longer form of a number": ("AQGAAA", "shortest"),
    "spare bits that are set": ("AB", "shortest"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_text_that_is_wrong_is_refused(case: str) -> None:
    text, message = REFUSED[case]
    with pytest.raises(ContractError, match=message):
        decode_histograms(text)


@pytest.mark.parametrize(("count", "message"), [(-1, "got -1"), (2**62, "got 4611686018427387904")])
def test_a_count_that_cannot_be_has_no_text(count: int, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        encode_histograms(HistogramCounts(np.array([count]), [1]))


def test_histograms_of_other_layouts_are_not_added() -> None:
    with pytest.raises(ValueError, match=r"expected histograms of \(2,\) counts, got \(1, 1\)"):
        decode_histograms(histogram_text((1, 2))).add(decode_histograms(histogram_text((1,), (2,))))


LAYOUT = (3, 1, 5)


@given(st.lists(st.lists(st.integers(0, 2**40), min_size=9, max_size=9), min_size=1, max_size=12))
def test_texts_of_one_layout_are_decoded_together_as_each_by_itself(rows: list[list[int]]) -> None:
    texts = [encode_histograms(HistogramCounts(np.array(row), LAYOUT)) for row in rows]
    found = decode_alike(texts)
    assert found is not None
    assert found[1] == LAYOUT
    assert found[0].tolist() == [decode_histograms(text).flat.tolist() for text in texts] == rows


@pytest.mark.parametrize("other", [(3, 1, 6), (1, 3, 5), (9,), ()])
def test_texts_of_different_layouts_are_not_decoded_together(other: tuple[int, ...]) -> None:
    texts = [
        encode_histograms(HistogramCounts(np.full(sum(sizes), 7), sizes))
        for sizes in (LAYOUT, LAYOUT, other)
    ]
    assert decode_alike(texts) is None


def test_no_histograms_are_decoded_together_too() -> None:
    found = decode_alike([NO_HISTOGRAMS, NO_HISTOGRAMS])
    assert found is not None
    assert found[0].shape == (2, 0)
    assert found[1] == ()


def test_a_text_that_goes_on_in_the_next_one_is_refused() -> None:
    whole = encode_histograms(HistogramCounts(np.array([1, 2, 300]), (3,)))
    # Two halves of a number: together they are one, and each text is none of histograms.
    parts = [base64.b64encode(raw).decode().rstrip("=") for raw in _halves(whole)]
    with pytest.raises(ContractError, match="the text ends"):
        decode_alike(parts)


def _halves(text: str) -> tuple[bytes, bytes]:
    raw = base64.b64decode(text + "=" * (-len(text) % 4))
    return raw[:-1], raw[-1:]
