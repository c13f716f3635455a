"""``make images``: both images built from their Dockerfiles, weighed, and run as owners run them.

Built by buildah without a daemon, run by podman with a read-only root. Where no registry of images
can be reached, ``BASE`` is a Debian from its packages, which this makes; else name one:
``python -m tests.deploy.images --base docker.io/library/python:3.13-slim-trixie``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from cloud_hub.client import AdminClient
from cloud_hub.errors import HubFault
from tests.deploy.debian import DebianRoot, ProgramMissing, needs
from tests.edge.builders import make_release
from tests.structure import ROOT
from tests.waiting import PATIENCE, wait_for

PLACE: Final = ROOT / "build" / "images"
OVER_BASE: Final = 10.0
"""MB that an image may have besides its base and what was installed."""

USER: Final = 10_001
OURS: Final = "localhost/debian-with-python"
PORT: Final = 18_437


def build_settings() -> list[str]:
    """Return options by which builds reach the same package index as this machine."""
    files = [Path("/etc/pip.conf"), Path("/etc/ssl/certs/ca-certificates.crt")]
    return [f"--volume={path}:{path}:ro" for path in files if path.exists()]


class ContainerTools:
    """buildah and podman on a storage of their own, without a daemon or systemd."""

    def __init__(self, place: Path) -> None:
        where = ["--root", str(place / "storage"), "--runroot", str(place / "run")]
        self._where = [*where, "--storage-driver", "vfs"]

    def buildah(self, *arguments: str) -> str:
        done = subprocess.run(
            ["buildah", *self._where, *arguments], check=True, cwd=ROOT, text=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        return done.stdout.strip()

    def podman(self, *arguments: str) -> list[str]:
        quiet = ["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]
        return ["podman", "--log-level=fatal", *self._where, *quiet, *arguments]

    def run(self, image: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        """Return the command that runs an image with a root that is read-only."""
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]
        plain = ["--rm", "--read-only", "--network", "host", "--cap-drop", "all", *limits]
        return self.podman("run", *plain, *options, image, *arguments)

    def megabytes(self, image: str) -> float:
        return float(json.loads(self.buildah("inspect", "--type", "image", image))["size"]) / 1e6


def output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def base_of(engine: ContainerTools, name: str | None) -> str:
    """Return the image to build from: the one that was named, or a Debian from its packages."""
    if name is not None:
        return name
    needs(debootstrap="debootstrap")
    debian = DebianRoot(PLACE / "debian", "amd64")
    container = engine.buildah("from", "scratch")
    engine.buildah("copy", "-q", container, str(debian.folder), "/")
    engine.buildah("commit", "-q", container, OURS)
    engine.buildah("rm", container)
    return OURS


def sizes_of(engine: ContainerTools, image: str, *folders: str) -> list[float]:
    """Return the sums of folders' files in MB; sizes of layers also count what they replace."""
    script = f"du -sxb {' '.join(folders)} 2>/dev/null | cut -f1"
    command = engine.run(image, "-c", script, options=["--entrypoint", "sh", "--user", "0"])
    return [int(word) / 1e6 for word in output(command).split()]


def build(engine: ContainerTools, name: str, base: str) -> None:
    """Build an image; print what it weighs; fail where that is more than base and install."""
    began = time.monotonic()
    image = f"localhost/edge-{name}"
    engine.buildah(
        "bud", "--quiet", "--isolation", "chroot", "--network", "host", "--format", "docker",
        *build_settings(), "--build-arg", f"BASE={base}",
        "-f", f"docker/{name}.Dockerfile", "-t", image, ".",
    )  # fmt: skip
    seconds = time.monotonic() - began
    installed, rest = sizes_of(engine, image, "/opt/edge", "/")  # du counts nothing twice
    (of_base,) = sizes_of(engine, base, "/")
    whole = installed + rest
    over = rest - of_base
    print(
        f"{name:6} base {of_base:4.0f} MB · install {installed:4.0f} MB · besides {over:3.0f} MB · "
        f"image {whole:4.0f} MB · {seconds:3.0f} s",
        flush=True,
    )
    assert over <= OVER_BASE, f"{name}: {over:.0f} MB besides base and install"


def check_closed(engine: ContainerTools, image: str, folder: str) -> None:
    """Fail unless an image runs as a user without rights, and keeps its root as it is."""
    script = f"id -u; touch /changed 2>&1; touch {folder}/kept && stat -c %a {folder}"
    told = output(engine.run(image, "-c", script, options=["--entrypoint", "sh"])).split("\n")
    assert told[0] == str(USER), told
    assert "Read-only file system" in told[1], told
    assert told[2] == "700", told


@contextlib.contextmanager
def container(engine: ContainerTools, name: str, command: list[str], log: Path) -> Iterator[None]:
    """Run a container of this name meanwhile; it is stopped by SIGTERM."""
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield
    finally:
        output(engine.podman("stop", "--time", "60", name))
        status = process.wait(PATIENCE)
        print(f"       {name} ended with status {status} after SIGTERM")
        assert status == 0, log.read_text()[-4_000:]


def healthy(engine: ContainerTools, name: str) -> bool:
    """Say whether the image's own check is content with a container that runs."""
    asked = subprocess.run(
        engine.podman("healthcheck", "run", name), capture_output=True, timeout=PATIENCE
    )
    return asked.returncode == 0


def admin_of(data: Path) -> AdminClient:
    token = (data / "admin.token").read_text().strip()
    return AdminClient(f"http://127.0.0.1:{PORT}", token, timeout=PATIENCE)


def answers(admin: AdminClient) -> Any:
    with contextlib.suppress(HubFault):
        return admin.get("health")
    return None


def tell_a_story(engine: ContainerTools, place: Path) -> None:
    """Run a hub and a device as containers: the device enrols, serves, and is updated."""
    data, state = place / "hub", place / "device"
    for folder in (data, state):
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
    at_hub = ["-v", f"{data}:/var/lib/edge-hub", "--tmpfs", "/tmp", "--name", "hub"]
    at_hub += ["--env", f"EDGE_HUB_SERVE_PORT={PORT}", "--env", "EDGE_HUB_SERVE_HOST=127.0.0.1"]
    at_hub += ["--env", "EDGE_HUB_SERVE_TICK=0.5"]
    at_device = ["-v", f"{state}:/var/lib/edge"]
    hub, device = "localhost/edge-hub", "localhost/edge-device"
    output(engine.run(hub, "init", "/var/lib/edge-hub", options=at_hub))
    serve = engine.run(hub, options=[*at_hub, "--health-cmd", health_command()])
    with container(engine, "hub", serve, place / "hub.log"):
        admin = admin_of(data)
        wait_for(lambda: answers(admin), "the hub's first answer")
        wait_for(lambda: healthy(engine, "hub"), "the hub's health check")
        publish(admin, data, place, "1.0", seed=0)
        token = admin.post("enrolment-tokens", model="demo", uses=1)["token"]
        enrol = ["enrol", "/var/lib/edge", "--hub", admin.url, "--token", token, "--model", "demo"]
        output(engine.run(device, *enrol, options=at_device))
        run = engine.run(device, options=[*at_device, "--name", "device"])
        with container(engine, "device", run, place / "device.log"):
            served(engine, "1.0")
            wait_for(lambda: healthy(engine, "device"), "the device's health check", every=1)
            publish(admin, data, place, "1.1", seed=1)
            output(engine.podman("exec", "device", "edge", "sync", "/var/lib/edge"))
            served(engine, "1.1")
        print("       a device enrolled, served 1.0, was healthy, and was updated to 1.1")


def health_command() -> str:
    """Return the hub's check on this port; the image's own asks at 8000."""
    return f"python -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:{PORT}/readyz\")'"


def publish(admin: AdminClient, data: Path, place: Path, version: str, *, seed: int) -> None:
    release = make_release(place / f"release-{version}", "demo", version, seed)
    admin.publish(release.folder, data / "keys" / "releases.pem", override="a test")
    admin.post("models/demo/promote", version=version)


def served(engine: ContainerTools, version: str) -> None:
    """Wait until the device says that it serves a version."""
    status = engine.podman("exec", "device", "edge", "status", "/var/lib/edge")

    def told() -> bool:
        asked = subprocess.run(status, capture_output=True, text=True, timeout=PATIENCE)
        return asked.returncode == 0 and version in asked.stdout

    wait_for(told, f"version {version} on the device", every=1)


def main() -> int:
    """Build and run; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.images")
    parser.add_argument("--base", help="image to build from; default: a Debian made here")
    arguments = parser.parse_args()
    try:
        needs(buildah="buildah", podman="podman", runc="runc")
        PLACE.mkdir(parents=True, exist_ok=True)
        engine = ContainerTools(PLACE)
        base = base_of(engine, arguments.base)
    except ProgramMissing as missing:
        print(missing, file=sys.stderr)
        return 1
    for name, folder in (("device", "/var/lib/edge"), ("hub", "/var/lib/edge-hub")):
        build(engine, name, base)
        check_closed(engine, f"localhost/edge-{name}", folder)
    with tempfile.TemporaryDirectory(prefix="images-") as place:
        tell_a_story(engine, Path(place))
    return 0


if __name__ == "__main__":
    sys.exit(main())
