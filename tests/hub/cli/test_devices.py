"""``edge-hub enrol-token``, ``tokens`` and ``devices`` at a real hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloud_hub.cli.main import main
from tests.servers import HubProcess

Capture = pytest.CaptureFixture[str]


def ask(hub: HubProcess, capsys: Capture, *words: str) -> tuple[int, str]:
    code = main([*words, "--data", str(hub.data)])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_a_token_for_each_of_many_devices_is_printed_one_a_line_and_listed_without_it(
    hub: HubProcess, capsys: Capture
) -> None:
    words = ("enrol-token", "listed", "--count", "3", "--attribute", "region=eu", "--json")
    code = main([*words, "--data", str(hub.data)])
    made = json.loads(capsys.readouterr().out)
    tokens = [each["token"] for each in made["tokens"]]
    assert (code, len(set(tokens))) == (0, 3)
    code, out = ask(hub, capsys, "tokens", "list", "--model", "listed")
    assert (code, out.count("region=eu")) == (0, 3)
    assert not any(token in out for token in tokens)
    id_ = made["tokens"][0]["id"]
    assert ask(hub, capsys, "tokens", "revoke", id_)[0] == 0
    assert "was revoked before" in ask(hub, capsys, "tokens", "revoke", id_)[1]
    assert (
        len(json.loads(ask(hub, capsys, "tokens", "list", "--model", "listed", "--json")[1])) == 2
    )
    every = ask(hub, capsys, "tokens", "list", "--model", "listed", "--all")[1]
    assert (every.count("region=eu"), every.count("revoked")) == (3, 1)


def test_a_group_made_on_the_command_line_finds_its_devices_until_it_is_removed(
    hub: HubProcess, capsys: Capture
) -> None:
    code, out = ask(hub, capsys, "groups", "save", "Far north", "region=no health:lost")
    assert (code, out) == (0, "group Far north: region=no health:lost\n")
    assert "Far north" in ask(hub, capsys, "groups", "list")[1]
    found = ask(hub, capsys, "devices", "list", "--group", "Far north", "--json")
    assert found == (0, "[]\n")
    assert "there are: Far north" in ask(hub, capsys, "devices", "list", "--group", "South")[1]
    assert ask(hub, capsys, "groups", "save", "x", "a " * 30)[0] == 1
    assert ask(hub, capsys, "groups", "remove", "Far north")[0] == 0
    assert "no such group" in ask(hub, capsys, "groups", "remove", "Far north")[1]


WRONG = {
    "enrol-token m --count 2 --uses 0": "argument --uses: expected a whole number from 1",
    "enrol-token m --attribute region": "argument --attribute: expected NAME=VALUE, got 'region'",
    "devices revoke d-1": "Missing option '--reason'",
    "devices approve": "Missing argument 'DEVICE",
    "devices revoke ../x --reason y": "argument device: expected 1 to 64 of",
    "tokens revoke a/b": "argument id: expected 1 to 64 of",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_cannot_be_meant_is_one_sentence_before_a_hub_is_asked(
    words: str, capsys: Capture
) -> None:
    assert main([*words.split(), "--hub", "http://127.0.0.1:9", "--token", "t"]) == 2
    assert WRONG[words] in capsys.readouterr().err


FILES = {
    "no serial": ("name\nSN-1\n", "of which serial has to be there, got name"),
    "an unknown column": ("serial,colour\nSN-1,red\n", "got serial, colour"),
    "a line that is too short": ("serial,secret\nSN-1\n", "line 2: expected 2 columns"),
    "a line that is too long": ("serial\nSN-1,x\n", "line 2: expected 1 columns"),
    "a line without a serial": (
        "serial,secret\n,xxxxxxxxxxxxxxxxxxxx\n",
        "line 2: expected a serial",
    ),
    "a short secret": ("serial,secret\nSN-1,1234\n", "SN-1: secret: expected 16 to 256"),
    "a key that is none": ("serial,public_key\nSN-1,abc\n", "public_key: expected 64 hexadecimal"),
    "nobody": ("serial\n", "serials: expected 1 to 10000, got 0"),
    "twice the same": ("serial\nSN-1\nSN-1\n", "serial SN-1: is there twice"),
    "a serial that is none": ("serial\nSN 1\n", "serial: expected 1 to 64"),
    "no text": (b"\xff\xfe\x00s", "expected CSV in UTF-8"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_of_serials_that_is_none_is_refused_whole(
    hub: HubProcess, capsys: Capture, tmp_path: Path, case: str
) -> None:
    content, reason = FILES[case]
    path = tmp_path / "serials.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out = ask(hub, capsys, "devices", "register", str(path), "--model", "m")
    assert (code, reason in out) == (1, True), out


def test_devices_that_are_not_there_are_named(hub: HubProcess, capsys: Capture) -> None:
    for words in ("approve d-none", "revoke d-none --reason x", "forget d-none --reason x"):
        code, out = ask(hub, capsys, "devices", *words.split())
        assert (code, "device d-none: no such device" in out) == (1, True), out
