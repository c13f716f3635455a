"""Packs: only what enough devices asked for, answered by the cloud, exact on the device."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cloud_hub.data.dataset import Dataset
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.engine.apart import Cancelling
from cloud_hub.engine.local import LocalEngine
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.fleet.tokens import TokenTerms
from cloud_hub.hub import Hub
from cloud_hub.packs import answering
from cloud_hub.packs.answering import answered_elsewhere, answered_here
from cloud_hub.packs.service import PackRecord, _as_declared
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.fleet import CloudRequest
from edge_sdk.contract.manifest import OutputSpec
from edge_sdk.contract.messages import KeyVotes, Message, Upload
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.packs.reader import Pack
from tests.edge.builders import make_release, rows, softmax
from tests.simulated_device import enrolled, vouched
from tests.waiting import wait_for

TODAY = int(time.time()) // 300 * 300
POLICY = "cloud: big\npacks: {every: 1s, minimum_devices: 3}\n"


@pytest.fixture
def voted(serving: Hub, tmp_path: Path) -> Hub:
    """Three devices ask for rows 0 to 4, one for rows 5 to 9; a cloud model of another seed."""
    serving.registry.publish(make_release(tmp_path, "big", seed=42), actor="test")
    serving.plans.promote("big", "1.0", actor="test", reason="first")
    serving.registry.set_policy("demo", POLICY, "test")
    x = rows(20)
    serving.datasets.add("demo", "catalogue", Dataset.of(x, None), actor="test")
    canonicaliser = Canonicaliser(serving.registry.release("demo", "1.0").manifest.signature)
    keys = [canonicaliser.key(row.tobytes()).hex() for row in x]
    for number, device in enumerate(vouched(serving, 3)):
        wanted = keys[:5] + (keys[5:10] if number == 0 else [])
        body = to_plain(KeyVotes("demo", "1.0", TODAY - 300, tuple(wanted)))
        upload = Upload((Message("b1", 1, "votes", body),))
        serving.telemetry.ingest(EnrolledDevice(device, ("demo",)), upload)
    return serving


def test_a_pack_answers_what_enough_devices_asked_for_as_the_cloud_does(
    voted: Hub, tmp_path: Path
) -> None:
    voted.packs.tick(time.time())
    plan = voted.plans.current("demo")
    assert plan is not None
    assert plan.serving.pack is not None
    digest = plan.serving.pack.file.sha256
    published = voted.repository.targets.local_file(f"packs/demo/{digest}.{digest}.pack")
    release = voted.registry.release("demo", "1.0")
    canonicaliser = Canonicaliser(release.manifest.signature)
    with published as file, Pack.open(file, release) as pack:
        pack.verify()
        assert (len(pack), pack.header.answered_by) == (5, "big 1.0")
        for i, row in enumerate(rows(20)):
            found = pack.get(canonicaliser.key(row.tobytes()))
            assert (found is not None) is (i < 5)
            if found is not None:
                assert np.allclose(found["probabilities"], softmax(rows(20), 42)[i], atol=1e-6)


def touchy(hub: Hub, tmp_path: Path, rows_of: NDArray[np.float32]) -> list[str]:
    """Have a cloud model serve that fails on a first feature above 100; return keys of rows."""
    hub.registry.publish(
        make_release(tmp_path / "touchy", "big", "1.1", seed=42, defect="touchy"), actor="test"
    )
    hub.plans.promote("big", "1.1", actor="test", reason="touchy")
    hub.registry.set_policy("demo", POLICY, "test")
    hub.datasets.add("demo", "catalogue", Dataset.of(rows_of, None), actor="test")
    canonicaliser = Canonicaliser(hub.registry.release("demo", "1.0").manifest.signature)
    return [canonicaliser.key(row.tobytes()).hex() for row in rows_of]


def left_out(hub: Hub) -> list[Mapping[str, Any]]:
    return [entry.detail for entry in hub.audit.entries("demo", action="pack rows left out")]


def test_a_row_that_the_cloud_model_fails_on_is_left_out_and_named_once(
    voted: Hub, tmp_path: Path
) -> None:
    x = rows(5)
    x[2, 0] = 101.0
    keys = touchy(voted, tmp_path, x)
    for device in vouched(voted, 3):
        vote(voted, device, tuple(keys))
    now = time.time()
    for tick in range(3):
        voted.packs.tick(now + 2 * tick)
    (record,) = voted.packs.records("demo")
    assert (record.entries, record.answered_by) == (4, "big 1.1")
    (named,) = left_out(voted)
    assert (named["keys"], named["rows"], named["by"]) == ([keys[2]], 1, "big 1.1")
    assert "big 1.1 cannot answer it" in named["reason"]


def test_a_bad_row_that_is_new_makes_no_new_pack(voted: Hub, tmp_path: Path) -> None:
    x = rows(5)
    x[4, 0] = 101.0
    keys = touchy(voted, tmp_path, x)
    voters = vouched(voted, 3)
    for device in voters:
        vote(voted, device, tuple(keys[:4]))
    assert voted.packs.build("demo", time.time()) is not None
    for device in vouched(voted, 3):
        vote(voted, device, (keys[4],))
    assert [voted.packs.build("demo", time.time()) for _ in range(2)] == [None, None]
    assert len(left_out(voted)) == 1


def test_a_cloud_model_that_fails_on_every_row_is_told_and_not_the_rows(
    voted: Hub, tmp_path: Path
) -> None:
    x = rows(5)
    x[:, 0] = 101.0 + np.arange(5)
    keys = touchy(voted, tmp_path, x)
    for device in vouched(voted, 3):
        vote(voted, device, tuple(keys))
    with pytest.raises(Invalid, match=r"big 1\.1 cannot answer it"):
        voted.packs.build("demo", time.time())
    assert left_out(voted) == []


def test_numbers_of_a_cloud_model_take_the_shape_that_the_device_declares() -> None:
    declared = OutputSpec("y", "float64", (None, 1), "value")
    flat = _as_declared(declared, [1.0, 2.0])
    assert (flat.shape, flat.dtype) == ((2, 1), np.float64)
    assert _as_declared(OutputSpec("y", "float32", (None,), "value"), [[1.0], [2.0]]).shape == (2,)
    assert _as_declared(OutputSpec("p", "float32", (None, 2)), [[1, 2], [3, 4]]).shape == (2, 2)


def test_nothing_new_makes_no_new_pack(voted: Hub) -> None:
    assert voted.packs.build("demo", time.time()) is not None
    assert voted.packs.build("demo", time.time()) is None
    assert len(voted.packs.records("demo")) == 1


def test_other_keys_make_a_new_pack_even_if_there_are_as_many_of_them(voted: Hub) -> None:
    first = voted.packs.build("demo", time.time())
    voted.registry.set_policy("demo", POLICY.replace("devices: 3", "devices: 4"), "test")
    x = rows(20)
    canonicaliser = Canonicaliser(voted.registry.release("demo", "1.0").manifest.signature)
    wanted = tuple(canonicaliser.key(row.tobytes()).hex() for row in x[10:15])
    for device in vouched(voted, 4):
        vote(voted, device, wanted)
    second = voted.packs.build("demo", time.time())
    assert first is not None
    assert second is not None
    assert (second.entries, second.sha256 != first.sha256) == (5, True)


def vote(hub: Hub, device: str, keys: tuple[str, ...]) -> None:
    body = to_plain(KeyVotes("demo", "1.0", TODAY, keys))
    hub.telemetry.ingest(
        EnrolledDevice(device, ("demo",)), Upload((Message("b1", 2, "votes", body),))
    )


def key_of(hub: Hub, row: int) -> str:
    canonicaliser = Canonicaliser(hub.registry.release("demo", "1.0").manifest.signature)
    return canonicaliser.key(rows(20)[row].tobytes()).hex()


def test_whoever_holds_one_token_is_one_voter_however_many_devices_they_make(voted: Hub) -> None:
    private, key = key_of(voted, 15), bytes.fromhex(key_of(voted, 15))
    token = voted.fleet.new_token("demo", uses=20, seconds=60, actor="test")
    for _ in range(20):
        vote(voted, enrolled(voted, token), (private,))
    assert key not in voted.telemetry.voted_keys("demo", minimum_devices=2, most=100)
    vote(voted, vouched(voted, 1)[0], (private,))
    assert key in voted.telemetry.voted_keys("demo", minimum_devices=2, most=100)
    assert key not in voted.telemetry.voted_keys("demo", minimum_devices=3, most=100)


def test_votes_of_a_device_that_was_revoked_do_not_count(voted: Hub) -> None:
    key = bytes.fromhex(key_of(voted, 15))
    voters = vouched(voted, 3)
    for device in voters:
        vote(voted, device, (key.hex(),))
    assert key in voted.telemetry.voted_keys("demo", minimum_devices=3, most=100)
    voted.fleet.identities.revoke(voters[0], reason="stolen", actor="ann")
    assert key not in voted.telemetry.voted_keys("demo", minimum_devices=3, most=100)


def test_devices_that_somebody_approved_one_by_one_are_voters_one_by_one(voted: Hub) -> None:
    key = bytes.fromhex(key_of(voted, 15))
    terms = TokenTerms(("demo",), uses=3, seconds=60, approve=True)
    ((_, token),) = voted.fleet.tokens.make(terms, actor="ann")
    for device in [enrolled(voted, token) for _ in range(3)]:
        voted.fleet.identities.approve(device, actor="ann")
        vote(voted, device, (key.hex(),))
    assert key in voted.telemetry.voted_keys("demo", minimum_devices=3, most=100)


def test_a_pack_is_built_anew_before_it_expires(voted: Hub) -> None:
    now = time.time()
    first = voted.packs.build("demo", now)
    assert first is not None
    assert voted.packs.build("demo", now + 14 * 86_400) is None
    second = voted.packs.build("demo", now + 16 * 86_400)
    assert second is not None
    assert second.sha256 != first.sha256


def test_without_votes_there_is_no_pack(serving: Hub) -> None:
    serving.registry.set_policy("demo", "packs: {every: 1s}\n", "test")
    assert serving.packs.build("demo", time.time()) is None


def test_the_cloud_answers_an_unsure_device(voted: Hub) -> None:
    row = rows(1)[0]
    reply = voted.serving.predict(CloudRequest("demo", "1.0", tuple(row.tolist())))
    assert np.allclose(reply.probabilities, softmax(rows(1), 42)[0], atol=1e-6)
    assert reply.label == int(np.argmax(reply.probabilities))


def test_the_cloud_refuses_what_does_not_fit(voted: Hub) -> None:
    with pytest.raises(Invalid, match="row: expected 4 features, got 1"):
        voted.serving.predict(CloudRequest("demo", "1.0", (1.0,)))


def test_a_model_without_a_cloud_line_says_so(serving: Hub) -> None:
    with pytest.raises(NotFound, match="names no cloud model"):
        serving.serving.predict(CloudRequest("demo", "1.0", (1.0,) * 4))


class ElsewhereEngine(LocalEngine):
    """This machine, asked as if it were another."""

    elsewhere = True


def test_a_pack_of_answers_from_elsewhere_is_built_by_a_later_tick(voted: Hub) -> None:
    voted.packs.build_with(ElsewhereEngine())
    now = time.time()

    def pack() -> PackRecord | None:
        voted.packs.tick(now)
        records = voted.packs.records("demo")
        return records[-1] if records else None

    record = wait_for(pack, "the pack")
    assert (record.entries, record.answered_by) == (5, "big 1.0")


def test_answers_from_elsewhere_are_those_from_here_refusals_included(
    voted: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "SHARE_ROWS", 3)
    x = rows(10)
    x[4, 0] = 1_000
    touchy(voted, tmp_path, x)
    cloud = voted.serving.cloud_release("demo")
    assert cloud is not None
    manifest = voted.registry.release("demo", "1.0").manifest
    asked = {bytes([i]) * 16: row.tolist() for i, row in enumerate(x)}
    here = answered_here(voted.serving.answers, cloud, manifest, asked)
    there = answered_elsewhere(ElsewhereEngine(), cloud, manifest, asked, Cancelling())
    assert here == there
    assert [*here.refused] == [bytes([4]) * 16]
    assert list(here.answers) == list(there.answers)
