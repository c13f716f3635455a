"""Fetch the third-party files below ``vendor/``: ``make vendor``.

``vendor/packages.json`` names each package with its version, the checksum of its archive as the
npm registry publishes it, and the files that are taken. An archive of another checksum changes
nothing. With each file's own SHA-256, which is written beside it, a test knows the committed files
without a network.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
import urllib.request
from pathlib import Path
from typing import Any, Final

from cloud_hub.errors import HubFault, Invalid
from edge_sdk.system.files import READABLE, write_atomic

VENDOR: Final = Path(__file__).parent / "vendor"
REGISTRY: Final = "https://registry.npmjs.org"
SECONDS: Final = 60.0
LARGEST: Final = 64 << 20
"""Bytes of an archive."""


def packages(folder: Path = VENDOR) -> dict[str, dict[str, Any]]:
    """Return the packages by the name of their folder, as ``packages.json`` has them."""
    listed: dict[str, dict[str, Any]] = json.loads((folder / "packages.json").read_text())
    return listed


def check_archive(raw: bytes, integrity: str, name: str) -> None:
    """Raise Invalid unless an archive has its checksum.

    Args:
        raw: the archive.
        integrity: ``sha512-`` and base64, as npm writes it.
        name: of the package, for the error.
    """
    got = "sha512-" + base64.b64encode(hashlib.sha512(raw).digest()).decode()
    if got != integrity:
        raise Invalid(f"{name}: expected an archive of {integrity}, got {got}")


def unpacked(raw: bytes, names: list[str]) -> dict[str, bytes]:
    """Return files of an archive of npm by their names in the package; raises Invalid."""
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as archive:
        for name in names:
            try:
                file = archive.extractfile(f"package/{name}")
            except KeyError:
                file = None
            if file is None:
                raise Invalid(f"{name}: expected this file in the archive")
            found[name] = file.read()
    return found


def fetch(registry: str, folder: Path = VENDOR) -> None:
    """Fetch every package and write its files.

    Args:
        registry: address of an npm registry; its answers need no trust.
        folder: that holds ``packages.json``.

    Raises:
        HubFault: the registry does not answer.
        Invalid: it answers with another archive.
    """
    for name, entry in packages(folder).items():
        package, version = entry["package"], entry["version"]
        url = f"{registry.rstrip('/')}/{package}/-/{package}-{version}.tgz"
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                raw = answer.read(LARGEST)
        except OSError as error:
            raise HubFault(f"{url}: cannot be read; {error}") from error
        check_archive(raw, entry["integrity"], package)
        contents = unpacked(raw, list(entry["files"]))
        sums = {}
        for inside, own in entry["files"].items():
            (folder / name).mkdir(exist_ok=True)
            write_atomic(folder / name / own, contents[inside], mode=READABLE)
            sums[own] = hashlib.sha256(contents[inside]).hexdigest()
        lines = "".join(f"{digest}  {own}\n" for own, digest in sorted(sums.items()))
        write_atomic(folder / name / "SHA256SUMS", lines.encode(), mode=READABLE)
        print(f"{package} {version} ({entry['license']}): {', '.join(sorted(sums))}")


if __name__ == "__main__":
    fetch(os.environ.get("NPM_REGISTRY", REGISTRY))
