"""Private keys and tokens of a hub as one file of a backup, locked with a passphrase or not."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cloud_hub.errors import Invalid
from edge_sdk.system.files import write_atomic

COST: Final = 1 << 15
"""Of scrypt: a guess takes 32 MiB and a tenth of a second."""

BOUND_TO: Final = b"edge-hub backup secrets 1"


def read_secrets(data: Path) -> dict[str, str]:
    """Return the private keys and tokens of a hub's folder, by their path in it."""
    paths = [*sorted((data / "keys").glob("*.pem")), *sorted(data.glob("*.token"))]
    return {path.relative_to(data).as_posix(): path.read_text() for path in paths}


def write_secrets(data: Path, files: Mapping[str, str]) -> None:
    """Put private keys and tokens into a hub's folder, for its owner alone."""
    (data / "keys").mkdir(mode=0o700, exist_ok=True)
    for name, content in files.items():
        write_atomic(data / name, content.encode())


def pack_secrets(files: Mapping[str, str], passphrase: str | None) -> bytes:
    """Return the content of the file of secrets.

    Args:
        files: content by path.
        passphrase: that locks it; ``None`` leaves it open.
    """
    plain = json.dumps(dict(files)).encode()
    if passphrase is None:
        return json.dumps({"files": dict(files)}).encode()
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    locked = _cipher(passphrase, salt).encrypt(nonce, plain, BOUND_TO)
    parts = {"salt": salt, "nonce": nonce, "locked": locked}
    return json.dumps(
        {name: base64.b64encode(raw).decode() for name, raw in parts.items()}
    ).encode()


def unpack_secrets(path: Path, passphrase: str | None) -> dict[str, str]:
    """Return the secrets of a backup, by path.

    Args:
        path: of the file.
        passphrase: that it was locked with, if it was.

    Raises:
        Invalid: the passphrase is missing or wrong, or a path leads elsewhere.
    """
    from cryptography.exceptions import InvalidTag

    found: Any = json.loads(path.read_bytes())
    if "files" not in found:
        if passphrase is None:
            raise Invalid(f"{path}: is locked; give --passphrase-file FILE")
        salt, nonce, locked = (base64.b64decode(found[n]) for n in ("salt", "nonce", "locked"))
        try:
            plain = _cipher(passphrase, salt).decrypt(nonce, locked, BOUND_TO)
        except InvalidTag:
            raise Invalid(f"{path}: the passphrase is wrong, or the file was changed") from None
        found = {"files": json.loads(plain)}
    files: dict[str, str] = found["files"]
    for name in files:
        folder, _, file = name.rpartition("/")
        if folder not in ("", "keys") or not file.endswith((".pem", ".token")) or "\\" in file:
            raise Invalid(f"{path}: expected keys/NAME.pem and NAME.token, got {name!r:.100}")
    return files


def _cipher(passphrase: str, salt: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    key = Scrypt(salt=salt, length=32, n=COST, r=8, p=1).derive(passphrase.encode())
    return AESGCM(key)
