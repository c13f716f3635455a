"""Joules of a device: what counts them, and which version they are told of."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.messages import Body, WindowReport
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.contract.window import Energy, Window
from edge_sdk.errors import StateError
from edge_sdk.fleet.active_releases import ActiveReleases
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.telemetry.energy import READ_SECONDS, EnergyInterval, EnergyUse
from edge_sdk.telemetry.meters import (
    MOST_WATTS,
    Counter,
    Counters,
    InTime,
    Summed,
    find_meter,
    gained,
    why_none,
)
from tests.edge.builders import make_release, rows
from tests.edge.telemetry.counter_files import RANGE, board, powercap
from tests.waiting import PATIENCE


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class TestMeters:
    @pytest.mark.parametrize(
        ("zones", "chips", "expected"),
        [
            ({"package": 5, "cores": 3}, ["ina228"], ["powercap/intel-rapl:0/energy_uj"]),
            ({"package": 5, "psys": 9}, [], ["powercap/intel-rapl:0/energy_uj"]),
            ({}, ["ina228"], ["board/hwmon0/energy1_input"]),
            ({}, ["i915", "ltc4282"], ["board/hwmon1/energy1_input"]),
            ({}, ["xe"], []),
            ({}, ["scmi", "ina228"], []),
            ({}, [], []),
        ],
        ids=[
            "the package, of which its cores are a part",
            "the package, not the platform around it",
            "the board",
            "the board, not the graphics card",
            "a graphics card is not the device",
            "of two sensors nobody says whether one counts for both",
            "nothing",
        ],
    )
    def test_what_the_machine_counts_is_found(
        self, tmp_path: Path, zones: dict[str, int], chips: list[str], expected: list[str]
    ) -> None:
        found = find_meter(
            powercap(tmp_path / "powercap", **zones), board(tmp_path / "board", *chips)
        )
        paths = [str(c.path.relative_to(tmp_path)) for c in found.counters] if found else []
        assert paths == expected

    def test_a_counter_that_cannot_be_read_is_named_with_what_to_do(self, tmp_path: Path) -> None:
        root = powercap(tmp_path, package=5)
        (root / "intel-rapl:0" / "energy_uj").write_text("secret")
        assert find_meter(root, tmp_path / "none") is None
        assert "intel-rapl:0/energy_uj cannot be read by this process" in why_none(root)
        assert "EdgeDevice(…, energy=…)" in why_none(tmp_path / "none", tmp_path / "none")
        several = board(tmp_path / "board", "scmi", "ina228")
        assert "several sensors count" in why_none(tmp_path / "none", several)

    @given(
        st.integers(0, RANGE - 1),
        st.lists(st.tuples(st.floats(1.0, 300.0), st.floats(0.0, 1.0)), min_size=1, max_size=60),
    )
    def test_a_counter_that_begins_again_counts_every_joule(
        self, start: int, steps: list[tuple[float, float]]
    ) -> None:
        clock, total = Clock(), 0

        class Wrapping(Counter):
            def read(self) -> int:
                return (start + total) % RANGE

        meter = Counters([Wrapping(Path(), RANGE)], clock)
        begun = meter()
        for seconds, share in steps:
            clock.now += seconds
            total += int(seconds * share * (MOST_WATTS - 1) * 1e6)
            assert meter() - begun == pytest.approx(total / 1e6, abs=1e-5)

    @given(st.integers(0, 10**12), st.integers(0, 10**9), st.floats(1.0, 1e6))
    def test_a_counter_that_never_begins_again_only_goes_forward(
        self, before: int, more: int, seconds: float
    ) -> None:
        assert gained(before, before + more, None, seconds) == more
        if more:
            with pytest.raises(ValueError, match="went backwards"):
                gained(before + more, before, None, seconds)

    @pytest.mark.parametrize(
        ("before", "after", "seconds", "said"),
        [
            (200_000_000_000, 5, 60.0, "went backwards, from 200000000000 to 5"),
            (5, 10, 700.0, "not read for 700 s: it may have begun again unseen"),
        ],
        ids=["set back to zero, not gone around", "not looked at for long"],
    )
    def test_a_counter_that_cannot_be_told_is_refused(
        self, before: int, after: int, seconds: float, said: str
    ) -> None:
        with pytest.raises(ValueError, match=said):
            gained(before, after, RANGE, seconds)

    def test_after_a_counter_could_not_be_read_it_goes_on(self, tmp_path: Path) -> None:
        root = powercap(tmp_path, package=1_000_000)
        file, meter = root / "intel-rapl:0" / "energy_uj", find_meter(root, tmp_path)
        assert meter is not None
        assert meter() == 0
        file.unlink()
        with pytest.raises(OSError, match="energy_uj"):
            meter()
        file.write_text("5000000")
        assert meter() == 0  # what was drawn meanwhile is not known
        file.write_text("7000000")
        assert meter() == 2.0

    def test_watts_are_summed_up_as_trapezoids(self) -> None:
        clock = Clock()
        power = Summed(gap=5.0, clock=clock)
        power.add(2.0)
        clock.now += 1.0
        power.add(4.0)
        clock.now += 2.0
        power.add(float("nan"))  # no answer
        power.add(4.0)
        assert power() == 3.0 + 8.0

    def test_a_sensor_that_was_silent_is_told_once_and_counting_goes_on(self) -> None:
        clock = Clock()
        power = Summed(gap=5.0, clock=clock)
        with pytest.raises(ValueError, match="no watts were added for inf s"):
            power()
        power.add(2.0)
        before = power()
        clock.now += 6.0
        with pytest.raises(ValueError, match=r"no watts were added for 6\.0 s"):
            power()
        power.add(2.0)
        with pytest.raises(ValueError, match=r"for 6\.0 s"):
            power()
        clock.now += 1.0
        power.add(2.0)
        assert power() - before == 2.0

    def test_a_meter_that_hangs_is_not_waited_for_twice(self) -> None:
        go, asked = threading.Event(), []

        def meter() -> float:
            asked.append(1)
            go.wait(PATIENCE)
            return 7.0

        patient = InTime(meter, seconds=0.001)
        with pytest.raises(TimeoutError, match=r"did not answer within 0\.001 s"):
            patient()
        with pytest.raises(TimeoutError, match="still has not answered"):
            patient()
        assert len(asked) == 1
        go.set()
        assert patient._running is not None
        patient._running.join(PATIENCE)
        patient._seconds = 60.0
        assert patient() == 7.0

    def test_what_a_meter_raises_comes_through(self) -> None:
        def meter() -> float:
            raise OSError("the bus is gone")

        with pytest.raises(OSError, match="the bus is gone"):
            InTime(meter)()


RELEASE = object()
OTHER = object()


def used(*readings: Any) -> tuple[EnergyUse, Clock]:
    """A device whose meter says ``readings``, one after the other; an exception is raised."""
    left, clock = iter(readings), Clock()

    def meter() -> float:
        value = next(left)
        if isinstance(value, Exception):
            raise value
        return value  # type: ignore[no-any-return]

    return EnergyUse(meter, "fake", clock), clock


def report(start: int, **predictions: int) -> WindowReport:
    return WindowReport(Window("demo", "1.0", start, start + 60), "0" * 64, predictions)


def charges(use: EnergyUse, stretch: EnergyInterval | None, *made: int) -> list[WindowReport]:
    assert stretch is not None
    bodies: list[Body] = [report(60 * (i + 1), model=n) for i, n in enumerate(made)]
    return use.charged(bodies, stretch)  # type: ignore[return-value]


class TestStretches:
    def test_what_was_drawn_between_two_windows_is_told_with_their_predictions(self) -> None:
        use, clock = used(100.0, 130.0, 190.0)
        use.begin(RELEASE, 1)
        clock.now += 20.0
        assert use.collect(RELEASE, 1) is None
        (told,) = charges(use, use.collect(RELEASE, 2), 10)
        assert told.energy == Energy(30.0, 10, 20.0)
        clock.now += 60.0
        (told,) = charges(use, use.collect(RELEASE, 3), 4)
        assert told.energy == Energy(60.0, 4, 60.0)
        assert use.status() == {
            "meter": "fake", "dropped": {}, "joules_per_1000_predictions": 15_000.0, "watts": 1.0,
        }  # fmt: skip

    def test_windows_that_ended_together_share_it(self) -> None:
        use, clock = used(0.0, 50.0)
        use.begin(RELEASE, 1)
        clock.now += 120.0
        first, second = charges(use, use.collect(RELEASE, 3), 10, 15)
        assert (first.energy, second.energy) == (Energy(50.0, 25, 120.0), None)

    def test_predictions_that_monitoring_lost_share_it_too(self) -> None:
        use, clock = used(0.0, 50.0)
        use.begin(RELEASE, 1)
        clock.now += 60.0
        stretch = use.collect(RELEASE, 2)
        assert stretch is not None
        lost = WindowReport(
            Window("demo", "1.0", 0, 60), "0" * 64, {"model": 10}, lost={"ring": 15}
        )
        (told,) = use.charged([lost], stretch)
        assert isinstance(told, WindowReport)
        assert told.energy == Energy(50.0, 25, 60.0)

    def test_without_predictions_nothing_is_told(self) -> None:
        use, clock = used(0.0, 50.0)
        use.begin(RELEASE, 1)
        clock.now += 60.0
        stretch = use.collect(RELEASE, 2)
        assert stretch is not None
        failed = WindowReport(Window("demo", "1.0", 0, 60), "0" * 64, {}, errors={"model": 3})
        assert use.charged([failed], stretch) == [failed]
        assert use.charged([], stretch) == []

    @pytest.mark.parametrize(
        ("readings", "kind", "said"),
        [
            ([1.0, OSError("gone")], "raised", "OSError: gone"),
            ([1.0, float("nan")], "no number", "nan J"),
            ([1.0, "x"], "raised", "could not convert"),
            ([1.0, None], "raised", "TypeError"),
            ([9.0, 1.0], "backwards", "9.0 J, then 1.0 J"),
            ([1.0, 1.0], "cannot be", "expected above 0"),
            ([1.0, 1e10], "cannot be", "at most 1e+09"),
            ([OSError("gone"), 5.0], "no beginning", "OSError: gone"),
        ],
        ids=[
            "raises", "no number", "text", "nothing", "backwards", "stands still", "too much",
            "did not answer at the beginning",
        ],
    )  # fmt: skip
    def test_a_meter_that_fails_costs_the_stretch_and_is_counted(
        self, readings: list[Any], kind: str, said: str
    ) -> None:
        use, clock = used(*readings, 20.0, 30.0)
        use.begin(RELEASE, 1)
        clock.now += 60.0
        (told,) = charges(use, use.collect(RELEASE, 2), 10)
        assert (told.energy, told.lost) == (None, {"meter": 1})
        assert use.status()["dropped"] == {kind: 1}
        assert said in use.status()["said"]
        for window in (3, 4):
            clock.now += 60.0
            (told,) = charges(use, use.collect(RELEASE, window), 10)
        assert told.energy is not None

    def test_who_began_within_a_window_that_another_began_is_told_its_own_part(self) -> None:
        use, clock = used(0.0, 100.0, 130.0)
        use.begin(OTHER, 1)
        clock.now += 30.0
        use.begin(RELEASE, 1)
        clock.now += 30.0
        stretch = use.collect(RELEASE, 2)
        assert stretch is not None
        assert (stretch.who, stretch.joules, stretch.seconds) == (RELEASE, 30.0, 30.0)

    def test_while_something_runs_beside_nobody_is_told_and_then_only_of_whole_windows(
        self,
    ) -> None:
        use, _ = used(*map(float, range(10)))
        use.begin(RELEASE, 1)
        use.mix()
        assert use.collect(None, 2) is None
        assert use.collect(None, 3) is None
        use.mix()
        assert use.collect(RELEASE, 4) is None
        assert use.collect(RELEASE, 5) is not None

    def test_long_windows_are_read_within_so_that_counters_do_not_go_around_unseen(self) -> None:
        use, clock = used(0.0, 10.0, 25.0)
        use.begin(RELEASE, 1)
        for _ in range(3):
            clock.now += READ_SECONDS / 2 + 1
            assert use.collect(RELEASE, 1) is None
        stretch = use.collect(RELEASE, 2)
        assert stretch is not None
        assert stretch.joules == 25.0

    def test_without_a_meter_nothing_is_read_or_told(self) -> None:
        use = EnergyUse(None, "no meter: there is none")
        use.begin(RELEASE, 1)
        assert use.collect(RELEASE, 2, final=True) is None
        assert use.status() == {"meter": None, "why": "no meter: there is none"}


ONE_WINDOW = ServingTerms(reporting=Reporting(window_seconds=500_000_000, minimum_observations=1))
"""So long that none ends during a test, but the last."""


@pytest.fixture
def kept() -> list[Body]:
    return []


@pytest.fixture
def service(kept: list[Body]) -> Iterator[ActiveReleases]:
    """A device whose meter gains a joule whenever it is read, a second each."""
    clock, joules = Clock(), iter(range(10**6))

    def meter() -> float:
        clock.now += 1.0
        return float(next(joules))

    made = ActiveReleases(
        DeviceConfig(), "boot", kept.extend, EnergyUse(meter, "fake", clock), Clock()
    )
    yield made
    made.close()


def opened(service: ActiveReleases, tmp_path: Path, version: str) -> Predictor:
    return service.open(make_release(tmp_path, version=version), ONE_WINDOW)


def asked(serving: Predictor, times: int) -> None:
    for row in rows(times):
        serving.predict(row)


def told(kept: list[Body]) -> dict[str, Energy | None]:
    found = [body for body in kept if isinstance(body, WindowReport)]
    kept.clear()
    return {body.window.version: body.energy for body in found}


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, a meter that answers is waited for."""
    monkeypatch.setattr(
        "edge_sdk.telemetry.energy.InTime", functools.partial(InTime, seconds=600.0)
    )


class TestDevices:
    def test_a_version_that_is_replaced_is_not_charged_with_the_next(
        self, service: ActiveReleases, kept: list[Body], tmp_path: Path
    ) -> None:
        old, new = (opened(service, tmp_path, version) for version in ("1.0", "1.1"))
        service.serve(old)
        asked(old, 5)
        service.serve(new)
        asked(new, 7)
        service.collect(final=True)
        assert told(kept) == {"1.0": None, "1.1": Energy(1.0, 7, 1.0)}
        asked(new, 3)
        service.collect(final=True)
        assert told(kept) == {"1.1": Energy(1.0, 3, 1.0)}

    def test_what_a_shadow_draws_is_told_of_nobody(
        self, service: ActiveReleases, kept: list[Body], tmp_path: Path
    ) -> None:
        serving = opened(service, tmp_path, "1.0")
        service.serve(serving)
        service.run(service.shadow(make_release(tmp_path, version="1.1"), ONE_WINDOW))
        asked(serving, 5)
        service.collect(final=True)
        assert told(kept)["1.0"] is None
        service.run(None)
        asked(serving, 5)
        service.collect(final=True)
        assert told(kept)["1.0"] is None  # a part of it drew, too
        asked(serving, 5)
        service.collect(final=True)
        assert told(kept)["1.0"] == Energy(1.0, 5, 1.0)

    def test_every_window_is_charged_with_its_own_part(
        self, kept: list[Body], tmp_path: Path
    ) -> None:
        clock, terms = Clock(), ServingTerms(reporting=Reporting(60, minimum_observations=1))
        three_watts = lambda: 3.0 * clock.now  # noqa: E731
        energy = EnergyUse(three_watts, "fake", clock)
        service = ActiveReleases(DeviceConfig(), "boot", kept.extend, energy, clock)
        clock.now = 1_200.0  # a window begins
        service.serve(service.open(make_release(tmp_path), terms))
        for made in (5, 0, 9):
            for row in rows(made) if made else ():
                service.current().predict(row)
            clock.now += 59.0
            service.collect()
            clock.now += 1.1
            service.collect()
            clock.now -= 0.1
        service.close()
        found = [body for body in kept if isinstance(body, WindowReport)]
        told = [(body.window.start, body.energy) for body in found]
        assert told == [(1_200, Energy(180.3, 5, 60.1)), (1_320, Energy(180.0, 9, 60.0))]

    @pytest.mark.usefixtures("unhurried")
    def test_a_device_reads_a_counter_file_and_its_status_says_so(self, tmp_path: Path) -> None:
        root = powercap(tmp_path / "powercap", package=10**9)
        file, release = root / "intel-rapl:0" / "energy_uj", make_release(tmp_path)
        counters = find_meter(root, tmp_path)
        assert counters is not None

        def meter() -> float:
            file.write_text(str(int(file.read_text()) + 2_000_000))
            return counters()

        with EdgeDevice.offline(release.folder, energy=meter) as device:
            for row in rows(20):
                device.predict(row)
            found = [b for b in device.reports() if isinstance(b, WindowReport)]
            status = device.status()["energy"]
        energies = [body.energy for body in found if body.energy is not None]
        assert sum(energy.predictions for energy in energies) == 20
        assert all(energy.joules >= 2.0 for energy in energies)
        assert (status["meter"], status["dropped"]) == ("the app's own", {})
        assert status["joules_per_1000_predictions"] > 0

    @pytest.mark.usefixtures("unhurried")
    def test_a_meter_that_always_fails_breaks_nothing(self, tmp_path: Path) -> None:
        def meter() -> float:
            raise RuntimeError("no sensor")

        with EdgeDevice.offline(make_release(tmp_path).folder, energy=meter) as device:
            answers = [device.predict(row).label for row in rows(20)]
            found = [b for b in device.reports() if isinstance(b, WindowReport)]
            status = device.status()["energy"]
        assert len(answers) == sum(sum(body.predictions.values()) for body in found) == 20
        assert all(body.energy is None for body in found)
        assert "RuntimeError: no sensor" in status["said"]

    def test_a_meter_that_hangs_holds_nobody_up(self, tmp_path: Path) -> None:
        forever = threading.Event()
        hanging = lambda: float(forever.wait())  # noqa: E731
        with EdgeDevice.offline(make_release(tmp_path).folder, energy=hanging) as device:
            device.predict(rows(1)[0])
            found = [b for b in device.reports() if isinstance(b, WindowReport)]
            assert "still has not answered" in device.status()["energy"]["said"]
        forever.set()
        assert sum(sum(body.predictions.values()) for body in found) == 1

    @pytest.mark.parametrize("wrong", ["/sys/class/hwmon", 3.0, True])
    def test_a_meter_that_is_no_function_is_refused(self, tmp_path: Path, wrong: Any) -> None:
        with pytest.raises(StateError, match="energy: expected a function that returns joules so"):
            EdgeDevice.offline(make_release(tmp_path).folder, energy=wrong)

    def test_a_device_without_a_meter_says_so(self, tmp_path: Path) -> None:
        with EdgeDevice.offline(make_release(tmp_path).folder) as device:
            status = device.status()["energy"]
        assert (status["meter"] is None) == (find_meter() is None)
        assert "why" in status or "dropped" in status
