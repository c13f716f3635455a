"""What a device writes to its SD card in a day: ``python -m benchmarks.card_wear``, as root.

The state lies on an ext4 file system of its own, whose block device counts every sector that
reaches it, so the journal and metadata of the file system are in the figure, which a process's own
counters leave out. Minutes are not waited for: after each the file system is synced, as it would
have been by then of itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk import EdgeDevice
from tests.edge.builders import make_release, rows
from tests.servers import HubProcess

SECTOR: Final = 512
MINUTES_OF_A_DAY: Final = 1_440
WINDOW_MINUTES: Final = 5
CARD_BYTES: Final = 256 << 20


class Card:
    """A file system on a block device of its own.

    Args:
        folder: where it is mounted.
        device: name of the block device, such as ``loop0``.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        self._counts = Path("/sys/block") / device / "stat"

    def written(self) -> int:
        """Return the bytes that reached the device, once all that waits has been written."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        subprocess.run(["sync", "-f", self.folder], check=True)
        return int(self._counts.read_text().split()[6]) * SECTOR


@contextlib.contextmanager
def mounted_card(place: Path) -> Iterator[Card]:
    """Make an ext4 file system with the usual options, mounted as Raspberry Pi OS mounts its own.

    Args:
        place: folder for its image.

    Raises:
        subprocess.CalledProcessError: this user or kernel mounts no loop device.
    """
    image, folder = place / "card", place / "mounted"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(CARD_BYTES)
    options = "lazy_itable_init=0,lazy_journal_init=0"  # or the kernel goes on writing zeros later
    subprocess.run(["mkfs.ext4", "-q", "-E", options, image], check=True)
    subprocess.run(["mount", "-o", "loop,noatime", image, folder], check=True)
    try:
        source = subprocess.run(
            ["findmnt", "-n", "-o", "SOURCE", folder], check=True, capture_output=True, text=True
        )
        yield Card(folder, Path(source.stdout.strip()).name)
    finally:
        # The device may still map a file of it.
        subprocess.run(["umount", "--lazy", folder], check=True)


@dataclass(frozen=True)
class Wear:
    """Bytes that reached the card in a minute with a sync, on average, and in an update.

    Attributes:
        quiet: of a device that answers nothing.
        answering: of one that answers, and so reports every window.
        labelled: of one that is also told the truth later, and so keeps what it answered.
        update: of an update by a version of 5 KB.
    """

    quiet: float
    answering: float
    labelled: float
    update: float


class Minutes:
    """A device whose clock is ours, and the minutes that it lives through.

    Args:
        card: where its state lies.
        minutes: of each kind of life.
        options: of the device.
    """

    def __init__(self, card: Card, minutes: int, options: dict[str, str]) -> None:
        self._card, self._minutes = card, minutes
        self._now = time.time() - 3 * 60 * minutes
        self.device = EdgeDevice(
            card.folder / "state", background=False, clock=lambda: self._now, **options  # type: ignore[arg-type]
        )  # fmt: skip
        self.device.sync()

    def lived(self, *, rows_a_minute: int, labels: int = 0) -> float:
        """Return the bytes that reached the card in a minute, on average.

        Args:
            rows_a_minute: that the device answers.
            labels: of them that come a little later.
        """
        before = self._card.written()
        for minute in range(self._minutes):
            self._now += 60.0
            answers = [self.device.predict(x) for x in rows(rows_a_minute)]
            for answer in answers[:labels]:
                self.device.feedback(answer.id, label=answer.label)
            # Predictions that wait for labels are kept once a window of the machine's own time,
            # which does not pass here; when a device ends, they are, too.
            self.device._service.collect(final=labels > 0 and minute % WINDOW_MINUTES == 0)
            self.device.sync()
            self._card.written()  # what waited in memory is written each minute, as it is in a day
        return (self._card.written() - before) / self._minutes


def publish(hub: HubProcess, place: Path, version: str, seed: int) -> None:
    """Publish a version of a small model, and let it serve."""
    release = make_release(place / "made", version=version, seed=seed)
    hub.admin.publish(release.folder, hub.key, override="bench")
    hub.admin.post("models/demo/promote", version=version)


def worn(hub: HubProcess, place: Path, minutes: int) -> Wear:
    """Measure a device that answers, reports and is updated.

    Args:
        hub: it publishes here.
        place: folder for what is made.
        minutes: of each kind of life.
    """
    publish(hub, place, "1.0", 0)
    options = {"hub": hub.url, "token": hub.token("demo"), "model": "demo"}
    with mounted_card(place) as card:
        life = Minutes(card, minutes, options)
        with life.device as device:
            quiet = life.lived(rows_a_minute=0)
            answering = life.lived(rows_a_minute=10)
            labelled = life.lived(rows_a_minute=10, labels=2)
            publish(hub, place, "1.1", 1)
            before = card.written()
            device.sync()
            return Wear(quiet, answering, labelled, card.written() - before)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.card_wear")
    parser.add_argument("--minutes", type=int, default=60, help="of each kind that are measured")
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        hub = HubProcess(place)
        try:
            wear = worn(hub, place, minutes)
        finally:
            hub.close()
    print("| a sync a minute, journal and metadata included | KiB a minute | MB a day |")
    print("|---|---|---|")
    lives = (
        ("answers nothing", wear.quiet),
        ("answers 10 rows a minute", wear.answering),
        ("answers 10 rows a minute, 2 of which get labels", wear.labelled),
    )
    for name, each in lives:
        print(f"| {name} | {each / 1024:,.1f} | {each * MINUTES_OF_A_DAY / 1e6:,.1f} |")
    print(f"\nAn update by a version of 5 KB: {wear.update / 1024:,.0f} KiB.")


if __name__ == "__main__":
    main()
