"""Failures where no hub is where one was expected: one sentence each."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from cloud_hub.cli.main import main
from cloud_hub.client import AdminClient
from cloud_hub.errors import HubFault, Invalid
from tests.edge.builders import make_release
from tests.servers import HubProcess
from tests.waiting import PATIENCE

HTML = b"<html><body>Sign in</body></html>"
FOREIGN = {
    "a page": (200, {"Content-Type": "text/html; charset=utf-8"}, HTML, "200 with text/html"),
    "a page that is not there": (404, {"Content-Type": "text/html"}, HTML, "404 with text/html"),
    "a proxy without a way on": (502, {}, b"", "502 with no type"),
    "JSON of another service": (
        200, {"Content-Type": "application/json"}, b'{"status": "up"}', "200 with application/json",
    ),
    "an error of another service": (
        404, {"Content-Type": "application/json"}, b'{"detail": "Not Found"}', "404 with",
    ),
    "a login page elsewhere": (
        302, {"Location": "https://login.example/"}, b"", "a redirect to https://login.example/",
    ),
}  # fmt: skip


@contextlib.contextmanager
def answering(status: int, headers: dict[str, str], body: bytes) -> Iterator[ThreadingHTTPServer]:
    """A server that gives every request the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)


def failure(url: str, *, timeout: float = 20.0, verify: bool | str = True) -> str:
    """The failure of a request to ``url``: one sentence, without the libraries' own words."""
    with pytest.raises(HubFault) as caught:
        AdminClient(url, "token", timeout=timeout, verify=verify).get("models")
    message = str(caught.value)
    assert message.startswith(f"{url}: ")
    assert not any(word in message for word in ("\n", "urllib3", "Pool", "Errno", "object at"))
    return message


@pytest.mark.parametrize("case", FOREIGN)
def test_a_server_that_is_no_hub_is_called_so(case: str) -> None:
    status, headers, body, received = FOREIGN[case]
    with answering(status, headers, body) as server:
        message = failure(f"http://127.0.0.1:{server.server_port}")
    assert "expected a hub, got " in message
    assert received in message
    assert message.endswith("is the address right, or does a proxy answer?")


def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        message = failure(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert message.endswith("nobody listens there; is the hub running, and the address right?")


def test_a_name_that_no_machine_has() -> None:
    assert "no machine of that name" in failure("http://hub.invalid:8000")


def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        message = failure(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3)
    assert "no answer within 0.3 s; it may be busy" in message


def test_something_that_speaks_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        message = failure(f"http://127.0.0.1:{other.getsockname()[1]}")
        thread.join(PATIENCE)
    assert message.endswith("what listens there speaks no HTTP; is the address right?")


def test_an_answer_that_breaks_off() -> None:
    with answering(200, {"Content-Length": "1000", "Edge-Hub": "1"}, b"[") as server:
        message = failure(f"http://127.0.0.1:{server.server_port}")
    assert "broke off before the answer was whole; try again" in message


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that nobody vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem", folder / "key.pem"


def test_tls_that_does_not_come_about(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    with answering(200, {}, b"") as server:
        plain = failure(f"https://127.0.0.1:{server.server_port}")
    assert "no TLS connection; does it speak plain http:// there?" in plain
    with answering(200, {}, b"") as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = f"https://127.0.0.1:{server.server_port}"
        untrusted = failure(url)
        trusted = failure(url, verify=str(tmp_path / "cert.pem"))
    assert "certificate is refused here (self-signed certificate)" in untrusted
    assert "REQUESTS_CA_BUNDLE" in untrusted
    assert "expected a hub" in trusted


NO_URLS = [
    "foo",
    "foo:8000",
    "ftp://hub",
    "http://",
    "http://[::1",
    "https://hub:port",
    "",
    "//x",
    "http://x?y",
    "http://u:p@x",
]


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_url_is_refused_before_anything_is_asked(url: str) -> None:
    with pytest.raises(Invalid, match="expected a URL such as https://hub:8000, got"):
        AdminClient(url, "token")


@pytest.mark.parametrize("token", ["", "…", "two\nlines"])
def test_what_cannot_be_a_token_is_refused(token: str) -> None:
    with pytest.raises(Invalid, match="token: expected the text in the file admin.token"):
        AdminClient("http://hub:8000", token)


def test_a_hub_that_is_down_is_to_be_started(
    hub: HubProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.kill()
    assert main(["models", "--data", str(hub.data)]) == 1
    message = capsys.readouterr().err
    assert message == (
        f"edge-hub: {hub.url}: nobody listens there; start the hub: edge-hub serve {hub.data}\n"
    )
    hub.start()
    assert main(["models", "--data", str(hub.data)]) == 0


def test_one_hub_is_named_and_explicit_words_win_over_the_environment(
    hub: HubProcess, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_HUB_URL", "http://hub.invalid")
    monkeypatch.setenv("EDGE_HUB_TOKEN", "t")
    assert main(["models", "--data", str(hub.data)]) == 0
    assert main(["models"]) == 1
    assert "http://hub.invalid: no machine of that name" in capsys.readouterr().err
    assert main(["models", "--data", str(hub.data), "--hub", "http://x"]) == 1
    assert "--data or --hub, not both" in capsys.readouterr().err


def test_a_release_that_another_key_signed_is_refused_with_both_keys(
    hub: HubProcess, tmp_path: Path
) -> None:
    release = make_release(tmp_path, "foreign")
    key = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "other.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(HubFault, match=r"other\.pem is the key [0-9a-f]{64}, .* signed by"):
        hub.admin.publish(release.folder, tmp_path / "other.pem")
    assert hub.admin.publish(release.folder, hub.key)["version"] == "1.0"


def test_neither_a_netrc_nor_a_proxy_stands_between_a_token_and_its_hub(
    hub: HubProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    token = (hub.data / "admin.token").read_text()
    assert isinstance(AdminClient(hub.url, token).get("models"), list)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert isinstance(AdminClient.of_data(hub.data).get("models"), list)
        message = failure("http://hub.invalid")
    assert message.endswith("the proxy on the way does not connect; see HTTPS_PROXY and NO_PROXY")


def test_who_publish_at_the_same_moment_all_succeed(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path)
    try:
        key = hub.data / "keys" / "releases.pem"
        releases = [
            make_release(tmp_path / f"m{n}", model=f"m{n}", version="1.0", seed=n).folder
            for n in range(4)
        ]
        with ThreadPoolExecutor(len(releases)) as pool:
            reason = {"override": "no data to judge by"}
            made = pool.map(lambda folder: hub.admin.publish(folder, key, **reason), releases)
            assert [record["model"] for record in made] == ["m0", "m1", "m2", "m3"]
    finally:
        hub.close()
