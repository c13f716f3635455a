"""Polls and signs of life by the fast path: the same answers as by the general way, and waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_hub.api.rate_limits import RateLimits
from cloud_hub.hub import Hub
from cloud_hub.polls.admission import MOST
from cloud_hub.polls.documents import SignedDocuments
from cloud_hub.polls.pace import SyncPace
from cloud_hub.polls.small_targets import SmallTargets
from cloud_hub.settings import Rate, RateSettings
from edge_sdk.contract.version import NEXT_SYNC
from edge_sdk.system.compression import zstd
from tests.clock import Clock
from tests.edge.builders import make_release
from tests.hub.polls.asgi import Answered, application, ask
from tests.simulated_device import credentialed

TIMESTAMP = "/v1/metadata/timestamp.json"


def new_device(hub: Hub) -> tuple[str, str]:
    return credentialed(hub, hub.fleet.new_token("demo", uses=1, seconds=60, actor="ann"))


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} | {k.replace("_", "-"): v for k, v in more.items()}


PATHS = [
    TIMESTAMP, "/v1/metadata/1.root.json", "/v1/metadata/2.snapshot.json", "/v1/alive",
    "/v1/metadata/99.snapshot.json", "/v1/metadata/evil.json", "/v1/metadata/timestamp.txt",
    "/v1/metadata/", "/v1/metadata/..", "/v1/metadata/a/b.json", "/v1/metadata/%31.root.json",
    "/v1/alive/", "/v1/health", "/v1/metadata/ä.json", "/v1/targets/", "/v1/targets/plans/..",
    f"/v1/targets/plans/{'0' * 64}.demo.json", f"/v1/targets/models/../{'0' * 64}.demo.json",
]  # fmt: skip


@pytest.fixture
def both(serving: Hub) -> tuple[Hub, Any, Any]:
    serving.limits = RateLimits(RateSettings.unlimited())
    return serving, application(serving), application(serving, fast=False)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_whatever_is_asked_both_ways_answer_the_same(
    both: tuple[Hub, Any, Any], data: st.DataObject
) -> None:
    hub, fast, general = both
    tokens = getattr(hub, "tokens_of_test", None)
    if tokens is None:
        admin = (hub.settings.data / "admin.token").read_text()
        revoked_name, revoked = new_device(hub)
        _, valid = new_device(hub)
        hub.fleet.identities.revoke(revoked_name, reason="stolen", actor="ann")
        headers = [f"Bearer {valid}", f"bearer {valid}", f"Bearer {revoked}", "Bearer noise"]
        tokens = [*headers, f"Bearer {admin}", "Bearer ", "Basic x", f"Bearer  {valid}", None]
        hub.tokens_of_test = tokens  # type: ignore[attr-defined]

    def drawn(*choices: str | None) -> str | None:
        return data.draw(st.sampled_from(choices))

    targets = [f"/v1/targets/{name}" for name in hub.repository.targets.list()]
    path = data.draw(st.sampled_from([*PATHS, *targets]))
    method = data.draw(st.sampled_from(["GET", "GET", "POST", "HEAD", "DELETE"]))
    own = {"Authorization": data.draw(st.sampled_from(tokens))}
    compressed = {"Accept-Encoding": "zstd"}
    current = asyncio.run(ask(general, path, bearer(tokens[0][7:]), "GET"))
    smaller = asyncio.run(ask(general, path, bearer(tokens[0][7:]) | compressed, "GET"))
    etags = [a.headers.get("etag") for a in (current, smaller)]
    given_headers = own | {
        "If-None-Match": drawn(None, *etags, '"other"', "*", f"W/{etags[0]}"),
        "Accept-Encoding": drawn(None, "gzip, zstd", "identity", "zstd;q=0"),
        "Range": drawn(None, None, "bytes=5-", "bytes=9-2", "noise"),
        "If-Range": drawn(None, *etags),
        "Cookie": drawn(None, "a=b"),
    }
    headers = {name: value for name, value in given_headers.items() if value is not None}
    query = data.draw(st.sampled_from([b"", b"", b"x=1", b"%ff"]))
    answers = [asyncio.run(ask(app, path, headers, method, query)) for app in (fast, general)]
    assert answers[0] == answers[1], (method, path, headers)


def test_what_is_asked_most_is_answered_without_a_thread_or_a_query(both: Any) -> None:
    hub, fast, _ = both
    device, token = new_device(hub)
    asyncio.run(ask(fast, TIMESTAMP, bearer(token)))
    hub.engine.dispose()

    async def nobody(*_: Any) -> None:
        raise AssertionError("the general way was taken")

    from cloud_hub.polls.fast_path import PollFastPath

    alone = PollFastPath(nobody, hub)
    first = asyncio.run(ask(alone, TIMESTAMP, bearer(token)))
    assert (first.status, first.body) == (200, hub.documents.get("timestamp.json"))
    again = asyncio.run(ask(alone, TIMESTAMP, bearer(token, If_None_Match=first.headers["etag"])))
    assert (again.status, again.body) == (304, b"")
    assert asyncio.run(ask(alone, "/v1/alive", bearer(token), "POST")).status == 204
    assert hub.fleet.sightings.newest(device, 0.0) > 0


def plan_path(hub: Hub) -> str:
    return f"/v1/targets/{next(iter(hub.repository.targets.list('plans/')))}"


def test_a_hub_with_too_much_to_do_refuses_nobody_what_it_has_in_memory(
    both: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, fast, _ = both
    (_, known), (_, new) = new_device(hub), new_device(hub)
    paths = [TIMESTAMP, "/v1/metadata/2.snapshot.json", plan_path(hub)]
    for path in paths:
        assert asyncio.run(ask(fast, path, bearer(known))).status == 200
    hub.load.under_way.update(MOST)
    monkeypatch.setattr("cloud_hub.polls.fast_path.LOOK_UPS", 0)
    for path in [*paths, "/v1/metadata/2.root.json"]:
        answer = asyncio.run(ask(fast, path, bearer(known)))
        assert answer.status == (404 if "root" in path else 200)
    refused = asyncio.run(ask(fast, TIMESTAMP, bearer(new)))  # it would have to be looked up
    assert (refused.status, "retry-after" in refused.headers) == (503, True)
    assert hub.load.under_way == Counter(MOST)
    hub.load.under_way.subtract(MOST)
    assert asyncio.run(ask(fast, TIMESTAMP, bearer(new))).status == 200


@pytest.mark.parametrize("place", ["metadata", "target", "nothing"])
def test_what_a_fleet_asks_for_at_once_is_read_once(both: Any, place: str) -> None:
    hub, fast, _ = both
    reads: list[str] = []
    files, targets = hub.repository.files, hub.repository.targets

    class Counted:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            if name in ("raw", "open"):
                reads.append(name)
            return getattr(self._inner, name)

    path = {
        "metadata": "/v1/metadata/2.snapshot.json", "target": plan_path(hub),
        "nothing": "/v1/metadata/2.root.json",
    }[place]  # fmt: skip
    tokens = [new_device(hub)[1] for _ in range(20)]
    asyncio.run(ask(fast, TIMESTAMP, bearer(tokens[0])))
    hub.documents = SignedDocuments(Counted(files))
    hub.small_targets = SmallTargets(Counted(targets))

    async def all_at_once() -> list[Answered]:
        return await asyncio.gather(*(ask(fast, path, bearer(token)) for token in tokens))

    answers = asyncio.run(all_at_once())
    assert {answer.status for answer in answers} == {404 if place == "nothing" else 200}
    assert len({answer.body for answer in answers}) == 1
    assert reads == ["open" if place == "target" else "raw"]


def test_a_root_that_was_none_is_found_once_it_is_published(both: Any) -> None:
    hub, fast, general = both
    _, token = new_device(hub)
    path = "/v1/metadata/2.root.json"
    assert asyncio.run(ask(fast, path, bearer(token))).status == 404
    root = hub.repository.files.newest("root")
    with hub.repository.locked():
        hub.repository.commit({"root": root})
    answers = [asyncio.run(ask(app, path, bearer(token))) for app in (fast, general)]
    assert answers[0] == answers[1]
    assert (answers[0].status, answers[0].body) == (200, hub.repository.files.raw("2.root.json"))


def test_a_target_that_the_disk_has_damaged_is_not_kept_in_memory(both: Any) -> None:
    hub, fast, general = both
    _, token = new_device(hub)
    path = plan_path(hub)
    file = hub.settings.data / "repository" / "targets" / path.removeprefix("/v1/targets/")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b" ")
    answers = [asyncio.run(ask(app, path, bearer(token))) for app in (fast, general)]
    assert answers[0] == answers[1]  # the device refuses it by its hash
    file.write_bytes(whole)
    assert asyncio.run(ask(fast, path, bearer(token))).body == whole


def test_the_bytes_of_targets_in_memory_are_noted_as_costs(both: Any) -> None:
    hub, fast, general = both
    _, token = new_device(hub)
    (manifest,) = (n for n in hub.repository.targets.list() if n.endswith("manifest.json"))
    for app in (general, fast):
        for _ in range(3):
            answer = asyncio.run(ask(app, f"/v1/targets/{manifest}", bearer(token)))
    sent = hub.costs.report("demo", 0.0).amounts.bytes_sent
    assert sent == 6 * len(answer.body)


def test_large_metadata_is_compressed_for_whoever_takes_that(both: Any) -> None:
    hub, fast, general = both
    for number in range(1, 9):
        hub.registry.publish(
            make_release(hub.settings.data / "made", version=f"2.{number}"), actor="test",
            override="test",
        )  # fmt: skip
    _, token = new_device(hub)
    name = f"{hub.repository.files.version('releases')}.releases.json"
    asked = bearer(token, Accept_Encoding="zstd")
    answers = [asyncio.run(ask(a, f"/v1/metadata/{name}", asked)) for a in (general, fast, general)]
    assert answers[0] == answers[1] == answers[2]
    assert answers[1].headers["content-encoding"] == "zstd"
    raw = hub.repository.files.raw(name)
    assert zstd.decompress(answers[1].body) == raw
    assert len(answers[1].body) < len(raw) / 2


def test_a_device_that_asks_too_often_is_told_so_as_in_the_general_way(both: Any) -> None:
    hub, fast, general = both
    _, token = new_device(hub)
    answers: list[Answered] = []
    for app in (fast, general):
        hub.limits = RateLimits(RateSettings(device=Rate(1, 2)), Clock(100.0))
        last = [asyncio.run(ask(app, TIMESTAMP, bearer(token))) for _ in range(3)][-1]
        answers.append(last)
    assert answers[0] == answers[1]
    assert (answers[0].status, answers[0].headers["retry-after"]) == (429, "1")


def test_a_device_that_is_revoked_is_refused_by_its_next_request(both: Any) -> None:
    hub, fast, _ = both
    device, token = new_device(hub)
    assert asyncio.run(ask(fast, TIMESTAMP, bearer(token))).status == 200
    hub.fleet.identities.revoke(device, reason="stolen", actor="ann")
    assert asyncio.run(ask(fast, TIMESTAMP, bearer(token))).status == 401


def test_the_interval_of_the_hub_goes_with_every_poll_and_sign_of_life(both: Any) -> None:
    hub, fast, general = both
    hub.pace = SyncPace(90.0, spread=lambda: 1.0)
    _, token = new_device(hub)
    etag = asyncio.run(ask(fast, TIMESTAMP, bearer(token))).headers["etag"]
    for app in (fast, general):
        asked = [
            (TIMESTAMP, bearer(token), "GET"),
            (TIMESTAMP, bearer(token, If_None_Match=etag), "GET"),
            ("/v1/alive", bearer(token), "POST"),
        ]
        told = [asyncio.run(ask(app, *each)).headers[NEXT_SYNC.lower()] for each in asked]
        assert told == ["90", "90", "90"]


WAIT = {"Prefer": "respond-async, wait=200"}


async def _waiting(hub: Hub, app: Any, token: str, count: int = 1) -> tuple[str, Any]:
    first = await ask(app, TIMESTAMP, bearer(token))
    asked = bearer(token, If_None_Match=first.headers["etag"]) | WAIT
    task = asyncio.create_task(ask(app, TIMESTAMP, asked))
    while len(hub.waiters) < count:
        await asyncio.sleep(0)
    return first.headers["etag"], task


def test_a_device_that_waits_is_answered_when_there_is_news(both: Any) -> None:
    hub, fast, _ = both
    _, token = new_device(hub)

    async def wait() -> tuple[str, Answered]:
        etag, task = await _waiting(hub, fast, token)
        assert not +hub.load.under_way  # who waits takes nobody's place
        release = make_release(hub.settings.data / "made", version="2.0")
        await asyncio.to_thread(hub.registry.publish, release, actor="test", override="test")
        return etag, await task

    etag, answer = asyncio.run(wait())
    assert answer.status == 200
    assert answer.headers["etag"] != etag
    assert answer.headers["preference-applied"] == "wait"
    assert "edge-spread" not in answer.headers  # one device need not be spread
    assert answer.body == hub.documents.get("timestamp.json")
    assert (len(hub.waiters), +hub.load.under_way) == (0, Counter())


def test_a_device_that_was_revoked_while_it_waited_is_refused(both: Any) -> None:
    hub, fast, _ = both
    device, token = new_device(hub)

    async def wait() -> Answered:
        _, task = await _waiting(hub, fast, token)
        await asyncio.to_thread(hub.fleet.identities.revoke, device, reason="stolen", actor="ann")
        hub.waiters.release()
        answered: Answered = await task
        return answered

    assert asyncio.run(wait()).status == 401


def test_a_device_waits_once_and_nobody_once_the_hub_ends(both: Any) -> None:
    hub, fast, _ = both
    _, token = new_device(hub)

    async def wait() -> list[Answered]:
        etag, first = await _waiting(hub, fast, token)
        asked = bearer(token, If_None_Match=etag) | WAIT
        second = asyncio.create_task(ask(fast, TIMESTAMP, asked))
        answers = [await first]
        assert len(hub.waiters) == 1
        hub.waiters.release()
        answers.append(await second)
        answers.append(await ask(fast, TIMESTAMP, asked))  # at once: nobody waits any more
        return answers

    answers = asyncio.run(wait())
    assert [a.status for a in answers] == [304, 304, 304]
    assert "preference-applied" not in answers[2].headers
