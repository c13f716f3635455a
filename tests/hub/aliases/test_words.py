"""``edge-hub versions``, and references on the command line."""

from __future__ import annotations

import pytest

from cloud_hub.cli.main import main
from cloud_hub.cli.shared.registration import _divided
from tests.hub.cli.test_requests import Recorder, recorder

__all__ = ["recorder"]

ASKED = {
    "promote digits@champion --dry-run": ("/v1/models/digits/promote", "@champion"),
    "promote --dry-run digits/1.2": ("/v1/models/digits/promote", "1.2"),
    "promote digits @champion --dry-run": ("/v1/models/digits/promote", "@champion"),
    "canary models:/digits/2": ("/v1/models/digits/canary", "2"),
}


@pytest.mark.parametrize("words", ASKED)
def test_a_version_is_named_by_a_reference(recorder: Recorder, words: str) -> None:
    recorder.answer = {
        "dry_run": True, "model": "digits", "serves_next": "1.1", "changes": False, "id": "c",
        "status": "running", "candidate": "1.1", "control": "1.0",
    }  # fmt: skip
    assert main(words.split()) == 0
    path, query = recorder.requests[0]
    assert (path, query["version"]) == ASKED[words]


def test_versions_alias_asks_for_what_it_says(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.answer = {"model": "digits", "alias": "champion", "version": "1.2"}
    assert main(["versions", "alias", "digits/1", "champion"]) == 0
    assert capsys.readouterr().out == "digits@champion is 1.2\n"
    assert recorder.requests == [("/v1/models/digits/aliases/champion", {"version": "1"})]


@pytest.mark.parametrize(
    "words", ["versions alias digits champion", "versions tag digits plain", "versions show m@A"]
)
def test_what_names_nothing_is_refused(recorder: Recorder, words: str) -> None:
    assert main(words.split()) != 0
    assert recorder.requests == []


def test_only_the_first_argument_is_divided() -> None:
    words = ["digits", "1.2", "--reason", "digits@champion"]
    assert _divided(words) == words
    assert _divided(["--reason", "a@b", "m@c"]) == ["--reason", "a@b", "m", "@c"]
    assert _divided(["runs/rows.csv"]) == ["runs/rows.csv"]
