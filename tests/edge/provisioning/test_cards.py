"""First-boot files: a thousand at once, each for one device and for its user's eyes."""

from __future__ import annotations

import csv
import json
import stat
import zipfile
from pathlib import Path

import pytest

from edge_sdk.cli.main import main
from edge_sdk.errors import EdgeError, HubError, HubUnreachable, StateError
from edge_sdk.provisioning.cards import LABELS, REGISTER, cards_by_serial, cards_by_token
from edge_sdk.provisioning.first_boot import (
    NAME,
    FirstBoot,
    read_first_boot,
    remove_first_boot,
)
from edge_sdk.provisioning.joining import LONGEST_WAIT, open_at_first_boot, waits

COMMON = FirstBoot("https://hub:8000", token="of each card")
PROVISION = ["--hub", "https://hub:8000"]


def provision(out: Path, *words: object) -> int:
    return main(["provision", str(out), *PROVISION, *map(str, words)])


def test_a_thousand_cards_have_a_secret_each_and_are_their_users_alone(tmp_path: Path) -> None:
    out = tmp_path / "cards"
    assert provision(out, "--count", 1000, "--model", "digits", "--attribute", "region=eu") == 0
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    rows = list(csv.DictReader((out / REGISTER).read_text().splitlines()))
    assert len(rows) == len({row["secret"] for row in rows}) == len(files) - 2 == 1000
    for row in rows:
        card = read_first_boot(out / row["serial"] / NAME)
        assert card is not None
        assert (card.serial, card.token) == (row["serial"], row["secret"])
        assert (card.hub, card.model, card.attributes) == (COMMON.hub, "digits", {"region": "eu"})
    labels = (out / LABELS).read_text()
    assert labels.splitlines()[:2] == ["card,serial", "SN-0001,SN-0001"]
    assert "enrol_" not in labels


def test_a_zip_holds_what_a_folder_does(tmp_path: Path) -> None:
    out = tmp_path / "cards.zip"
    (tmp_path / "serials").write_text("serial,public_key\nA/1,\nb2,\n")
    assert provision(out, "--serials", tmp_path / "serials") == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with zipfile.ZipFile(out) as packed:
        assert set(packed.namelist()) == {"A=2F1/edge.json", "b2/edge.json", LABELS, REGISTER}
        assert json.loads(packed.read("A=2F1/edge.json"))["serial"] == "A/1"


def test_each_token_is_on_one_card(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("enrol_a\nenrol_b\n\n")
    assert provision(tmp_path / "out", "--tokens", tmp_path / "tokens") == 0
    cards = [read_first_boot(tmp_path / "out" / f"card-{n}" / NAME) for n in (1, 2)]
    assert [card and (card.token, card.serial) for card in cards] == [
        ("enrol_a", None),
        ("enrol_b", None),
    ]
    assert not (tmp_path / "out" / REGISTER).exists()


REFUSED = {
    "no URL": (["--count", "1", "--hub", "hub"], "expected a URL"),
    "none": (["--count", "0"], "expected 1 to 10000 at once, got 0"),
    "too many": (["--count", "10001"], "got 10001"),
    "no serial": (["--count", "1", "--prefix", "!"], "serial: expected 1 to 64"),
    "no file": (["--serials", "gone"], "gone: cannot be read"),
    "no root": (["--count", "1", "--root", "pyproject.toml"], "root"),
    "no model": (["--count", "1", "--model", "A B"], "model: expected"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_fleet_could_use_is_refused_and_nothing_is_written(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, reason = REFUSED[case]
    assert provision(tmp_path / "out", *words) == 1
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_cards_that_are_there_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    assert provision(tmp_path / "out", "--count", 1) == 1
    assert "is there already" in capsys.readouterr().err


def test_two_cards_of_one_name_are_refused() -> None:
    with pytest.raises(StateError, match="is there twice"):
        cards_by_serial(COMMON, ["sn-1", "SN-1"])
    with pytest.raises(StateError, match="expected each once"):
        cards_by_token(COMMON, ["a", "a"])


DAMAGED = {
    "empty": b"",
    "cut": COMMON.to_bytes()[:30],
    "of a later format": COMMON.to_bytes().replace(b'"format":1', b'"format":2'),
    "for nobody": b'{"format":1,"hub":"https://hub:8000"}',
    "endless": b" " * (2 << 20),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_card_is_refused_before_the_hub_is_asked(case: str, tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(DAMAGED[case])
    with pytest.raises(StateError, match=r"edge\.json: expected a first-boot file"):
        open_at_first_boot(tmp_path / "state", path, pytest.fail)
    assert path.exists()


def test_without_a_card_and_without_an_identity_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="make it with edge provision"):
        open_at_first_boot(tmp_path / "state", tmp_path / NAME, pytest.fail)


def test_a_hub_that_is_not_reached_yet_is_asked_again_and_one_that_refuses_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / NAME
    path.write_bytes(COMMON.to_bytes())
    said: list[EdgeError] = [HubUnreachable("no network"), HubUnreachable("no network"),
                             HubError("token: is used up", 403)]  # fmt: skip
    waited: list[float] = []

    def opened(**_: object) -> None:
        raise said.pop(0)

    with pytest.raises(HubError, match=r"edge\.json: token: is used up"):
        open_at_first_boot(tmp_path / "state", path, opened, waited.append)  # type: ignore[arg-type]
    assert len(waited) == 2
    assert path.exists()


def test_attempts_get_rarer_and_never_stop() -> None:
    times = waits(lambda: 1.0)
    assert [next(times) for _ in range(10)][:3] == [2.0, 4.0, 8.0]
    assert next(times) == LONGEST_WAIT


def test_a_removed_card_has_its_secret_overwritten_first(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(COMMON.to_bytes())
    (tmp_path / "same").hardlink_to(path)  # a look at the bytes that the name stood for
    assert remove_first_boot(path)
    assert not path.exists()
    assert (tmp_path / "same").read_bytes().strip() == b""
    assert remove_first_boot(path)
