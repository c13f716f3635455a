"""Years pass, keys expire and are stolen: every device follows again, and serves all the time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.errors import Conflict
from cloud_hub.registry.key_folder import OfflineKeys, public_key
from cloud_hub.registry.keys.changes import KeyChange
from cloud_hub.registry.signing import load_signer
from edge_sdk import EdgeDevice
from tests.clock import Clock
from tests.e2e.device.aging_hub import MODEL, AgingHub, aging_hub
from tests.e2e.device.online_thief import steal_and_use_once
from tests.edge.builders import rows
from tests.hub.registry.keys.old_hub import DAY
from tests.waiting import wait_for


@pytest.fixture
def old(tmp_path: Path) -> Iterator[AgingHub]:
    with aging_hub(tmp_path) as hub:
        yield hub


def serves(device: EdgeDevice) -> str | None:
    return device.predict(rows(1)[0]).version


def test_one_signing_elsewhere_brings_every_device_back_after_400_and_1200_days(
    old: AgingHub, tmp_path: Path
) -> None:
    first_root = old.repository.root().encode()
    for name in ("off for 400", "off for 1200"):
        old.device(tmp_path / name).close()
    wrong = Clock(old.clock())
    old.device(tmp_path / "wrong", clock=wrong).close()
    with old.device(tmp_path / "on") as on:
        for days, version in {400: "1.1", 800: "1.2"}.items():
            old.live(364)
            assert on.sync().errors == {}
            old.live(days - 364)
            before = serves(on)
            assert "expired" in on.sync().errors["plan"]
            assert old.keys.status().summary == "expired"
            old.publish(version)
            assert "expired" in on.sync().errors["plan"]
            assert serves(on) == before

            old.sign_elsewhere(old.keys.export([], 365))

            assert old.keys.status().summary == "ok"
            assert (on.sync().update, serves(on)) == ("activated", version)
            # Off for all of that time; it serves before it asks the hub.
            with old.device(tmp_path / f"off for {400 if days == 400 else 1200}") as off:
                assert serves(off) == "1.0"
                assert (off.sync().update, serves(off)) == ("activated", version)
    # Made from an image with the root of back then.
    with old.device(tmp_path / "image", root=first_root) as made:
        assert serves(made) == "1.2"
    wrong.now = old.clock() + 5 * 365 * DAY
    with old.device(tmp_path / "wrong", clock=wrong) as device:
        assert "this device's clock says" in device.sync().errors["plan"]
        wrong.now = 5.0  # 1970
        assert (device.sync().update, serves(device)) == ("activated", "1.2")


def test_a_device_whose_clock_was_years_ahead_follows_once_it_is_right(
    old: AgingHub, tmp_path: Path
) -> None:
    ahead = Clock(old.clock() + 9 * 365 * DAY)
    with old.device(tmp_path / "d", clock=ahead) as device:
        assert "this device's clock says" in device.sync().errors["plan"]
        ahead.now = old.clock()
        assert (device.sync().update, serves(device)) == ("activated", "1.0")
        ahead.now += 3 * 365 * DAY
        assert "clock" in device.sync().errors["plan"]
        ahead.now = old.clock()
        old.publish("1.1")
        assert (device.sync().update, serves(device)) == ("activated", "1.1")


def test_a_device_follows_a_chain_of_roots_in_which_every_key_was_replaced(
    old: AgingHub, tmp_path: Path
) -> None:
    with old.device(tmp_path / "d") as device:
        device.sync()
    for year in range(3):
        new = tmp_path / f"new-{year}"
        OfflineKeys(new, 2).make()
        added = tuple(public_key(new / f"offline-{i}.pub") for i in (1, 2))
        change = KeyChange(added, ("all",), 1 + year % 2)
        outcome = old.keys.rotate({"offline": change}, 365, to_file=True)
        assert outcome.request is not None

        outcome.request.sign({"new": load_signer(new / "offline-1.pem")})
        if year % 2:
            outcome.request.sign({"new": load_signer(new / "offline-2.pem")})
        old.sign_elsewhere(outcome, (1, 2))
        shutil.rmtree(old.stick)
        shutil.copytree(new, old.stick)
        old.keys.rotate({"online": KeyChange(), "releases": KeyChange()}, 365, to_file=True)
        rotated = old.keys.rotate(
            {"online": KeyChange(), "releases": KeyChange()}, 365, to_file=True
        )
        old.sign_elsewhere(rotated, (1, 2))
        old.live(200)
    old.publish("1.1")
    with old.device(tmp_path / "d") as device:
        assert (device.sync().update, serves(device)) == ("activated", "1.1")
        assert device.sync().errors == {}


@pytest.mark.parametrize("where", ["on the hub", "on the way"])
def test_after_the_stolen_online_key_is_replaced_every_device_follows_again(
    old: AgingHub, tmp_path: Path, where: str
) -> None:
    folder = old.repository.files.path
    with old.device(tmp_path / "d") as device:
        shutil.copytree(folder, tmp_path / "copy")
        steal_and_use_once(old.repository, MODEL, days_ahead=300)
        assert device.sync().plan == 2**53 - 1
        if where == "on the way":
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / "copy", folder)
        old.live(1)
        if where == "on the way":
            assert "2147483648" in device.sync().errors["plan"]
            assert "expired" in device.sync().errors["plan"]  # by the time that was signed

        old.sign_elsewhere(old.keys.rotate({"online": KeyChange()}, 365, to_file=True))

        old.publish("1.1")
        assert (device.sync().update, serves(device)) == ("activated", "1.1")
        # The floors of the new key hold as ever.
        shutil.rmtree(tmp_path / "d" / "tuf")
        old.live(1)
        assert device.sync().errors == {}
    with old.device(tmp_path / "late") as late:
        assert serves(late) == "1.1"


def test_a_time_of_the_year_2100_raises_no_floor_because_no_publisher_signed_for_so_long(
    old: AgingHub, tmp_path: Path
) -> None:
    with old.device(tmp_path / "d") as device:
        shutil.copytree(old.repository.files.path, tmp_path / "copy")
        steal_and_use_once(old.repository, MODEL, days_ahead=70 * 365)
        assert "expired" in device.sync().errors["plan"]
        shutil.rmtree(old.repository.files.path)
        shutil.copytree(tmp_path / "copy", old.repository.files.path)
        old.publish("1.1")
        assert (device.sync().update, serves(device)) == ("activated", "1.1")


def test_a_revoked_key_stays_revoked_even_if_the_rest_of_that_refresh_failed(
    old: AgingHub, tmp_path: Path
) -> None:
    folder = old.repository.files.path
    with old.device(tmp_path / "d") as device:
        shutil.copytree(folder, tmp_path / "copy")
        old.live(1)
        old.sign_elsewhere(old.keys.rotate({"online": KeyChange()}, 365, to_file=True))
        (folder / "timestamp.json").write_bytes((tmp_path / "copy" / "timestamp.json").read_bytes())

        def refused() -> bool:  # that there was no newer root, the hub knows for a second
            return "signed by 0/1 keys" in device.sync().errors["plan"]

        wait_for(refused, "the newest root")
        shutil.rmtree(folder)  # somebody on the way shows the world of before, newest root withheld
        shutil.copytree(tmp_path / "copy", folder)
        assert "signed by 0/1 keys" in device.sync().errors["plan"]
        assert serves(device) == "1.0"


def test_a_minute_of_a_clock_30_days_ahead_costs_no_device_an_update(
    old: AgingHub, tmp_path: Path
) -> None:
    with old.device(tmp_path / "d") as device:
        device.sync()
        right = old.clock.now
        old.clock.now = right + 30 * DAY
        with pytest.raises(Conflict, match="jumped 30 days ahead"):
            old.publish("1.1")
        with pytest.raises(Conflict, match="nothing is signed"):
            old.tick()
        old.clock.now = right + 60
        old.machine.elapsed += 60
        assert device.sync().errors == {}
        assert serves(device) == "1.0"
        old.hub.plans.tick(old.clock())  # what was decided meanwhile goes out now
        old.publish("1.2")
        assert (device.sync().update, serves(device)) == ("activated", "1.2")
