"""Every file of a device's state damaged, one at a time: it serves, or says which file it is.

``python -m tests.campaigns.state_damage --flips 20``

A real hub signs two releases with packs of answers and of features, and a third that runs beside
in a shadow. One device takes all of them; its state folder is taken twice, as it was closed and as
a SIGKILL left it. For every file and every damage a copy of the folder is opened without the hub:
each answer must be one that its version gives, the device must still know who it is, no floor may
be lower. Then the hub is back, and after two syncs all must be as it was.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from tuf.api.metadata import TargetFile

from cloud_hub.registry import signing
from cloud_hub.registry.repository import RELEASES
from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.plan import PackRef, ReleaseRef
from edge_sdk.errors import EdgeError, InputError
from edge_sdk.model.release import Release
from edge_sdk.packs.entity_features import write_entity_features
from edge_sdk.system.files import sha256_file
from tests.campaigns.swap_kill import EXPECTED, MODEL, ROWS, SEEDS, publish, repository_of
from tests.e2e.live import PATIENT, publish_plan, trial
from tests.edge.builders import make_release, softmax
from tests.processes.ready import run_ready
from tests.servers import HubProcess, running_hub

AWAY: Final = "http://127.0.0.1:9"
"""Nobody listens there."""

USERS: Final = [f"user-{i}" for i in range(40)]
STORED: Final = np.random.default_rng(11).normal(size=(40, 4)).astype(np.float32)
NEWEST: Final = "1.1"
LEFT_OUT: Final = ("device.db.damaged",)


# --- the hub and the device -----------------------------------------------------------------------


def prepare(hub: HubProcess, folder: Path) -> dict[str, Path]:
    """Return the state of a device that has everything, by how it ended."""
    made = folder / "made"
    made.mkdir()
    references = [_with_features(hub, made, ref) for ref in publish(hub, made)]
    hub.admin.post(f"models/{MODEL}/promote", version="1.0")
    candidate = make_release(made, MODEL, "1.2", 21)
    hub.admin.publish(candidate.folder, hub.key, override="campaign")
    state = folder / "closed"
    for reference, experiment in zip(references, (None, trial("shadow", candidate)), strict=True):
        publish_plan(hub, MODEL, serving=reference, experiment=experiment)
        with opened(state, hub.url, token=hub.token(MODEL)) as device:
            result = device.sync()
            assert not result.errors, result
            ask(device)
    killed = folder / "killed"
    shutil.copytree(state, killed)
    words = ["-m", "tests.campaigns.state_damage", "--die", killed, hub.url]
    ended = run_ready("device", words).returncode
    assert ended == -signal.SIGKILL, ended
    return {"closed": state, "killed": killed}


def _with_features(hub: HubProcess, folder: Path, ref: ReleaseRef) -> ReleaseRef:
    release = Release.open(folder / f"{MODEL}-{ref.version}-{SEEDS[ref.version]}")
    path = folder / f"{ref.version}.features"
    columns = {f"f{i}": STORED[:, i] for i in range(4)}
    write_entity_features(path, release, USERS, columns, defaults=dict.fromkeys(columns, 0.0))
    features = PackRef(FileRef(path.stat().st_size, sha256_file(path)))
    repository = repository_of(hub)
    target = TargetFile.from_file(features.target(MODEL), str(path))
    signed = signing.add_targets(
        repository.releases(), {target.path: target}, repository.signer(RELEASES)
    )
    repository.accept_releases(signed, lambda digest: path.read_bytes())
    return replace(ref, features=features)


def opened(state: Path, url: str, token: str | None = None) -> EdgeDevice:
    return EdgeDevice(state, hub=url, token=token, model=MODEL, config=PATIENT, background=False)


def die(state: Path, url: str) -> None:
    """Live as a device does, and end without a word: its log (-wal) is not written back."""
    device = opened(state, url)
    device.sync()
    for x in ROWS:
        device.feedback(device.predict(x).id, label=0)
    device._service.collect(final=True)
    os.kill(os.getpid(), signal.SIGKILL)


def ask(device: EdgeDevice) -> list[str]:
    """Return the answers that no version gives; errors that say why are no answers."""
    wrong = []
    for i, x in enumerate(ROWS):
        p = device.predict(x)
        expected = EXPECTED[p.version, p.source][i]
        if not np.allclose(p.probabilities, expected, atol=1e-5):
            wrong.append(f"row {i} of {p.version} from {p.source}")
    for user, x in zip(USERS, STORED, strict=True):
        try:
            p = device.predict(entity=user)
        except InputError:
            continue
        if not np.allclose(p.probabilities, softmax(x[None], SEEDS[p.version])[0], atol=1e-5):
            wrong.append(f"{user} of {p.version}")
    return wrong


# --- damage ---------------------------------------------------------------------------------------


def _flip(path: Path, chance: random.Random) -> None:
    raw = bytearray(path.read_bytes())
    at = chance.randrange(8 * len(raw))
    raw[at // 8] ^= 1 << at % 8
    path.write_bytes(raw)


def _folder(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: Final[dict[str, Callable[[Path, random.Random], None]]] = {
    "emptied": lambda path, chance: os.truncate(path, 0),
    "halved": lambda path, chance: os.truncate(path, path.stat().st_size // 2),
    "one bit flipped": _flip,
    "deleted": lambda path, chance: path.unlink(),
    "unreadable": lambda path, chance: path.chmod(0),
    "a folder in its place": _folder,
}


@contextlib.contextmanager
def without_privilege() -> Iterator[None]:
    """Have this thread obey the permissions of files, as root otherwise does not."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    before = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.capget(header, before) != 0:
        yield
        return
    less = (ctypes.c_uint32 * 6)(*before)
    less[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    libc.capset(header, less)
    try:
        yield
    finally:
        libc.capset(header, before)


def files(state: Path) -> list[str]:
    """Return the files below a state folder, as they are called in the table."""
    found = (p.relative_to(state).as_posix() for p in sorted(state.rglob("*")) if p.is_file())
    return [name for name in found if name not in LEFT_OUT]


# --- the judgement --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One damage and what came of it.

    Attributes:
        file: that was damaged.
        damage: how.
        ended: how the device had ended before.
        alone: what it did without the hub.
        healed: what it was after two syncs.
        faults: promises that were broken.
    """

    file: str
    damage: str
    ended: str
    alone: str
    healed: str
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """What no damage may take: the device's name, and its floors."""

    device: str
    floors: dict[str, int]


def known(template: Path) -> Known:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(template, Path(folder) / "state")
        with opened(Path(folder) / "state", AWAY) as device:
            return known_of(device)


def known_of(device: EdgeDevice) -> Known:
    assert device._link is not None
    return Known(device.status()["device"], device._link.store.get("trust_floors") or {})


def judge(
    template: Path, ended: str, name: str, damage: str, hub: str, known: Known, chance: int
) -> Case:
    """Damage one file of a copy of ``template``, and see what the device does."""
    with tempfile.TemporaryDirectory() as folder, without_privilege():
        state = Path(folder) / "state"
        shutil.copytree(template, state)
        DAMAGES[damage](state / name, random.Random(chance))
        faults: list[str] = []
        alone = _alone(state, name, known, faults)
        healed = _healed(state, hub, known, faults)
    return Case(name, damage, ended, alone, healed, tuple(faults))


def _alone(state: Path, name: str, known: Known, faults: list[str]) -> str:
    try:
        with opened(state, AWAY) as device:
            while device._service.serving is not None and device._service.serving.scrub.step():
                pass
            faults += [f"wrong: {what}" for what in ask(device)]
            faults += _changes(device, known)
            status = device.status()
            said = {**status["storage"]["damaged"], **status["damaged"].get(status["version"], {})}
            lost = Path(status["lost"].partition(": ")[0]).name if status["lost"] else None
            said = [*said, lost] if lost is not None else [*said]
            return f"{status['version']} serves" + (f"; says {', '.join(said)}" if said else "")
    except EdgeError as error:
        if Path(name).name not in str(error) and "enrol" not in str(error):
            faults.append(f"does not name the file: {error}")
        return f"says: {error}"
    except Exception as error:  # anything else is a fault
        faults.append(f"{type(error).__name__}: {error}")
        return "fails"


def _healed(state: Path, hub: str, known: Known, faults: list[str]) -> str:
    try:
        with opened(state, hub) as device:
            for _ in range(2):
                result = device.sync()
                while device._service.serving is not None and device._service.serving.scrub.step():
                    pass
            result = device.sync()
            faults += [f"wrong: {what}" for what in ask(device)]
            faults += _changes(device, known)
            status = device.status()
            if result.errors or status["version"] != NEWEST or status["damaged"]:
                faults.append(f"does not heal: {result.errors} {status['damaged']}")
            if status["pack"] is None or status["features"] is None:
                faults.append("a pack does not come back")
            return f"{status['version']} serves"
    except Exception as error:  # whatever it is, it does not heal
        faults.append(f"does not heal: {type(error).__name__}: {error}")
        return "fails"


def _changes(device: EdgeDevice, known: Known) -> list[str]:
    now = known_of(device)
    changes = [f"another device: {now.device}"] if now.device != known.device else []
    lower = {role for role, floor in known.floors.items() if now.floors.get(role, 0) < floor}
    return changes + ([f"lower floors: {sorted(lower)}"] if lower else [])


def run(hub: HubProcess, folder: Path, flips: int = 1, every: int = 1) -> Iterator[Case]:
    """Yield the outcome of every damage, or of each ``every``-th."""
    states = prepare(hub, folder)
    knows = {ended: known(state) for ended, state in states.items()}
    cases = [
        (ended, name, damage, chance)
        for ended, state in states.items()
        for name in files(state)
        if ended == "closed" or not (states["closed"] / name).exists()
        for damage in DAMAGES
        for chance in range(flips if damage == "one bit flipped" else 1)
    ]
    for ended, name, damage, chance in cases[::every]:
        yield judge(states[ended], ended, name, damage, hub.url, knows[ended], chance)


def short(name: str) -> str:
    """Return a file's name without the digests in it."""
    parts = (part if len(part) < 64 else "…" + part[64:] for part in name.split("/"))
    return "/".join(parts)


def table(cases: list[Case]) -> str:
    """Return the outcomes as Markdown, one line for each file and kind of outcome."""
    lines: dict[tuple[str, str, str], list[str]] = {}
    for case in cases:
        lines.setdefault((short(case.file), case.alone[:60], case.healed), []).append(case.damage)
    rows = [
        f"| `{file}` | {', '.join(dict.fromkeys(damages))} | {alone} | {healed} |"
        for (file, alone, healed), damages in lines.items()
    ]
    head = ["| file | damage | without the hub | with the hub again |", "|---|---|---|---|"]
    return "\n".join(head + rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=20, help="flips of each file")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th case")
    parser.add_argument("--die", nargs=2, metavar=("STATE", "HUB"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.die:
        die(Path(arguments.die[0]), arguments.die[1])
    with tempfile.TemporaryDirectory() as folder, running_hub(Path(folder)) as hub:
        cases = []
        for case in run(hub, Path(folder), arguments.flips, arguments.every):
            cases.append(case)
            if case.faults:
                print(json.dumps(vars(case)), file=sys.stderr, flush=True)
    print(table(cases))
    wrong = [case for case in cases if case.faults]
    print(f"\n{len(cases)} damages, {len(wrong)} broken promises")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
