"""A hub that ends TLS itself serves a certificate that was renewed, without a restart."""

from __future__ import annotations

import datetime
import os
import ssl
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloud_hub.client import AdminClient
from cloud_hub.errors import HubFault
from cloud_hub.processes.tls import ServedCertificate
from cloud_hub.settings import TlsSettings
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for


def write_pair(folder: Path, name: str = "hub.example") -> TlsSettings:
    """A new key and its certificate, put in place at once as ``certbot`` does it."""
    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    contents = {"key": key.private_bytes(pem, form, plain), "crt": certificate.public_bytes(pem)}
    for kind, content in contents.items():
        new = folder / f"new.{kind}"
        new.write_bytes(content)
        os.replace(new, folder / f"hub.{kind}")  # noqa: PTH105
    return TlsSettings(folder / "hub.crt", folder / "hub.key")


def test_a_pair_that_does_not_belong_together_is_passed_over(tmp_path: Path) -> None:
    settings = write_pair(tmp_path)
    served = ServedCertificate(settings)
    assert not served.look()
    good = settings.key.read_bytes()
    write_pair(tmp_path)
    settings.key.write_bytes(good)  # a renewal that is half done
    assert not served.look()
    settings.key.unlink()
    assert not served.look()
    write_pair(tmp_path)
    assert served.look()
    assert not served.look()
    settings.key.write_text("no key")
    with pytest.raises(HubFault, match="expected a certificate chain and its private key"):
        ServedCertificate(settings)


def shown(url: str) -> str:
    host, port = url.removeprefix("https://").split(":")
    return ssl.get_server_certificate((host, int(port)), timeout=PATIENCE)


def test_a_hub_serves_a_renewed_certificate_and_commands_here_know_it_by_its_folder(
    tmp_path: Path,
) -> None:
    settings = write_pair(tmp_path)
    options = ["--tls-cert", str(settings.certificate), "--tls-key", str(settings.key)]
    hub = HubProcess(tmp_path, options=options)
    try:
        assert hub.url.startswith("https://")
        assert AdminClient.of_data(hub.data).get("session")["name"] == "admin"
        before = shown(hub.url)
        assert before.strip() == settings.certificate.read_text().strip()
        write_pair(tmp_path)
        renewed = settings.certificate.read_text().strip()
        wait_for(lambda: shown(hub.url).strip() == renewed, "the new certificate", every=0.1)
        assert AdminClient.of_data(hub.data).get("session")["name"] == "admin"
        # Whoever else listens there has another certificate, and gets no token.
        (hub.data / "hub.cert").write_text(str(write_pair(tmp_path / "other").certificate))
        with pytest.raises(HubFault):
            AdminClient.of_data(hub.data).get("session")
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{hub.url}/healthz", timeout=PATIENCE)
    finally:
        hub.close()
