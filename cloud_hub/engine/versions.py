"""What must be the same on every machine that computes, for results to be the same."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PACKAGES: Final = ("cloud_hub", "converters", "edge_sdk")
LIBRARIES: Final = (
    "numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "scikit-learn", "scipy", "skl2onnx",
)  # fmt: skip


@functools.cache
def code_versions() -> dict[str, str]:
    """Return versions by name: Python's, those of libraries, and digests of our own code."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    # Not the packages' versions: of a checkout those say nothing.
    return found | {name: _digest(name) for name in PACKAGES}


def version_problem(wanted: Mapping[str, str], found: Mapping[str, str], node: str) -> str:
    """Return what a node has otherwise than the hub, in a sentence; empty if nothing.

    Args:
        wanted: versions of the hub.
        found: versions of the node.
        node: its name.
    """
    other = [
        f"{name} {found.get(name, 'none')} instead of {version}"
        for name, version in wanted.items()
        if found.get(name) != version
    ]
    if not other:
        return ""
    return (
        f"Ray node {node}: expected the versions of the hub, got {', '.join(other)}; install the "
        "same packages on every node and restart Ray there"
    )


def _digest(package: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return "none"
    folder, digest = Path(spec.origin).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
