"""SIGKILL at any moment of a swap: no answer of one version's pack beside another version's model.

``python -m tests.campaigns.swap_kill --trials 1000``

A real hub signs two versions of a model, each with its own pack; models and packs all answer
differently. In every trial a device on the same state folder starts, answers, follows the hub's
plan, and then swaps to and fro between the two as fast as it can, while another thread asks it
without pause and writes down every answer. At a random moment it is killed. The next trial is its
restart. The plan at the hub alternates too.

The parent loads no model and opens no device, so that it can fork: a trial does not cost a start
of Python. What a child wrote before it was killed is in the page cache and is not lost.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import signal
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np
from tuf.api.metadata import TargetFile

from cloud_hub.registry import signing
from cloud_hub.registry.repository import Repository
from cloud_hub.registry.roles import RELEASES
from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.plan import PackRef, Plan, ReleaseRef
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.writer import write_pack
from edge_sdk.system.files import sha256_file
from edge_sdk.update.state import ORDER
from edge_sdk.update.targets import DesiredState
from tests.e2e.live import PATIENT
from tests.edge.builders import CLASSES, make_release, rows, softmax
from tests.servers import HubProcess, running_hub

MODEL: Final = "swap"
SEEDS: Final = {"1.0": 0, "1.1": 7}
VERSIONS: Final = tuple(SEEDS)
SOURCES: Final = ("pack", "model")
ROWS: Final = rows(16)
IN_PACK: Final = 8
"""The first rows are in the packs, the others are left to the models."""

RECORD: Final = struct.Struct("<4B3f")
ANSWER, STEP = 0, 1
STARTING: Final = 0.2
"""The share of trials that end while the device starts."""


@dataclass(frozen=True)
class Answer:
    """What the device said of row ``row``."""

    version: str
    source: str
    row: int
    probabilities: tuple[float, ...]


def pack_answers(version: str) -> np.ndarray:
    """What the pack of ``version`` says of the first rows: unlike both models, unlike the other."""
    kept = np.full((IN_PACK, CLASSES), 0.125, np.float32)
    kept[:, 0 if version == "1.0" else 2] = 0.75
    return kept


EXPECTED: Final = {
    (version, source): pack_answers(version) if source == "pack" else softmax(ROWS, seed)
    for version, seed in SEEDS.items()
    for source in SOURCES
}


def violations(answers: list[Answer]) -> list[str]:
    """What was said that neither version, whole, would say."""
    wrong = []
    for answer in answers:
        source = "pack" if answer.row < IN_PACK else "model"
        if answer.source != source:
            wrong.append(f"row {answer.row}: expected the {source}'s answer, got {answer}")
        elif not np.allclose(
            answer.probabilities, EXPECTED[answer.version, source][answer.row], atol=1e-5
        ):
            wrong.append(f"row {answer.row}: not what {answer.version}'s {source} says: {answer}")
    return wrong


# --- the hub --------------------------------------------------------------------------------------


def publish(hub: HubProcess, folder: Path) -> list[ReleaseRef]:
    """Both versions and their packs, signed by the hub's own keys."""
    return [_publish(hub, folder, version) for version in VERSIONS]


def _publish(hub: HubProcess, folder: Path, version: str) -> ReleaseRef:
    release = make_release(folder, MODEL, version, SEEDS[version])
    hub.admin.publish(release.folder, hub.key, override="campaign")
    path = folder / f"{version}.pack"
    keys = np.frombuffer(b"".join(keys_of(release)), np.uint8).reshape(-1, 16)
    answers = {"probabilities": pack_answers(version)}
    write_pack(path, release, keys, answers, answered_by=f"campaign {version}")
    pack = PackRef(FileRef(path.stat().st_size, sha256_file(path)))
    repository = repository_of(hub)
    target = TargetFile.from_file(pack.target(MODEL), str(path))
    signed = signing.add_targets(
        repository.releases(), {target.path: target}, repository.signer(RELEASES)
    )
    repository.accept_releases(signed, lambda digest: path.read_bytes())
    return ReleaseRef(version, release.digest, pack)


def keys_of(release: Release) -> list[bytes]:
    key = Canonicaliser(release.manifest.signature).key
    return [key(row.tobytes()) for row in ROWS[:IN_PACK]]


def repository_of(hub: HubProcess) -> Repository:
    return Repository(hub.data / "repository", hub.data / "keys")


# --- the device, in a child that will be killed ---------------------------------------------------


@dataclass(frozen=True)
class Device:
    """How a child opens the device."""

    state: Path
    hub: str
    token: str
    references: list[ReleaseRef]


def live(how: Device, log: int, ready: int) -> None:
    """Answer and swap until killed."""
    with EdgeDevice(
        how.state, hub=how.hub, token=how.token, model=MODEL, config=PATIENT, background=False
    ) as device:
        assert device._link is not None
        updater = device._models.own._link.updater
        updater._checkpoint = lambda step: write_step(log, step)
        if updater.state.current is not None:
            ask(device, log)
        device.sync()
        ask(device, log)
        threading.Thread(target=ask_for_ever, args=(device, log), daemon=True).start()
        os.write(ready, b"!")
        for serial in range(time.time_ns(), sys.maxsize):
            current = updater.state.current
            other = next(
                r for r in how.references if current is None or r.version != current.version
            )
            updater.apply(DesiredState.only(other), serial=serial)


def ask_for_ever(device: EdgeDevice, log: int) -> None:
    while True:
        ask(device, log)


def ask(device: EdgeDevice, log: int) -> None:
    """Ask about every row, and write each answer down."""
    for row in range(len(ROWS)):
        p = device.predict(ROWS[row])
        assert p.probabilities is not None
        place = (ANSWER, VERSIONS.index(p.version), SOURCES.index(p.source), row)
        os.write(log, RECORD.pack(*place, *p.probabilities.tolist()))


def write_step(log: int, step: str) -> None:
    os.write(log, RECORD.pack(STEP, [*ORDER].index(step), 0, 0, 0, 0, 0))  # type: ignore[arg-type]


# --- trials ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """What one trial left: its answers, and the step of the update at which the device died."""

    answers: list[Answer]
    died_at: str


def run_trial(how: Device, log: Path, chance: random.Random) -> Trial:
    """Start the device, kill it at a random moment, read what it wrote."""
    log.write_bytes(b"")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(how, log, writer)
    os.close(writer)
    if chance.random() < STARTING:
        time.sleep(chance.uniform(0, 0.15))
    else:
        select.select([reader], [], [], 30)
        time.sleep(chance.uniform(0, 0.15))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(reader)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise RuntimeError(f"the device ended by itself:\n{log.with_suffix('.err').read_text()}")
    return read_log(log.read_bytes())


def _child(how: Device, log: Path, ready: int) -> None:
    """Never returns."""
    try:
        live(how, os.open(log, os.O_WRONLY | os.O_APPEND), ready)
    except BaseException:
        log.with_suffix(".err").write_text(traceback.format_exc())
    finally:
        os._exit(1)


def read_log(raw: bytes) -> Trial:
    """The answers and the last step in what a device wrote; a torn last record is left out."""
    answers, died_at = [], "before any step"
    whole = len(raw) // RECORD.size * RECORD.size
    for kind, a, b, row, *values in RECORD.iter_unpack(raw[:whole]):
        if kind == STEP:
            died_at = ORDER[a]
        else:
            answers.append(Answer(VERSIONS[a], SOURCES[b], row, tuple(values)))
    return Trial(answers, died_at)


def campaign(folder: Path, trials: int, seed: int) -> Iterator[Trial]:
    """Trials, one after the other on one device and one hub."""
    chance = random.Random(seed)
    with running_hub(folder, tick=0) as hub:
        references = publish(hub, folder / "made")
        # A device that was killed while it enrolled asks again.
        token = hub.token(MODEL, uses=trials)
        how = Device(folder / "state", hub.url, token, references)
        plans = cycle(references)
        for serial in range(1, trials + 1):
            repository_of(hub).publish_plan(Plan(MODEL, serial, next(plans)))
            yield run_trial(how, folder / "log", chance)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    steps: Counter[str] = Counter()
    said: Counter[str] = Counter()
    wrong: list[str] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for trial in campaign(Path(folder), arguments.trials, arguments.seed):
            steps[trial.died_at] += 1
            said.update(f"{answer.version} {answer.source}" for answer in trial.answers)
            wrong += violations(trial.answers)
    print(f"{arguments.trials} kills in {time.monotonic() - started:.0f} s")
    print("last step before the kill:", dict(steps.most_common()))
    print("answers:", dict(sorted(said.items())))
    print(f"wrong answers: {len(wrong)}", *wrong[:10], sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
