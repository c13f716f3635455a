"""Networks and hubs at their worst: updates complete after they heal, and few bytes come twice.

``python -m tests.campaigns.chaos [--case "captive portal"] [--size 2000000]``

A real device updates from a real hub through :mod:`tests.campaigns.harness.bad_network`. In each
case a new device has the old release, and something is wrong while it brings the new one. Some
trouble holds all the time (loss, latency, a slow line, cuts). Other trouble begins after half of
the bytes: the connection is cut, then a portal answers, or a gateway, or somebody with another
certificate; the device syncs, must go on serving the old release, and the trouble ends. Then the
device must complete, and in sum at most a twentieth more bytes may have come than to a device that
nothing disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from tests.campaigns.harness.bad_network import FAIR, BadNetwork, Weather
from tests.campaigns.harness.bulky_release import make_bulky
from tests.campaigns.harness.certificates import Authority
from tests.edge.builders import rows
from tests.servers import HubProcess

MODEL, OLD, NEW = "chaos", "1.0", "1.1"
AGAIN: Final = 0.05
"""Share of the bytes that may come twice."""

NAME: Final = "hub.test"
"""A name that no resolver knows."""

PROMPT: Final = DeviceConfig(request_seconds=8.0)
SYNCS: Final = 100
"""At most, until a device has completed."""

PORTAL: Final = b"<html><body>Welcome! Please accept our terms of use.</body></html>"


def reply(status: str, body: bytes, *headers: str) -> bytes:
    """Return an answer of somebody between device and hub."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/html", f"Content-Length: {len(body)}"]
    lines += [*headers, "Connection: close"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


UNDISTURBED: Final = "undisturbed"
ALL_THE_TIME: Final = {
    UNDISTURBED: FAIR,
    "cut at random bytes": Weather(cut=(20_000, 400_000)),
    "5% loss": Weather(loss=0.05),
    "200 ms": Weather(latency=0.1),
    "50 kbit/s": Weather(rate=50_000 / 8),
}
FROM_HALF_ON: Final = {
    "captive portal": Weather(answer=reply("200 OK", PORTAL)),
    "login page elsewhere": Weather(
        answer=reply("302 Found", b"", "Location: http://login.example/")
    ),
    "error 500": Weather(answer=reply("500 Internal Server Error", b"oops")),
    "gateway's page 502": Weather(answer=reply("502 Bad Gateway", b"<html>bad gateway</html>")),
    "nobody there": Weather(until=0),
    "noise": Weather(answer=b"\x00\xff\x17 SSH-2.0-not-a-hub\r\n\r\n"),
}
TLS: Final = "wrong, expired, no certificate"
DNS: Final = "name not found"
RESTART: Final = "hub restarted"
CASES: Final = (*ALL_THE_TIME, *FROM_HALF_ON, TLS, DNS, RESTART)


@dataclass(frozen=True)
class Course:
    """How one update went.

    Attributes:
        case: what was wrong.
        completed: the new release serves in the end.
        served: the old one did for as long as there was trouble.
        syncs: until it was complete.
        seconds: that it took.
        carried: bytes that came to the device.
        again: share of the undisturbed update's bytes that came besides.
    """

    case: str
    completed: bool
    served: bool
    syncs: int
    seconds: float
    carried: int
    again: float

    def wrong(self) -> list[str]:
        """Return what should not have happened."""
        said = []
        if not self.completed:
            said.append(f"{self.case}: expected the new release in {SYNCS} syncs")
        if not self.served:
            said.append(f"{self.case}: expected the old release to go on serving")
        if self.again > AGAIN:
            said.append(f"{self.case}: {self.again:.1%} of the bytes came again")
        return said


class Stage:
    """A hub with an old release and a large new one, and the network before it.

    Args:
        folder: for everything.
        size: bytes of the new release.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self.size = size
        self.hub = HubProcess(folder, tick=0)
        for version, seed, weight in ((OLD, 0, 1_000), (NEW, 7, size)):
            release = make_bulky(folder / "made", MODEL, version, seed, weight)
            self.hub.admin.publish(release.folder, self.hub.key, override="campaign")
        self.network = BadNetwork(self._port)
        self.authority = Authority.new(folder / "certificates", "ours")
        self._promote(OLD)
        self.token = self.hub.token(MODEL, uses=10_000)
        self._devices = 0

    @property
    def _port(self) -> int:
        return int(self.hub.url.rpartition(":")[2])

    def _promote(self, version: str) -> None:
        self.hub.admin.post(f"models/{MODEL}/promote", version=version, override="campaign")

    @contextlib.contextmanager
    def device(self, url: str, **options: Any) -> Iterator[EdgeDevice]:
        """A new device with the old release, whose plan says by now to bring the new one."""
        self._devices += 1
        state = self._folder / f"device-{self._devices}"
        self._promote(OLD)
        options = {"token": self.token, "model": MODEL, "config": PROMPT, **options}
        with EdgeDevice(state, hub=url, background=False, **options) as device:
            assert device.sync().errors == {}
            self._promote(NEW)
            self.network.carried = 0
            yield device

    def start_hub(self) -> None:
        """Start the hub again; it has another port."""
        self.hub.start()
        self.network.hub = self._port

    def close(self) -> None:
        self.network.close()
        self.hub.close()


@dataclass
class ObservedUpdate:
    """The update of one device, and what was seen of it."""

    stage: Stage
    device: EdgeDevice
    syncs: int = 0
    served: bool = True

    @property
    def version(self) -> str:
        return str(self.device.predict(rows(1)[0]).version)

    def sync(self) -> None:
        self.device.sync()
        self.syncs += 1

    def complete(self) -> bool:
        """Sync until the new release serves; return whether it does."""
        while self.version != NEW and self.syncs < SYNCS:
            self.sync()
        return self.version == NEW

    def first_half(self) -> None:
        """Have all connections cut after half of the bytes, and nobody there from then on."""
        self.stage.network.change(Weather(until=self.stage.size // 2))
        self.sync()

    def trouble(self, *changes: Callable[[], None]) -> None:
        """Sync through each kind of trouble; the old release must serve on."""
        for change in changes:
            change()
            self.sync()
            self.served = self.served and self.version == OLD


def run_case(stage: Stage, case: str) -> tuple[bool, ObservedUpdate]:
    """Run one case; return whether the update completed."""
    network = stage.network
    url = f"http://127.0.0.1:{network.port}"
    network.change(FAIR)
    if case == TLS:
        return _with_tls(stage)
    if case == DNS:
        return _with_names(stage)
    with stage.device(url) as device:
        update = ObservedUpdate(stage, device)
        if case in ALL_THE_TIME:
            network.change(ALL_THE_TIME[case])
            return update.complete(), update
        update.first_half()
        if case == RESTART:
            update.trouble(stage.hub.kill)
            stage.start_hub()
        else:
            update.trouble(lambda: network.change(FROM_HALF_ON[case]), lambda: None)
        network.change(FAIR)
        return update.complete(), update


def _with_tls(stage: Stage) -> tuple[bool, ObservedUpdate]:
    """A stranger's certificate, one that has expired, one for another host, and no TLS at all."""
    network, ours = stage.network, stage.authority
    stranger = Authority.new(ours.folder, "stranger")
    good = ours.server()
    network.change(FAIR, good)
    try:
        url = f"https://localhost:{network.port}"
        with stage.device(url, verify=str(ours.bundle)) as device:
            update = ObservedUpdate(stage, device)
            update.first_half()
            update.trouble(
                lambda: network.change(FAIR, stranger.server()),
                lambda: network.change(FAIR, ours.server(begins=-30, ends=-1)),
                lambda: network.change(FAIR, ours.server(host="elsewhere.test")),
                lambda: _without_tls(network),
            )
            network.change(FAIR, good)
            return update.complete(), update
    finally:
        network.tls = None


def _without_tls(network: BadNetwork) -> None:
    network.tls = None
    network.change(FROM_HALF_ON["noise"])


def _with_names(stage: Stage) -> tuple[bool, ObservedUpdate]:
    """The hub's name cannot be resolved for some time."""
    known = {NAME}
    with _resolver(known), stage.device(f"http://{NAME}:{stage.network.port}") as device:
        update = ObservedUpdate(stage, device)
        update.first_half()

        def forget() -> None:
            known.clear()
            stage.network.change(FAIR)

        update.trouble(forget, lambda: None)
        known.add(NAME)
        return update.complete(), update


@contextlib.contextmanager
def _resolver(known: set[str]) -> Iterator[None]:
    """This process's resolver, which knows one name more while that is in ``known``."""
    resolve = socket.getaddrinfo

    def resolve_known(host: Any, *more: Any, **options: Any) -> Any:
        if host == NAME and host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve("127.0.0.1" if host == NAME else host, *more, **options)

    socket.getaddrinfo = resolve_known  # type: ignore[assignment]
    try:
        yield
    finally:
        socket.getaddrinfo = resolve


def run(folder: Path, cases: Sequence[str], size: int, slow_size: int) -> list[Course]:
    """Run the cases, each beside an undisturbed update of the same size."""
    courses: list[Course] = []
    slow, cases = ["50 kbit/s"], [case for case in cases if case != UNDISTURBED]
    for name, weight, chosen in (
        ("fast", size, [case for case in cases if case not in slow]),
        ("slow", slow_size, [case for case in cases if case in slow]),
    ):
        if chosen:
            stage = Stage(_made(folder / name), weight)
            try:
                usual = _course(stage, UNDISTURBED, None)
                courses += [usual, *(_course(stage, case, usual.carried) for case in chosen)]
            finally:
                stage.close()
    return courses


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _course(stage: Stage, case: str, usual: int | None) -> Course:
    began = time.monotonic()
    completed, update = run_case(stage, case)
    carried = stage.network.carried
    course = Course(
        case if usual is not None else f"{case}, {stage.size} bytes",
        completed,
        update.served,
        update.syncs,
        round(time.monotonic() - began, 1),
        carried,
        carried / usual - 1 if usual else 0.0,
    )
    print(told(course), flush=True)
    return course


def told(course: Course) -> str:
    """Return one line about an update."""
    end = "completed" if course.completed else "did not complete"
    return (
        f"{course.case}: {end} in {course.syncs} syncs, {course.seconds:.1f} s; "
        f"{course.carried} bytes, {course.again:+.1%}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 if every update completed and few bytes came again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--case", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--size", type=int, default=2_000_000, help="bytes of the release")
    parser.add_argument("--slow-size", type=int, default=200_000, help="the same on the slow line")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        courses = run(Path(folder), arguments.case, arguments.size, arguments.slow_size)
    wrong = [sentence for course in courses for sentence in course.wrong()]
    print(f"{len(courses)} updates, {len(wrong)} not as they should be", *wrong, sep="\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(course) for course in courses], indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
