"""Commands that exchange releases with other tools: registries of artifacts, and signatures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from converters.cli import options, output

PANEL: Final = "Exchange"

Reference = Annotated[
    str,
    typer.Argument(
        help="HOST/REPOSITORY:TAG of a registry, or oci:FOLDER:TAG on disk.",
        metavar="REFERENCE",
        show_default=False,
    ),
]
Destination = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Release folder to make.", show_default=False)
]
PlainHttp = Annotated[bool, typer.Option("--plain-http", help="Speak to the registry without TLS.")]
PrivateKey = Annotated[
    Path,
    typer.Option("--key", help="Private key in PEM, of the curve P-256, P-384 or P-521."),
]
PublicKey = Annotated[Path, typer.Option("--key", help="Public key in PEM.")]
Signature = Annotated[
    Path | None,
    typer.Option(
        "--signature", help="File of the signature; by default RELEASE.sig beside the folder."
    ),
]


def add_commands(app: typer.Typer, exit_codes: str) -> None:
    """Add the commands to ``edge-convert``.

    Args:
        app: of ``edge-convert``.
        exit_codes: last line of each help.
    """

    def command(name: str, example: str) -> Callable[[Callable[..., None]], object]:
        epilog = f"Example: edge-convert {example}\n\n{exit_codes}"
        return app.command(name, rich_help_panel=PANEL, epilog=epilog)

    command("push", "push churn-1.0 registry.example/models/churn:1.0")(_push)
    command("pull", "pull registry.example/models/churn:1.0 churn-1.0")(_pull)
    command("sign", "sign churn-1.0 --key signing.pem")(_sign)
    command("check-signature", "check-signature churn-1.0 --key signing.pub")(_check)


def _push(
    release: options.ReleaseFolder, reference: Reference, plain_http: PlainHttp = False,
    as_json: options.Json = False,
) -> None:  # fmt: skip
    """Put a release into a registry, as a model artifact of CNCF ModelPack."""
    from dataclasses import asdict

    from converters.exchange.transfer import push
    from edge_sdk.model.release import Release

    pushed = push(Release.open(release, verify=False), reference, plain_http=plain_http)
    if as_json:
        output.print_json(asdict(pushed))
        return
    print(f"{reference}: {pushed.digest}, {pushed.sent} bytes sent, {pushed.there} were there")


def _pull(
    reference: Reference, folder: Destination, digest: options.Digest = None,
    plain_http: PlainHttp = False, as_json: options.Json = False,
) -> None:  # fmt: skip
    """Fetch a release from a registry, and check it on this machine as verify does."""
    from converters.certification.verify import verify
    from converters.exchange.transfer import pull

    release = pull(reference, folder, digest=digest, plain_http=plain_http)
    output.print_verification(verify(release), as_json)


def _sign(release: options.ReleaseFolder, key: PrivateKey, signature: Signature = None) -> None:
    """Sign a release as OpenSSF's model-signing does, with a key and without any service."""
    from converters.exchange.signatures import default_signature, sign_release
    from edge_sdk.model.release import Release

    file = signature or default_signature(release)
    sign_release(Release.open(release, verify=False), key, file)
    print(file)


def _check(release: options.ReleaseFolder, key: PublicKey, signature: Signature = None) -> None:
    """Check a signature of OpenSSF's model-signing over a release."""
    from converters.exchange.signatures import check_signature, default_signature
    from edge_sdk.model.release import Release

    file = signature or default_signature(release)
    opened = Release.open(release, verify=False)
    check_signature(opened, key, file)
    print(f"ok: {opened.manifest.model} {opened.manifest.version} ({opened.digest})")
