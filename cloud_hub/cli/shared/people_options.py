"""Options of ``serve`` about people and the way to them: sign-in, and TLS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cloud_hub.settings import TlsSettings

PANEL = "People and TLS"

OidcFile = Annotated[
    Path | None,
    typer.Option(
        "--oidc",
        metavar="FILE",
        envvar="HUB_OIDC_FILE",
        help="YAML that names the provider of OpenID Connect where people sign in.",
        rich_help_panel=PANEL,
    ),
]
TlsCertificate = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert",
        metavar="PEM",
        envvar="HUB_TLS_CERT",
        help="Certificate chain with which the hub ends TLS itself; read again when it changes.",
        rich_help_panel=PANEL,
    ),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(
        "--tls-key",
        metavar="PEM",
        envvar="HUB_TLS_KEY",
        help="Its private key, without a passphrase.",
        rich_help_panel=PANEL,
    ),
]


def tls_of(certificate: Path | None, key: Path | None) -> TlsSettings | None:
    """Return both files, ``None`` without TLS; raises BadParameter for one alone."""
    from cloud_hub.settings import TlsSettings

    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise typer.BadParameter("TLS takes both --tls-cert and --tls-key")
    return TlsSettings(certificate, key)
