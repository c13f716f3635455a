"""The device's verified metadata behind the command line of tuf-conformance's client under test.

``make conformance SUITE=FOLDER`` (a checkout, or anything that pip installs) runs the suite of The
Update Framework against it. What is tested is what a device has: the same
floors in the same database, the same transport. Of our own rules only those about plans, releases
and file names are left out, which the suite's repositories do not have.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from edge_sdk.contract.limits import MODEL_BYTES
from edge_sdk.errors import EdgeError
from edge_sdk.hub.client import HubClient
from edge_sdk.state_db import StateDatabase
from edge_sdk.system.files import write_atomic
from edge_sdk.update.verified import VerifiedMetadata

STATE: Final = "state"


def init(arguments: argparse.Namespace) -> None:
    """Take the root of an image; nothing is asked of the repository."""
    shutil.copyfile(arguments.trusted_root, arguments.metadata_dir / "root.json")


def refresh(arguments: argparse.Namespace) -> None:
    """Bring the newest metadata."""
    with _Device(arguments) as device:
        device.refresh([])


def download(arguments: argparse.Namespace) -> None:
    """Bring targets; one that is here already, whole, is not asked for."""
    with _Device(arguments) as device:
        for name, target in device.refresh(arguments.target_name).items():
            if target is None:
                raise EdgeError(f"{name}: nobody signed it")
            device.bring(target, arguments.target_base_url, arguments.target_dir)


class _Device:
    """What a device has of metadata, below ``METADATA_DIR``."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        url, folder = urlsplit(arguments.metadata_url), arguments.metadata_dir
        self._store = StateDatabase(folder / STATE)
        self._client = HubClient(f"{url.scheme}://{url.netloc}")
        self._metadata = VerifiedMetadata(
            self._store,
            self._client,
            (folder / "root.json").read_bytes(),
            time.time,
            cache=folder,
            path=url.path.rstrip("/") + "/",
        )

    def __enter__(self) -> _Device:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def refresh(self, names: list[str]) -> dict[str, TargetFile | None]:
        floors, targets = self._metadata.load(names)
        self._metadata.settle(floors)
        return targets

    def bring(self, target: TargetFile, base: str, folder: Path) -> None:
        place = folder / quote(target.path, "")
        try:
            target.verify_length_and_hashes(place.read_bytes())
        except (OSError, LengthOrHashMismatchError):
            parent, slash, name = target.path.rpartition("/")
            digest = next(iter(target.hashes.values()))
            url = f"{base.rstrip('/')}/{parent}{slash}{digest}.{name}"
            write_atomic(place, self._metadata.fetch(target, url, MODEL_BYTES))


def main(argv: list[str] | None = None) -> int:
    """Run one command; 1 if it is refused."""
    parser = argparse.ArgumentParser()
    for option in ("--metadata-dir", "--target-dir"):
        parser.add_argument(option, type=Path)
    for option in ("--metadata-url", "--target-base-url"):
        parser.add_argument(option)
    parser.add_argument("--target-name", action="append")
    commands = parser.add_subparsers(required=True)
    commands.add_parser("refresh").set_defaults(run=refresh)
    commands.add_parser("download").set_defaults(run=download)
    first = commands.add_parser("init")
    first.add_argument("trusted_root", type=Path)
    first.set_defaults(run=init)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except EdgeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
