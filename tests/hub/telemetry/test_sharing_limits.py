"""Devices are held to what the policy asks them to share, whatever they send."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Invalid
from cloud_hub.hub import Hub
from cloud_hub.telemetry.sharing_limits import SharingTerms, allowance, check_rate
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import (
    KeyVotes,
    Message,
    SampleBatch,
    Upload,
    UploadReply,
    kind_of,
)
from tests import simulated_device

NOW = int(time.time()) // 300 * 300
ROW = (1.0, 2.0, 3.0, 4.0)
NUMBERS = itertools.count(1)


def enrolled(hub: Hub) -> str:
    token = hub.fleet.new_token("demo", uses=1, seconds=60, actor="test")
    return simulated_device.enrolled(hub, token)


def send(hub: Hub, device: str, *bodies: SampleBatch | KeyVotes) -> UploadReply:
    messages = [Message("b1", next(NUMBERS), kind_of(b), to_plain(b)) for b in bodies]  # type: ignore[arg-type]
    return hub.telemetry.ingest(EnrolledDevice(device, ("demo",)), Upload(tuple(messages)))


def rows(count: int, taken: int = NOW) -> SampleBatch:
    return SampleBatch("demo", "1.0", (ROW,) * count, (0,) * count, (taken,) * count)


def policy(hub: Hub, text: str) -> None:
    hub.policies.apply("demo", text, actor="test")


def test_no_row_is_taken_where_the_policy_asks_for_none(serving: Hub) -> None:
    reply = send(serving, "d-1", rows(1_000))
    assert reply.accepted == 0
    assert "samples: the plan of demo asks for none" in reply.rejected[0].reason
    assert serving.telemetry.samples("demo") is None


def test_rows_are_no_longer_taken_once_the_policy_says_so(serving: Hub) -> None:
    policy(serving, "sharing: {samples: true, per_window: 5}\n")
    assert send(serving, "d-1", rows(5)).accepted == 1
    policy(serving, "sharing: {samples: false}\n")
    assert send(serving, "d-1", rows(1)).accepted == 0


def test_a_device_shares_no_more_rows_than_its_windows_allow(serving: Hub) -> None:
    policy(serving, "sharing: {samples: true, per_window: 5}\nreporting: {window: 5m}\n")
    # Three windows: the one under way, and two to spare for restarts and clocks.
    replies = [send(serving, "d-1", rows(5)) for _ in range(10)]
    assert 2 <= sum(reply.accepted for reply in replies) <= 3
    assert "its plans ask for at most" in replies[-1].rejected[0].reason
    assert send(serving, "d-2", rows(5)).accepted == 1  # others are not held to it


def test_rows_of_a_device_that_was_revoked_count_no_more(serving: Hub) -> None:
    policy(serving, "sharing: {samples: true, per_window: 5}\n")
    honest, hostile = enrolled(serving), enrolled(serving)
    for device in (honest, hostile):
        assert send(serving, device, rows(5, int(time.time()))).accepted == 1
    assert len(serving.telemetry.samples("demo") or ()) == 10
    serving.fleet.identities.revoke(hostile, reason="lies", actor="anna")
    left = serving.telemetry.samples("demo")
    assert left is not None
    assert left.devices is not None
    assert left.devices.tolist() == [honest] * 5


def test_one_device_does_not_make_classes_fractions(serving: Hub) -> None:
    policy(serving, "sharing: {samples: true, per_window: 5}\n")
    assert send(serving, "d-1", rows(2)).accepted == 1
    odd = SampleBatch("demo", "1.0", (ROW,), (1.0,), (NOW,))
    assert send(serving, "d-2", odd).accepted == 1
    shared = serving.telemetry.samples("demo")
    assert shared is not None
    assert shared.labels is not None
    assert (shared.labels.dtype.kind, shared.labels.tolist()) == ("i", [0, 0, 1])


def test_devices_of_one_token_have_one_voucher(serving: Hub) -> None:
    policy(serving, "sharing: {samples: true, per_window: 5}\n")
    token = serving.fleet.new_token("demo", uses=2, seconds=60, actor="test")
    several = [simulated_device.enrolled(serving, token) for _ in range(2)]
    single = enrolled(serving)
    for device in (*several, single):
        assert send(serving, device, rows(1, int(time.time()))).accepted == 1
    vouchers = serving.telemetry.vouchers("demo")
    assert vouchers[single] == single
    assert vouchers[several[0]] == vouchers[several[1]]
    assert len(set(vouchers.values())) == 2


def test_one_upload_of_many_batches_is_held_to_the_same(serving: Hub) -> None:
    policy(serving, "sharing: {samples: true, per_window: 5}\n")
    reply = send(serving, "d-1", *(rows(5) for _ in range(50)))
    assert 2 <= reply.accepted <= 3
    assert reply.accepted + len(reply.rejected) == 50


def test_rows_from_before_the_device_enrolled_are_not_its_own(serving: Hub) -> None:
    policy(serving, "sharing: {samples: true, per_window: 5}\n")
    device = enrolled(serving)
    reply = send(serving, device, rows(1, NOW - 86_400))
    assert "before this device enrolled" in reply.rejected[0].reason
    assert send(serving, device, rows(1, int(time.time()))).accepted == 1


def votes(count: int, period: int = NOW, first: int = 0) -> KeyVotes:
    return KeyVotes("demo", "1.0", period, tuple(f"{first + i:032x}" for i in range(count)))


VOTES: dict[str, tuple[KeyVotes, str]] = {
    "more keys than a period has": (votes(11), "expected at most 10 keys of a period, got 11"),
    "a period of last month": (votes(1, NOW - 40 * 86_400), "a period of the last 7 days"),
    "a period to come": (votes(1, NOW + 3_000), "a period of the last 7 days"),
    "a period that is no window": (votes(1, NOW - 1), "expected the start of a window"),
}


@pytest.mark.parametrize("case", VOTES)
def test_votes_beyond_what_the_plan_asks_for_are_refused(serving: Hub, case: str) -> None:
    policy(serving, "reporting: {window: 5m, votes: 10}\n")
    body, reason = VOTES[case]
    reply = send(serving, "d-1", body, votes(3))
    assert (reply.accepted, len(reply.rejected)) == (1, 1)
    assert reason in reply.rejected[0].reason


def test_votes_of_one_period_add_up_over_messages(serving: Hub) -> None:
    policy(serving, "reporting: {votes: 10}\n")
    assert send(serving, "d-1", votes(10)).accepted == 1
    assert send(serving, "d-1", votes(10)).accepted == 1  # the same ones: nothing new
    assert send(serving, "d-1", votes(1, first=10)).accepted == 0
    assert send(serving, "d-1", votes(10, NOW - 300, first=10)).accepted == 1


def test_no_votes_are_taken_where_the_plan_asks_for_none(serving: Hub) -> None:
    policy(serving, "reporting: {votes: 0}\n")
    assert "asks for none" in send(serving, "d-1", votes(1)).rejected[0].reason


TERMS = st.builds(
    SharingTerms, since=st.just(0.0), per_window=st.integers(1, 20), votes=st.just(0),
    window_seconds=st.integers(1, 600), releases=st.just(1),
)  # fmt: skip


@given(TERMS, st.integers(1, 20), st.randoms(use_true_random=False))
def test_an_honest_device_is_never_refused(
    terms: SharingTerms, windows: int, random: object
) -> None:
    """It shares as labels come: so many a window, of predictions of any time before."""
    taken, begin, size = [], 100_000 * terms.window_seconds, terms.window_seconds
    for window in range(windows):
        labelled = begin + window * size
        taken += [
            random.randint(begin - size, labelled)  # type: ignore[attr-defined]
            for _ in range(terms.per_window)
        ]
    check_rate([terms], taken, {}, size, float(begin + windows * size))


@given(TERMS, st.integers(1, 50))
def test_a_device_is_never_allowed_more_than_its_windows_and_two(
    terms: SharingTerms, windows: int
) -> None:
    now = 1e6 * terms.window_seconds
    begin = now - windows * terms.window_seconds
    most = allowance([terms], begin, now)
    assert most == (windows + 2) * terms.per_window
    with pytest.raises(Invalid, match="its plans ask for at most"):
        check_rate([terms], [int(begin)] * (most + 1), {}, terms.window_seconds, now)


def test_each_plan_counts_for_the_time_that_it_was_in_force() -> None:
    plenty = SharingTerms(0.0, 100, 0, 60, 1)
    little = SharingTerms(600.0, 1, 0, 60, 1)
    none = SharingTerms(1_200.0, 0, 0, 60, 1)
    assert allowance([plenty, little, none], 0.0, 6_000.0) == 10 * 100 + 10 * 1 + 2 * 100
    assert allowance([plenty, little, none], 600.0, 6_000.0) == 10 * 1 + 2 * 100
    assert allowance([], 0.0, 1.0) == 0
