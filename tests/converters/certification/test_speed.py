"""Times of candidates: by seconds, not by calls."""

from __future__ import annotations

from converters.certification import speed
from tests.edge.builders import make_release, rows


def test_a_call_that_takes_longer_than_a_turn_is_timed_once(tmp_path, monkeypatch):
    release = make_release(tmp_path / "r")
    (spec,) = release.manifest.signature.inputs
    calls, timed = [], speed._time
    monkeypatch.setattr(speed, "SECONDS", 0.0)
    monkeypatch.setattr(speed, "TAIL_SECONDS", 0.0)
    monkeypatch.setattr(speed, "_time", lambda *args: calls.append(args) or timed(*args))
    speeds = speed.measure({"a": release, "b": release}, {spec.name: rows(20)})
    assert speeds["b"].batch_row_us > 0
    # One to size the batch, then one of each candidate in a turn, and two for the tail of each.
    assert len(calls) == 1 + 1 + 2 + 2 + 2
