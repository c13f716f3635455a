"""What one device cannot have counted is refused, and the device is flagged."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.cli.devices import _remarks
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Implausible
from cloud_hub.hub import Hub
from cloud_hub.telemetry.plausibility import (
    DAY,
    LOST,
    Ledger,
    check_ledger,
    check_message,
    counted,
)
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.experiment_reports import InterleaveReport, Moments, Pairs, ShadowReport
from edge_sdk.contract.groups import GroupCounts
from edge_sdk.contract.messages import FeedbackReport, Message, Upload, WindowReport, kind_of
from edge_sdk.contract.window import Energy, Window
from edge_sdk.hub.device_key import DeviceKey
from tests import simulated_device
from tests.edge.builders import make_release
from tests.hub.enrolled import long_ago

NOW = 1_000 * DAY + 43_200
RATE = 1_000
WINDOW = Window("demo", "1.0", NOW - 300, NOW)
TRIAL = replace(WINDOW, experiment="x", arm="candidate")
NOTHING = "0" * 64
HUGE = 10**9


def report(**more: Any) -> WindowReport:
    return WindowReport(**{"window": WINDOW, "profile": NOTHING, "predictions": {}, **more})


IMPOSSIBLE: dict[str, tuple[Any, str]] = {
    "a billion requests in five minutes": (
        report(predictions={"model": HUGE}), "requests: expected at most 360000 in 300 s at 1000",
    ),
    "a billion failures": (report(errors={"model": HUGE}), "requests: expected at most"),
    "a billion observations": (report(observations=HUGE), "observations: expected at most 360100"),
    "a billion keys": (report(units=HUGE), "units"),
    "a billion predictions of one group": (
        report(groups={"sex": {"f": GroupCounts(10**15)}}), "groups: sex",
    ),
    "a power station": (report(energy=Energy(1e9, 5, 300.0)), "20000 watts"),
    "energy of a billion predictions": (report(energy=Energy(9.0, HUGE, 300.0)), "energy"),
    "energy of a year": (report(energy=Energy(9.0, 5, 4e7)), "energy"),
    "a billion labels": (FeedbackReport(WINDOW, HUGE, HUGE, HUGE, HUGE), "labelled: expected"),
    "a billion rewards": (FeedbackReport(WINDOW, rewards=HUGE), "rewards: expected at most"),
    "a billion labels of nothing": (FeedbackReport(WINDOW, unmatched=HUGE), "unmatched"),
    "rewards that are no numbers": (
        FeedbackReport(WINDOW, rewards=2, reward_sum=float("nan")), "expected finite sums",
    ),
    "a reward of 1e300": (
        FeedbackReport(WINDOW, rewards=2, reward_sum=1e300, reward_squares=1e308), "within 1e+50",
    ),
    "squares below what the sum has": (
        FeedbackReport(WINDOW, rewards=10, reward_sum=10.0, reward_squares=1.0), "sum of squares",
    ),
    "errors of numbers that have no squares": (
        FeedbackReport(WINDOW, measured=10, error_sum=10.0, error_squares=1.0, error_fourths=9.0),
        "errors of numbers: a sum of squares",
    ),
    "squared errors that have no squares": (
        FeedbackReport(WINDOW, measured=10, error_sum=1.0, error_squares=9.0, error_fourths=1.0),
        "squared errors of numbers: a sum of squares",
    ),
    "an error of 1e40": (
        FeedbackReport(WINDOW, measured=1, error_sum=1e40, error_squares=1e80, error_fourths=1e149),
        "errors of numbers: expected numbers within 1",
    ),
    "a billion errors": (FeedbackReport(WINDOW, measured=HUGE), "measured: expected at most"),
    "a billion errors in shadow": (ShadowReport(TRIAL, "1.0", off=Moments(HUGE)), "off"),
    "a billion inputs in shadow": (ShadowReport(TRIAL, "1.0", HUGE), "compared"),
    "a billion crashes in shadow": (
        ShadowReport(TRIAL, "1.0", errors={"model": HUGE}), "compared",
    ),
    "a billion labels in shadow": (
        ShadowReport(TRIAL, "1.0", 10, labelled=Pairs(0, HUGE)), "labelled",
    ),
    "a confidence beyond 1": (
        ShadowReport(TRIAL, "1.0", 10, confidence=Moments(10, 50.0, 250.0)), "confidence",
    ),
    "a latency of 2 to the 100": (
        ShadowReport(TRIAL, "1.0", 10, latency=Moments(1, 100.0, 1e4)), "latency",
    ),
    "moments that no numbers have": (
        ShadowReport(TRIAL, "1.0", 10, value=Moments(10, 100.0, 1.0)), "value: a sum of squares",
    ),
    "a billion sessions": (InterleaveReport(TRIAL, "1.0", HUGE), "sessions"),
    "a billion sessions won": (InterleaveReport(TRIAL, "1.0", 5, {"candidate": HUGE}), "wins"),
}  # fmt: skip


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_no_device_can_have_made_is_refused(case: str) -> None:
    body, reason = IMPOSSIBLE[case]
    with pytest.raises(Implausible) as refused:
        check_message(body, rate=RATE, carried=100, enrolled_at=NOW - 10 * DAY, now=NOW)
    assert (reason in str(refused.value), refused.value.kind) == (True, "counts"), refused.value


def test_a_window_from_before_the_device_joined_is_refused() -> None:
    with pytest.raises(Implausible, match="before this device joined") as refused:
        check_message(report(), rate=RATE, carried=100, enrolled_at=NOW + DAY, now=NOW)
    assert refused.value.kind == "clock"


@given(st.lists(st.floats(-1e12, 1e12), max_size=40))
def test_rewards_that_were_really_given_are_never_refused(rewards: list[float]) -> None:
    total, squares = sum(rewards), sum(x * x for x in rewards)
    body = FeedbackReport(WINDOW, rewards=len(rewards), reward_sum=total, reward_squares=squares)
    check_message(body, rate=RATE, carried=100, enrolled_at=None, now=NOW)


def test_a_device_at_the_declared_rate_all_day_is_never_refused() -> None:
    day, have = NOW - NOW % DAY, Ledger()
    for start in range(day, day + DAY, 300):
        window = replace(WINDOW, start=start, end=start + 300)
        n = 300 * RATE
        for body in (report(window=window, predictions={"model": n}),
                     FeedbackReport(window, n, n, n, n)):  # fmt: skip
            check_message(body, rate=RATE, carried=100, enrolled_at=day - DAY, now=start + 300)
            have += counted(body)
            check_ledger(day, have, rate=RATE, enrolled_at=day - DAY, now=start + 300)


def test_one_time_told_again_in_windows_of_other_lengths_is_bounded_by_the_day() -> None:
    """Each fits by itself; together they are more than the day has."""
    day, have = NOW - NOW % DAY, Ledger()

    def taken(more: Ledger) -> bool:
        try:
            check_ledger(day, more, rate=RATE, enrolled_at=day - DAY, now=day + DAY)
        except Implausible as error:
            return "of one day in all" not in str(error)
        return True

    for length in range(300, 2_000):
        more = have + Ledger(requests=length * RATE)
        have = more if taken(more) else have
    assert 0.95 * DAY * RATE < have.requests <= 1.01 * DAY * RATE


def test_labels_beyond_what_the_device_answered_are_refused() -> None:
    day = NOW - NOW % DAY
    late = Ledger(requests=50_000, labels=100_000 + LOST)  # some of its reports were lost
    check_ledger(day, late, rate=RATE, enrolled_at=None, now=NOW)
    with pytest.raises(Implausible, match="labels: 110001 of one day in all"):
        check_ledger(day, late + Ledger(labels=1), rate=RATE, enrolled_at=None, now=NOW)


def test_a_device_that_joined_a_minute_ago_cannot_have_counted_a_day() -> None:
    day = NOW - NOW % DAY
    with pytest.raises(Implausible, match="or the device joined"):
        check_ledger(day, Ledger(requests=2_000_000), rate=RATE, enrolled_at=NOW - 60, now=NOW)


def sent(hub: Hub, device: str, *bodies: Any, first: int = 1) -> Any:
    messages = tuple(
        Message("boot", first + i, kind_of(body), to_plain(body)) for i, body in enumerate(bodies)
    )
    return hub.telemetry.ingest(EnrolledDevice(device, ("demo",)), Upload(messages))


def test_a_lie_is_refused_flagged_and_audited_once_and_the_rest_of_the_upload_counts(
    serving: Hub,
) -> None:
    token = serving.fleet.new_token("demo", uses=1, seconds=60, actor="test")
    device = simulated_device.enrolled(serving, token)
    now = int(time.time())
    window = Window("demo", "1.0", now - 1, now)
    digest = serving.registry.release("demo", "1.0").profile_digest
    honest = WindowReport(window, digest, {"model": 10})
    lies = [FeedbackReport(window, HUGE + i, 0, HUGE + i, 0) for i in range(3)]
    reply = sent(serving, device, honest, *lies)
    assert (reply.accepted, len(reply.rejected)) == (1, 3)
    assert sent(serving, device, honest).duplicates == 1
    ((flag,),) = serving.flags.by_device("demo").values()
    assert (flag.kind, flag.count, "labelled: expected at most 61000" in flag.reason) == (
        "counts", 3, True,
    )  # fmt: skip
    sent(serving, device, lies[0], first=9)
    ((flag,),) = serving.flags.by_device().values()
    assert flag.count == 4
    entries = [e for e in serving.audit.entries("demo") if e.action == "flagged"]
    assert [e.actor for e in entries] == [device]
    shown = _remarks(
        {"attributes": {}, "failed": [], "serial": None, "reason": None, "flags": [vars(flag)]}
    )
    assert shown.startswith("flagged 4 times: labelled: expected at most")
    serving.flags.tick(time.time() + 31 * DAY)
    assert serving.flags.by_device() == {}


def test_the_bound_is_the_policys(serving: Hub) -> None:
    serving.registry.set_policy("demo", "reporting: {requests_per_second: 1}\n", "ann")
    now = int(time.time())
    window = Window("demo", "1.0", now - 1, now)
    (refused,) = sent(serving, "d-1", FeedbackReport(window, 99, 9, 99, 9)).rejected
    assert "expected at most 61 in 1 s at 1 a second, got 99" in refused.reason
    plan = serving.plans.change("demo", lambda p: p, actor="ann", reason="policy")
    assert plan.reporting.requests_per_second == 1


def test_uploads_of_one_day_share_its_bound(serving: Hub) -> None:
    """Sent again and again under other names, within what each message may hold."""
    token = serving.fleet.new_token("demo", uses=1, seconds=60, actor="test")
    device = simulated_device.enrolled(serving, token)
    now = int(time.time())
    reasons: list[str] = []
    for number in range(1, 41):
        window = Window("demo", "1.0", now - number - 1, now - number)
        body = FeedbackReport(window, rewards=60_000, reward_sum=1.0, reward_squares=1.0)
        reasons += [r.reason for r in sent(serving, device, body, first=number).rejected]
    assert 8 <= len(reasons) < 40  # whether or not a midnight is among them
    assert all("of one day in all" in reason for reason in reasons)


def test_each_model_of_a_device_has_a_day_and_a_flag_of_its_own(
    serving: Hub, tmp_path: Path
) -> None:
    """A busy model leaves the bounds of a quiet one as they are, and the other way round."""
    serving.registry.publish(make_release(tmp_path, "quiet"), actor="test")
    serving.registry.set_policy("quiet", "reporting: {requests_per_second: 1}\n", "ann")
    token = serving.fleet.new_token("demo", "quiet", uses=1, seconds=60, actor="test")
    request = DeviceKey.generate().enrolment((), token)
    device = EnrolledDevice(serving.fleet.enrol(token, request).device, ("demo", "quiet"))
    now = int(time.time())
    of = {model: Window(model, "1.0", now - 1, now) for model in device.models}
    bodies = [
        FeedbackReport(of["demo"], rewards=50_000, reward_sum=1.0, reward_squares=1.0),
        FeedbackReport(of["quiet"], rewards=50, reward_sum=1.0, reward_squares=1.0),
        FeedbackReport(of["quiet"], rewards=HUGE, reward_sum=1.0, reward_squares=1.0),
        FeedbackReport(of["demo"], rewards=HUGE, reward_sum=1.0, reward_squares=1.0),
    ]
    messages = tuple(Message("b", i, kind_of(b), to_plain(b)) for i, b in enumerate(bodies, 1))
    reply = serving.telemetry.ingest(device, Upload(messages))
    assert (reply.accepted, sorted(r.sequence for r in reply.rejected)) == (2, [3, 4])
    flagged = serving.flags.by_device()
    assert flagged.keys() == {(device.device, "demo"), (device.device, "quiet")}
    assert serving.flags.by_device("quiet").keys() == {(device.device, "quiet")}
    serving.fleet.forget(device.device, reason="test", actor="ann")
    assert serving.flags.by_device() == {}


def test_a_device_that_was_offline_for_days_loses_nothing(serving: Hub) -> None:
    token = serving.fleet.new_token("demo", uses=1, seconds=60, actor="test")
    device = simulated_device.enrolled(serving, token)
    long_ago(serving)
    now, bodies = int(time.time()), []
    for age in range(1, 8):
        window = Window("demo", "1.0", now - age * DAY, now - age * DAY + 1)
        bodies.append(FeedbackReport(window, 500, 400, 500, 400))
    assert sent(serving, device, *bodies).accepted == 7
    assert serving.flags.by_device() == {}
