"""Times of candidates: by seconds, not by calls."""

from __future__ import annotations

import gc

from converters.certification import speed
from edge_sdk.model.session import Model
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


def test_of_large_models_one_is_in_memory_at_a_time(tmp_path, monkeypatch):
    release = make_release(tmp_path / "r")
    (spec,) = release.manifest.signature.inputs
    alive = []

    def load(cls, release):
        gc.collect()
        alive.append(sum(type(each) is Model for each in gc.get_objects()))
        return plain_load(release)

    plain_load = Model.load
    monkeypatch.setattr(Model, "load", classmethod(load))
    monkeypatch.setattr(speed, "SMALL", 0)
    speeds = speed.measure(dict.fromkeys("abc", release), {spec.name: rows(20)})
    assert list(speeds) == ["a", "b", "c"]
    assert all(s.row_us > 0 and s.batch_row_us > 0 and s.p99_us > 0 for s in speeds.values())
    before = alive[0]  # of other tests
    assert alive == [before] * 5
