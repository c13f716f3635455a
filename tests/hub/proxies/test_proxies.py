"""The recipes of ``deploy/`` behind real proxies: what passes through them, and what does not."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from cloud_hub.polls.waiters import LONGEST_SECONDS
from edge_sdk import EdgeDevice
from edge_sdk.contract.limits import MODEL_BYTES
from tests.campaigns.harness.certificates import Authority
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release, rows
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for

DEPLOY = Path(__file__).parents[3] / "deploy"
NAME = "hub.example.com"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def replaced(text: str, **pairs: str) -> str:
    """The recipe with what a user changes in it changed; each of that has to be there once."""
    for before, after in pairs.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


@dataclass(frozen=True)
class Behind:
    """A hub and the proxy before it: ``url`` with a certificate that ``bundle`` vouches for."""

    hub: HubProcess
    url: str
    bundle: str


def caddy(folder: Path, port: int, upstream: str, pair: Path) -> list[str]:
    config = replaced(
        (DEPLOY / "caddy" / "Caddyfile").read_text(),
        **{
            f"{NAME} {{": f"https://localhost:{port} {{",
            "# tls /etc/caddy/hub.crt /etc/caddy/hub.key": f"tls {pair} {pair}",
            "reverse_proxy 127.0.0.1:8000": f"reverse_proxy {upstream}",
        },
    )
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{config}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def nginx(folder: Path, port: int, upstream: str, pair: Path) -> list[str]:
    config = replaced(
        (DEPLOY / "nginx" / "edge-hub.conf").read_text(),
        **{
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            f"server_name {NAME};": "server_name localhost;",
            "/etc/nginx/hub.crt": str(pair),
            "/etc/nginx/hub.key": str(pair),
            "    server 127.0.0.1:8000;": f"    server {upstream};",
        },
    )
    (folder / "edge-hub.conf").write_text(config)
    temporary = "".join(
        f"{each}_temp_path {folder}/{each};\n"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}include {folder}/edge-hub.conf;\n}}\n"
    )
    return ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "log")]


PROXIES = [
    pytest.param(
        command,
        id=name,
        marks=[
            getattr(pytest.mark, name),
            pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is Debian's {name}"),
        ],
    )
    for name, command in {"caddy": caddy, "nginx": nginx}.items()
]


@pytest.fixture(scope="module", params=PROXIES)
def behind(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Behind]:
    folder = tmp_path_factory.mktemp("proxied")
    # One wrong token a day: the second one of an address is refused as one too many.
    hub = HubProcess(folder, options=["--proxy", "127.0.0.1", "--failure-rate", "0.005"])
    authority = Authority.new(folder / "ca", "factory")
    authority.server()
    (pair,) = (folder / "ca").glob("server-*.pem")
    port = free_port()
    command = request.param(folder, port, hub.url.removeprefix("http://"), pair)
    home = {"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=home)
    made = Behind(hub, f"https://localhost:{port}", str(authority.bundle))

    def answers() -> bool:
        assert process.poll() is None, (folder / "out").read_text()
        try:
            return requests.get(made.url + "/v1/health", verify=made.bundle, timeout=5).ok
        except requests.RequestException:
            return False

    try:
        wait_for(answers, "an answer through the proxy", every=0.1)
        yield made
    finally:
        process.terminate()
        process.wait(PATIENCE)
        hub.close()


def test_a_device_joins_waits_for_news_and_downloads_through_a_proxy(
    behind: Behind, tmp_path: Path
) -> None:
    hub = behind.hub
    hub.admin.publish(make_release(tmp_path / "one", model="p").folder, hub.key)
    hub.admin.post("models/p/promote", version="1.0", reason="first")
    config = replace(PATIENT, sync_seconds=86_400.0, push=True)
    with EdgeDevice(
        tmp_path / "d", hub=behind.url, token=hub.token("p"), model="p", config=config,
        verify=behind.bundle,
    ) as device:  # fmt: skip
        assert device.predict(rows(1)[0]).version == "1.0"
        # It looks for news tomorrow, and is told of them by the request that waits.
        release = make_release(tmp_path / "two", model="p", version="1.1", seed=5)
        hub.admin.publish(release.folder, hub.key)
        hub.admin.post("models/p/promote", version="1.1", reason="news")
        wait_for(lambda: device.predict(rows(1)[0]).version == "1.1", "the push")
        assert device.sync().errors == {}


class From(HTTPAdapter):
    """Connections that come from another address of this machine."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *values: Any, **more: Any) -> None:
        super().init_poolmanager(*values, source_address=(self._address, 0), **more)


def test_rates_are_counted_by_the_address_before_the_proxy_whatever_a_client_claims(
    behind: Behind,
) -> None:
    def guess(address: str, claimed: str) -> int:
        session = requests.Session()
        session.mount("https://", From(address))
        headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": claimed}
        url = behind.url + "/v1/models"
        return session.get(url, headers=headers, verify=behind.bundle, timeout=PATIENCE).status_code

    assert [guess("127.0.0.2", f"203.0.113.{i}") for i in range(3)] == [401, 429, 429]
    assert guess("127.0.0.3", "127.0.0.2") == 401


def test_a_large_upload_passes_and_an_etag_stays_what_it_is(behind: Behind) -> None:
    token = (behind.hub.data / "admin.token").read_text().strip()
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    # Not as the session's own, over which REQUESTS_CA_BUNDLE wins.
    options: dict[str, Any] = {"verify": behind.bundle, "timeout": PATIENCE}
    raw = bytes(range(256)) * (16 << 12)  # 16 MB, far above what nginx takes by default
    digest = hashlib.sha256(raw).hexdigest()
    sent = session.put(f"{behind.url}/v1/blobs/{digest}", data=raw, **options)
    assert sent.status_code == 204, sent.text
    path = "/v1/metadata/timestamp.json"
    first = session.get(behind.url + path, **options)
    assert not first.headers["ETag"].startswith("W/")
    known = {"If-None-Match": first.headers["ETag"]}
    again = session.get(behind.url + path, headers=known, **options)
    assert (again.status_code, first.headers["Edge-Hub"]) == (304, "3")


def test_recipes_let_a_device_wait_for_as_long_and_send_as_much_as_the_hub_does() -> None:
    config = (DEPLOY / "nginx" / "edge-hub.conf").read_text()
    caddyfile = (DEPLOY / "caddy" / "Caddyfile").read_text()
    assert LONGEST_SECONDS < 330
    assert config.count(" 330s;") == 2
    assert "response_header_timeout 330s" in caddyfile
    assert MODEL_BYTES == 2 << 30
    assert "client_max_body_size 2g;" in config
    assert "max_size 2GiB" in caddyfile
