"""``make arm64``: a device on an emulated arm64 Debian, and a hub on this machine.

The device package is installed from the lock's hashes, as wheels of arm64. Releases that were made
here are served there: a forest's answers have the same bits, a network's are within its
certificate, a pack answers what it holds. The device is updated, measured, and its own tests run.

Needs root, for ``chroot`` and mounts. ``--tests none`` leaves the tests out, ``--tests all`` runs
all of them; else a selection runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.dataset import Dataset
from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.model.release import Release
from tests.deploy.debian import DebianRoot, ProgramMissing, emulate_arm64, megabytes, needs
from tests.edge.builders import make_release, rows
from tests.servers import HubProcess
from tests.structure import ROOT
from tests.waiting import wait_for

PLACE: Final = ROOT / ".arm64"
"""Hidden: whoever looks for code in this repository does not look for it there."""

PLATFORMS: Final = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
PYTHON: Final = "3.11"
"""Of Debian 12. Its lock is the one of every version."""

OF_DEBIAN: Final = ("setuptools", "pkg_resources", "_distutils_hack", "__pycache__")
"""What a virtual environment of its Python 3.11 begins with, besides pip."""

SELECTION: Final = (
    "tests/contract", "tests/edge/model", "tests/edge/packs", "tests/edge/system",
    "tests/edge/update",
)  # fmt: skip
"""Tests that run there: what depends on the machine, its bytes and its disk."""

PLAIN_PRODUCTS: Final = {"OPENBLAS_CORETYPE": "ARMV8"}
"""QEMU's newest instructions tell numpy of divisions by zero in products that have none."""

# A device votes for what it was asked twice in a window, and an emulated one takes its time.
POLICY: Final = b"packs: {every: 0.5, minimum_devices: 1}\nreporting: {window: 300s, votes: 1000}\n"


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Print what is done, and how long it took."""
    began = time.monotonic()
    yield
    print(f"{name} · {time.monotonic() - began:.0f} s", flush=True)


def wheels() -> Path:
    """Return a folder of arm64 wheels of the device's lock and of its tests', and its own wheel."""
    folder = PLACE / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--dest", str(folder)]
    platforms = [word for p in PLATFORMS for word in ("--platform", f"{p}_aarch64")]
    lock = ["--require-hashes", "--no-deps", "-r", "requirements/test.txt"]
    subprocess.run(
        [*pip, *platforms, "--python-version", PYTHON, "--only-binary=:all:", *lock],
        check=True, cwd=ROOT,
    )  # fmt: skip
    for old in folder.glob("edge_deployment_sdk_core-*"):
        old.unlink()
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*command, "--directory", str(folder)], check=True, cwd=ROOT / "edge_sdk",
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return folder


def install(root: DebianRoot, folder: Path) -> None:
    """Make the device's environment there from the wheels alone, and print what it weighs."""
    for what in (root.folder / "venv", root.folder / "wheels", root.folder / "src"):
        shutil.rmtree(what, ignore_errors=True)
    shutil.copytree(folder, root.folder / "wheels")
    shutil.copytree(ROOT / "requirements", root.folder / "src" / "requirements")
    root.run(["python3", "-m", "venv", "/venv"])
    pip = ["pip", "install", "--quiet", "--no-index", "--find-links", "/wheels"]
    root.run([*pip, "--require-hashes", "-r", "/src/requirements/device.txt"])
    (own,) = folder.glob("edge_deployment_sdk_core-*.whl")
    root.run([*pip, "--no-deps", f"/wheels/{own.name}"])
    (packages,) = (root.folder / "venv" / "lib").glob("python3.*/site-packages")
    runtime = ["onnxruntime", "numpy", "numpy.libs"]
    besides = [path for path in packages.iterdir() if not path.match("pip*")]
    besides = [path for path in besides if path.name not in runtime and path.name not in OF_DEBIAN]
    bytecode = sum(megabytes(folder) for path in besides for folder in path.rglob("__pycache__"))
    whole = sum(megabytes(path) for path in besides)
    print(
        f"  numpy and onnxruntime {sum(megabytes(packages / name) for name in runtime):.0f} MB, "
        f"everything besides {whole - bytecode:.1f} MB, with bytecode {whole:.1f} MB"
    )


def take_tests(root: DebianRoot) -> None:
    """Copy the tests there, and what they read; the device package is the installed one."""
    for name in ("tests", "packs", "docs", "examples"):
        shutil.copytree(ROOT / name, root.folder / "src" / name, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", root.folder / "src")


@dataclass(frozen=True)
class Made:
    """A release that was made here, and rows to ask it.

    Attributes:
        release: its folder here.
        X: float32 [N, features].
        within: largest difference of a probability that its answers may have elsewhere.
    """

    release: Release
    X: NDArray[np.float32]
    within: float

    @property
    def name(self) -> str:
        return self.release.manifest.model

    @property
    def version(self) -> str:
        return self.release.manifest.version


def forest_and_network(place: Path) -> list[Made]:
    """Train both on handwritten digits, and convert them."""
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neural_network import MLPClassifier

    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    forest = RandomForestClassifier(30, random_state=0).fit(X[::2], y[::2])
    network = MLPClassifier((64,), max_iter=60, random_state=0).fit(X[::2], y[::2])
    made = []
    for name, model in (("forest", forest), ("network", network)):
        release = convert(model, X[1::2], y[1::2], name=name, version="1.0", out=place / name)
        within = 0.0 if name == "forest" else release.golden().tolerance
        made.append(Made(release, X[1::2][:40], within))
    return made


def publish(hub: HubProcess, release: Release) -> None:
    manifest = release.manifest
    hub.admin.publish(release.folder, hub.key, override="a test")
    hub.admin.post(f"models/{manifest.model}/promote", version=manifest.version)


def asked(root: DebianRoot, hub: HubProcess, made: Made, token: str) -> dict[str, Any]:
    """Return what the device there says of a model; it enrols if it has not."""
    np.save(root.folder / "rows.npy", made.X)
    arguments = [f"/state-{made.name}", hub.url, token, made.name, made.version, "/rows.npy"]
    command = ["python", "-m", "tests.deploy.on_device", *arguments]
    said: dict[str, Any] = json.loads(root.run(command, env={"PYTHONPATH": "/src"}))
    assert said["machine"] == "aarch64"
    assert said["serving"] == made.version, said
    assert said["errors"] == {}, said
    return said


def compare(said: dict[str, Any], made: Made) -> str:
    """Compare the answers with those of the same release here; return how they compare."""
    with EdgeDevice.offline(made.release.folder) as device:
        here = [device.predict(row) for row in made.X]
        together = np.asarray(device.predict_batch(made.X).probabilities, np.float64)
    scores = np.array([each.probabilities for each in here], np.float64)
    difference = max(
        float(np.abs(np.array(said["scores"]) - scores).max()),
        float(np.abs(np.array(said["together"]) - together).max()),
    )
    assert difference <= made.within, f"{made.name}: differs by {difference:g}"
    if made.within == 0.0:
        assert said["labels"] == [each.label for each in here]
        return "the same bits as here"
    return f"within {difference:.1g} of here; certified for {made.within:.1g}"


def pack_of(hub: HubProcess, root: DebianRoot, place: Path) -> None:
    """Have the hub build a pack of what the device asks for, and let that answer there."""
    made = Made(make_release(place / "packed", "packed"), rows(30), 1e-6)
    publish(hub, made.release)
    catalogue = Dataset.of(made.X, None).to_bytes()
    hub.admin.post("models/packed/datasets/catalogue", catalogue)
    hub.admin.put("models/packed/policy", POLICY)
    token = hub.token("packed")

    def from_pack() -> bool:
        return bool(asked(root, hub, made, token)["sources"] == ["pack"])

    wait_for(from_pack, "a pack on the device", every=2)


def update(hub: HubProcess, root: DebianRoot, made: Made, place: Path) -> None:
    """Publish the same model as 1.1, with other trees, and let the device take it."""
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier

    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    model = RandomForestClassifier(40, random_state=1).fit(X[::2], y[::2])
    out = place / "forest-1.1"
    release = convert(model, X[1::2], y[1::2], name=made.name, version="1.1", out=out)
    publish(hub, release)
    newer = Made(release, made.X, 0.0)
    print(f"  {compare(asked(root, hub, newer, 'unused'), newer)}")


def measure(root: DebianRoot, made: Made) -> None:
    """Run ``edge bench`` and ``edge predict`` on a release there."""
    there = root.folder / "release"
    shutil.rmtree(there, ignore_errors=True)
    shutil.copytree(made.release.folder, there)
    row = json.dumps(made.X[0].tolist())
    assert json.loads(root.run(["edge", "predict", "/release", row, "--json"]))["source"] == "model"
    figures = json.loads(root.run(["edge", "bench", "/release", "--quick", "--json"]))
    assert "aarch64" in json.dumps(figures), figures


def run_tests(root: DebianRoot, which: str) -> None:
    """Run the device's tests there; raises CalledProcessError if one fails."""
    if which == "none":
        return
    with step("what tests need, by the lock's hashes"):
        pip = ["pip", "install", "--quiet", "--no-index", "--find-links", "/wheels"]
        root.run([*pip, "--require-hashes", "-r", "/src/requirements/test.txt"])
    places = ["tests/contract", "tests/edge"] if which == "all" else list(SELECTION)
    options = ["-q", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider", "-m", "not slow"]
    words = shlex.join(["python", "-m", "pytest", *options, "-o", "timeout=3600", *places])
    with step(f"the device's tests there: {' '.join(places)}"):
        environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **PLAIN_PRODUCTS}
        print(root.run(["sh", "-c", f"cd /src && {words}"], env=environment, limit=20_000)[-400:])


def story(root: DebianRoot, place: Path) -> None:
    """Make releases here and serve them there, from a hub here."""
    with step("a forest and a network trained, converted"):
        models = forest_and_network(place)
    hub = HubProcess(place, tick=0.5)
    try:
        for made in models:
            publish(hub, made.release)
            with step(f"{made.name}: enrolled, synced, certified again and answered there"):
                print(f"  {compare(asked(root, hub, made, hub.token(made.name)), made)}")
        with step("a pack that the hub built answers there"):
            pack_of(hub, root, place)
        with step("the forest updated to 1.1"):
            update(hub, root, models[0], place)
        with step("edge predict and edge bench there"):
            measure(root, models[1])
    finally:
        hub.close()


def main() -> int:
    """Do all of it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.arm64")
    parser.add_argument("--tests", choices=("none", "some", "all"), default="some")
    which = parser.parse_args().tests
    try:
        needs(debootstrap="debootstrap", chroot="coreutils")
        emulate_arm64()
    except ProgramMissing as missing:
        print(missing, file=sys.stderr)
        return 1
    with step("an arm64 Debian"):
        root = DebianRoot(PLACE / "root", "arm64")
    with step("arm64 wheels"):
        folder = wheels()
    with root.mounted(), tempfile.TemporaryDirectory(prefix="arm64-") as place:
        for state in root.folder.glob("state-*"):
            shutil.rmtree(state)
        with step("the device package, by the lock's hashes"):
            install(root, folder)
        take_tests(root)
        story(root, Path(place))
        run_tests(root, which)
    return 0


if __name__ == "__main__":
    sys.exit(main())
