"""Signatures of OpenSSF's model-signing over a release folder: one Sigstore bundle beside it.

They are made with a key of the elliptic curve P-256, P-384 or P-521, and no service is asked. They
are for tools that know nothing of this SDK: devices go by the signatures of The Update Framework,
which also say which release is the newest and when trust ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from converters.errors import ExchangeError, first_line
from edge_sdk.model.release import Release

EXTRA: Final = 'pip install "edge-deployment-sdk[sign]"'
SUFFIX: Final = ".sig"


def default_signature(folder: Path) -> Path:
    """Return the file in which a signature is looked for: beside the folder, named by it."""
    return folder.with_name(folder.name + SUFFIX)


def sign_release(release: Release, key: Path, signature: Path) -> None:
    """Sign the files of a release.

    Args:
        release: is checked first: nobody signs what is damaged.
        key: file of a private key, in PEM.
        signature: file to write; outside of the release's folder.

    Raises:
        ExchangeError: the key is none, the file is inside the folder, or the package is missing.
        ReleaseError: the release is damaged.
    """
    if signature.resolve().is_relative_to(release.folder.resolve()):
        raise ExchangeError(f"{signature}: expected a file outside of the release it signs")
    release.verify()
    signing = _library("signing")
    with _refusals("cannot sign", key):
        signing.Config().use_elliptic_key_signer(private_key=key).sign(release.folder, signature)


def check_signature(release: Release, key: Path, signature: Path) -> None:
    """Check that a signature is of these files, and was made with the key of this public one.

    Args:
        release: its own digests are checked, too.
        key: file of a public key, in PEM.
        signature: file of the bundle.

    Raises:
        ExchangeError: the signature is another key's or of other files, or the package is missing.
        ReleaseError: the release is damaged.
    """
    verifying = _library("verifying")
    with _refusals("is not signed with this key", release.folder):
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
        config.verify(release.folder, signature)
    release.verify()


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"model_signing.{name}")
    except ImportError as error:
        raise ExchangeError(f"signing needs the package model-signing: {EXTRA}") from error


@contextmanager
def _refusals(what: str, path: Path) -> Iterator[None]:
    """Have whatever the library raises be ours: it has no error of its own."""
    try:
        yield
    except OSError as error:
        raise ExchangeError(f"{error.filename or path}: {error.strerror}") from error
    except Exception as error:
        raise ExchangeError(f"{path}: {what}; {first_line(error)}") from error
