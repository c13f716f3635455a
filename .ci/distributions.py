"""Build every distribution into a folder: ``python .ci/distributions.py dist``.

The same commit gives the same bytes on any machine with these build tools: files carry the moment
of the commit (``SOURCE_DATE_EPOCH``, if it is set). Beside each wheel stands its bill of materials
(CycloneDX): what the lock files name for it, with the hashes by which they are installed.
``SHA256SUMS`` has a line for each file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
CORE, CONVERTERS, HUB = (f"edge-deployment-sdk-{part}" for part in ("core", "converters", "hub"))
ALL: Final = "edge-deployment-sdk"


@dataclass(frozen=True)
class Distribution:
    """What is built of one folder, which lock has its packages, and whose they are there."""

    folder: str
    lock: str
    names: tuple[str, ...]


DISTRIBUTIONS: Final = (
    Distribution("edge_sdk", "device", (CORE,)),
    Distribution("converters", "demo", (CORE, CONVERTERS)),
    Distribution("cloud_hub", "demo", (CORE, CONVERTERS, HUB)),
    Distribution(".", "device", (CORE, ALL)),
)


@dataclass(frozen=True)
class Pinned:
    """One package of a lock: its version, for which machines, its files, and who asks for it."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    via: frozenset[str]


def pinned(text: str) -> Iterator[Pinned]:
    """Yield the packages of a lock as uv writes it."""
    for block in re.split(r"\n(?=\S)", text):
        head = re.match(r"([\w.-]+)(?:\[[^]]*])?==([^\s;]+)(?: *; *(.*?))? *\\?\n", block)
        if head is None:
            continue
        name, version, marker = head.groups()
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
        asked = re.findall(r"^ +# +(?:via +)?([\w.-]+)", block, re.MULTILINE)
        yield Pinned(name, version, marker or "", hashes, frozenset(asked))


def needed(distribution: Distribution, lock: str) -> list[Pinned]:
    """Return the packages that a distribution brings, whoever of them asks for them."""
    every, own = list(pinned(lock)), set(distribution.names)
    while more := {each.name for each in every if each.via & own} - own:
        own |= more
    return [each for each in every if each.name in own]


def epoch() -> int:
    """Return the moment that every file carries, in Unix seconds."""
    told = os.environ.get("SOURCE_DATE_EPOCH")
    if told is None:
        command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(told)


def bill(wheel: Path, packages: list[Pinned], moment: int) -> bytes:
    """Return the CycloneDX document of a wheel."""
    name, version = wheel.name.split("-")[:2]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)),
            "component": {
                **_component(name.replace("_", "-"), version),
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": [_pinned_component(each) for each in packages],
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _component(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


def _pinned_component(package: Pinned) -> dict[str, Any]:
    # Which of its files is installed depends on the machine: the lock has the hash of each.
    files = {
        "type": "distribution",
        "url": f"https://pypi.org/project/{package.name}/{package.version}/#files",
        "hashes": [{"alg": "SHA-256", "content": each} for each in package.hashes],
    }
    component = _component(package.name, package.version) | {"externalReferences": [files]}
    if package.marker:
        component["properties"] = [{"name": "python:marker", "value": package.marker}]
    return component


def build(out: Path) -> list[Path]:
    """Build everything; return the files, in the order of their names."""
    moment = epoch()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(moment)}
    for distribution in DISTRIBUTIONS:
        command = [sys.executable, "-m", "hatchling", "build", "--directory", str(out.resolve())]
        folder = ROOT / distribution.folder
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = out.glob(f"{distribution.names[-1].replace('-', '_')}-[0-9]*.whl")
        lock = (ROOT / "requirements" / f"{distribution.lock}.txt").read_text()
        beside = out / f"{'-'.join(wheel.name.split('-')[:2])}.cdx.json"
        beside.write_bytes(bill(wheel, needed(distribution, lock), moment))
    files = sorted(path for path in out.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (out / "SHA256SUMS").write_text("".join(lines))
    return files


def main() -> int:
    """Build into the folder that was named; it must be empty, or nothing tells old from new."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        if not old.name.startswith(("edge_deployment_sdk", "SHA256SUMS")):
            print(f"{out}: expected a folder for distributions alone, found {old.name}")
            return 1
        old.unlink()
    for path in build(out):
        print(f"{path.stat().st_size:>9}  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
