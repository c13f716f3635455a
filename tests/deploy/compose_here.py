"""The services of the Compose file as processes of this machine, where containers cannot be had.

``unshare --mount --net --pid --fork --kill-child python -m tests.deploy.compose_here FOLDER``, as
root. In namespaces of its own this has the names and addresses that Compose gives, so commands and
files of ``deploy/`` are used as they are: ``prepare``, ``hub``, Caddy, PostgreSQL, Prometheus. The
bucket is moto in place of SeaweedFS, which no package brings, and nobody is Grafana. Then a device
joins through TLS, gets a model, and Prometheus says that it reads the hub.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
import yaml

from cloud_hub.client.admin import AdminClient
from edge_sdk import EdgeDevice
from tests.deploy.test_compose import DEPLOY, EXAMPLE
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release, rows
from tests.postgres import installed_programs
from tests.waiting import wait_for

CADDY: Final = "10.251.7.10"
"""Its address in the file, from which the hub believes what a proxy says."""

NAMES: Final = f"127.0.0.1 localhost postgres s3\n{CADDY} hub\n"
DATA: Final = Path("/var/lib/edge-hub")


def secrets() -> dict[str, str]:
    """The example's, as somebody writes them who changes nothing but the word."""
    text = EXAMPLE.read_text().replace("change-me", "5ec4e7")
    return dict(re.findall(r"(?m)^(\w+)=(.*)$", text))


def filled(value: str, given: Mapping[str, str]) -> str:
    """Fill in variables of the file as Compose does."""

    def found(match: re.Match[str]) -> str:
        default = match["default"] if match["kind"] == ":-" else ""
        return given.get(match["name"], default or "")

    text = re.sub(r"(?<!\$)\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<default>[^}]*))?\}", found, value)
    return text.replace("$$", "$")


class Services:
    """The file's services; each that is started ends with this process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._given = folder, secrets()
        self._services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
        self.mounted: list[tuple[Path, str]] = []

    def environment(self, name: str) -> dict[str, str]:
        declared = self._services[name].get("environment", {})
        own = {key: filled(str(value), self._given) for key, value in declared.items()}
        place = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        # The image of the hub says where it listens; Caddy keeps its authority in /data.
        more = {"EDGE_HUB_SERVE_HOST": "0.0.0.0", "XDG_DATA_HOME": str(self.folder / "data")}
        kept = {k: v for k, v in os.environ.items() if k == "PYTHONPATH"}
        return {**kept, "PATH": place, "HOME": str(self.folder), **more, **own}

    def command(self, name: str) -> list[str]:
        service = self._services[name]
        words = [*service.get("entrypoint", []), *service.get("command", [])]
        return [filled(word, self._given) for word in words]

    def once(self, name: str) -> None:
        """Run a service that ends."""
        subprocess.run(self.command(name), env=self.environment(name), check=True)

    def start(self, name: str, command: list[str] | None = None, user: str | None = None) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        subprocess.Popen(
            command or self.command(name), env=self.environment(name), stdout=log, stderr=log,
            user=user, cwd=self.folder,
        )  # fmt: skip

    @property
    def given(self) -> Mapping[str, str]:
        return self._given


def mount(source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        target.mkdir() if Path(source).is_dir() or source == "tmpfs" else target.touch()
    kind = ["-t", "tmpfs", "tmpfs"] if source == "tmpfs" else ["--bind", source]
    subprocess.run(["mount", *kind, str(target)], check=True)


def arrange(folder: Path) -> None:
    """Give this process's namespaces the names, addresses and files that containers have."""
    for words in ("link set lo up", f"addr add {CADDY}/24 dev lo"):
        subprocess.run(["ip", *words.split()], check=True)
    (folder / "hosts").write_text(NAMES)
    mount(str(folder / "hosts"), Path("/etc/hosts"))
    # Without the last one Caddy would have this machine trust its authority.
    for target in (
        DATA, Path("/prometheus"), Path("/etc/caddy"), Path("/etc/prometheus"),
        Path("/usr/local/share"),
    ):  # fmt: skip
        mount("tmpfs", target)
    mount(str(DEPLOY / "compose" / "Caddyfile"), Path("/etc/caddy/Caddyfile"))
    for name in ("prometheus.yml", "rules.yml"):
        mount(str(DEPLOY / "compose" / name), Path("/etc/prometheus") / name)


def postgres(services: Services) -> None:
    programs = installed_programs()
    assert programs is not None
    folder = services.folder / "postgres"
    folder.mkdir()
    (folder / "password").write_text(services.given["POSTGRES_PASSWORD"])
    subprocess.run(["chown", "-R", "postgres", str(folder)], check=True)
    first = ["initdb", "-D", "data", "-A", "scram-sha-256", "-U", "hub", "--pwfile", "password"]
    subprocess.run(
        [programs / first[0], *first[1:]], cwd=folder, user="postgres", check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    server, *options = services.command("postgres")
    place = ["-D", str(folder / "data"), "-k", str(folder)]
    services.start("postgres", [str(programs / server), *options, *place], user="postgres")
    where = f"host=postgres user=hub password={services.given['POSTGRES_PASSWORD']}"
    until(lambda: psycopg.connect(f"{where} dbname=postgres").close(), "PostgreSQL")
    with psycopg.connect(f"{where} dbname=postgres", autocommit=True) as db:
        db.execute("CREATE DATABASE hub")


def bucket(services: Services) -> None:
    services.start("s3", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "8333"])
    made = urllib.request.Request("http://s3:8333/hub", method="PUT")
    until(lambda: urllib.request.urlopen(made).close(), "the bucket")


def until(act: Callable[[], Any], what: str) -> None:
    def works() -> bool:
        try:
            act()
        except (OSError, psycopg.OperationalError):
            return False
        return True

    wait_for(works, what, every=0.2)


def asked(query: str) -> list[Any]:
    """Ask Prometheus; return the values."""
    url = f"http://127.0.0.1:9090/api/v1/query?query={query}"
    with urllib.request.urlopen(url) as answer:
        return [each["value"][1] for each in json.load(answer)["data"]["result"]]


def joined(services: Services) -> str:
    """Let a device join through Caddy; return the version that it answers with."""
    authority = services.folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    wait_for(authority.exists, "the authority of Caddy")
    # Caddy has its authority before it listens.
    until(lambda: socket.create_connection(("localhost", 443)).close(), "Caddy")
    admin = AdminClient("http://hub:8000", (DATA / "admin.token").read_text().strip())
    release = make_release(services.folder / "made", "digits")
    admin.publish(release.folder, DATA / "keys" / "releases.pem", override="test")
    admin.post("models/digits/promote", version="1.0", reason="first")
    token = str(admin.post("enrolment-tokens", model="digits", uses=1)["token"])
    with EdgeDevice(
        services.folder / "device", hub="https://localhost", token=token, model="digits",
        config=PATIENT, background=False, verify=str(authority),
    ) as device:  # fmt: skip

        def served() -> bool:  # the other worker may take a second to hear of what was published
            assert device.sync().errors == {}
            return device.status()["version"] is not None

        wait_for(served, "the model", every=0.2)
        return str(device.predict(rows(1)[0]).version)


def main(folder: Path) -> None:
    services, began = Services(folder), time.monotonic()

    def told(what: str) -> None:
        print(f"{time.monotonic() - began:5.1f} s  {what}", flush=True)

    arrange(folder)
    postgres(services)
    told("postgres takes connections with the file's password and limit")
    bucket(services)
    told("s3 has the bucket (moto in place of SeaweedFS)")
    services.once("prepare")
    told("prepare made keys and tables, and ended")
    services.start("hub", ["edge-hub", "serve", str(DATA)])
    until(lambda: urllib.request.urlopen("http://hub:8000/readyz").close(), "the hub")
    told("hub is ready with the file's workers, on PostgreSQL and the bucket")
    services.start("caddy", ["caddy", "run", "--config", "/etc/caddy/Caddyfile"])
    # Its container has a /tmp of its own, and the token there.
    own = 'mkdir -p tmp && mount --bind tmp /tmp && exec "$@"'
    command = ["unshare", "--mount", "sh", "-euc", own, "-", *services.command("prometheus")]
    services.start("prometheus", command)
    told(f"a device joined through Caddy's TLS and answers with digits {joined(services)}")
    until(lambda: asked("up"), "Prometheus")
    wait_for(lambda: asked('up{job="edge-hub"}') == ["1"], "the hub in Prometheus", every=0.5)
    wait_for(lambda: "1" in asked("edge_hub_ready"), "what it reads", every=0.5)
    told("prometheus reads the hub with its token: up 1, edge_hub_ready 1")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
