"""Answers that travel between processes."""

from __future__ import annotations

from pathlib import Path

from edge_sdk.processes.answers import batch_from_plain, batch_to_plain
from edge_sdk.processes.frames import packed
from tests.edge.builders import rows
from tests.edge.processes.test_frames import sent
from tests.edge.serving.test_predictor import with_pack


def test_a_batch_of_pack_and_model_comes_with_the_source_of_each_row(tmp_path: Path) -> None:
    serving = with_pack(tmp_path)
    made = serving.predict_batch(rows(14)[8:], pack=True)
    came = batch_from_plain(sent(packed(batch_to_plain(made))), lambda name: None)
    assert came.sources == made.sources == ["pack"] * 2 + ["model"] * 4
    assert came.counts == {"pack": 2, "model": 4}
    assert [each.source for each in came] == made.sources
    plain = batch_from_plain(
        sent(packed(batch_to_plain(serving.predict_batch(rows(2))))), lambda name: None
    )
    assert plain.sources == ["model"] * 2
