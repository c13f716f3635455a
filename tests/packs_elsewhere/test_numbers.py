"""Halves, which neither C nor JavaScript has: each of them, and what lies between two."""

from __future__ import annotations

import numpy as np

from tests.packs_elsewhere.readers import PackReader


def test_every_half_and_every_place_between_two_is_rounded_as_in_numpy(reader: PackReader) -> None:
    finite = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    ties = (finite[1:] + finite[:-1]) / 2
    near = [np.nextafter(ties, towards) for towards in (0, np.inf)]
    beyond = [65519.99, 65520.0, 65536.0, 1e300, np.inf, 1e-300, 5e-324]
    numbers = np.concatenate([finite, ties, *near, beyond])
    numbers = np.concatenate([numbers, -numbers])
    with np.errstate(over="ignore"):
        expected = numbers.astype(np.float16)
    out = np.frombuffer(reader.ask("halves", "", given=numbers.tobytes()), "<u2, <f8")
    assert (out["f0"] == expected.view(np.uint16)).all()
    assert (out["f1"].view(np.uint64) == expected.astype(np.float64).view(np.uint64)).all()


def test_what_is_no_number_stays_none(reader: PackReader) -> None:
    out = np.frombuffer(reader.ask("halves", "", given=np.array([np.nan]).tobytes()), "<u2, <f8")
    assert np.isnan(out["f0"].view(np.float16)).all()
    assert np.isnan(out["f1"]).all()
