"""A real registry, Debian's, with or without a password, and who gives tokens for one."""

from __future__ import annotations

import base64
import datetime
import json
import re
import secrets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.waiting import PATIENCE, wait_for

NAME, PASSWORD, IDENTITY = "ann", "s3cret", "who ann is"
HASHED = "ann:$2y$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG\n"  # bcrypt of it


@contextmanager
def running_registry(folder: Path, auth: dict[str, Any] | None = None) -> Iterator[str]:
    """Run a registry on this machine; give its address, such as ``127.0.0.1:40123``."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": "127.0.0.1:0"},
        **({"auth": auth} if auth else {}),
    }
    (folder / "registry.yml").write_text(json.dumps(settings))  # JSON is YAML
    log = folder / "registry.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "registry.yml")], stdout=file, stderr=file
        )
    try:
        wait_for(lambda: address(log) or process.poll() is not None, "the registry's address")
        assert process.poll() is None, log.read_text()
        yield address(log)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def address(log: Path) -> str:
    found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())
    return found[1] if found else ""


def with_password(folder: Path) -> dict[str, Any]:
    """What a registry asks whose only user is :data:`NAME`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(HASHED)
    return {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}


class TokenGiver:
    """Gives tokens for a registry to whoever shows the password; ``asked`` are their scopes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.asked: list[str] = []
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._made_certificate()
        self._bundle = folder / "tokens.pem"
        self._bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        giver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shown = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
                query = parse_qs(urlsplit(self.path).query)
                giver.answer(self, query, self.headers.get("Authorization") == f"Basic {shown}")

            def do_POST(self) -> None:
                """As OAuth 2 has it: for an identity token."""
                length = int(self.headers["Content-Length"])
                form = parse_qs(self.rfile.read(length).decode())
                shown = (form["grant_type"], form["refresh_token"])
                giver.answer(self, form, shown == (["refresh_token"], [IDENTITY]))

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"

    def auth(self) -> dict[str, Any]:
        """What a registry asks that believes this one's tokens."""
        return {"token": {
            "realm": self.url, "service": "registry", "issuer": "tests",
            "rootcertbundle": str(self._bundle),
        }}  # fmt: skip

    def answer(
        self, request: BaseHTTPRequestHandler, query: dict[str, list[str]], is_known: bool
    ) -> None:
        if not is_known:
            request.send_error(401)
            return
        self.asked += query.get("scope", [])
        body = json.dumps({"token": self._token(query.get("scope", []))}).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _token(self, scopes: list[str]) -> str:
        now = int(datetime.datetime.now(datetime.UTC).timestamp())
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in (scope.split(":") for scope in scopes)
        ]
        claims = {
            "iss": "tests", "sub": NAME, "aud": "registry", "nbf": now - 60, "iat": now - 60,
            "exp": now + 600, "jti": secrets.token_hex(8), "access": access,
        }  # fmt: skip
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        head = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        signed = b".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return (signed + b"." + encoded(r.to_bytes(32) + s.to_bytes(32))).decode()

    def _made_certificate(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name).issuer_name(name).public_key(self._key.public_key())
            .serial_number(1).not_valid_before(now - datetime.timedelta(1))
            .not_valid_after(now + datetime.timedelta(1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )  # fmt: skip


def encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
