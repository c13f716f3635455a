"""A prior's file on the device: whole and of this release, or refused in words."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.errors import PackError
from edge_sdk.model.release import Release
from edge_sdk.personalise.prior_file import DamagedPrior, open_prior
from tests.edge.builders import make_release
from tests.edge.personalise.simulated_units import class_prior


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return make_release(tmp_path / "made")


@pytest.fixture
def prior(release: Release) -> PersonalPrior:
    made = class_prior(np.eye(3, 4))
    return replace(made, manifest=release.digest, labels=release.manifest.signature.classes)


def written(folder: Path, raw: bytes) -> tuple[Path, str]:
    file = folder / "some.prior"
    file.write_bytes(raw)
    return file, hashlib.sha256(raw).hexdigest()


def test_a_whole_file_of_this_release_opens(
    tmp_path: Path, release: Release, prior: PersonalPrior
) -> None:
    file, sha256 = written(tmp_path, prior.to_bytes())
    assert open_prior(file, release, sha256) == prior
    assert open_prior(file, release) == prior


def test_a_file_that_is_missing_or_has_any_other_byte_is_damaged(
    tmp_path: Path, release: Release, prior: PersonalPrior
) -> None:
    file, sha256 = written(tmp_path, prior.to_bytes())
    with pytest.raises(DamagedPrior, match="cannot open the personal prior"):
        open_prior(tmp_path / "nowhere", release, sha256)
    raw = prior.to_bytes()
    for place in range(0, len(raw), 97):
        file.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(DamagedPrior, match="SHA-256 differs"):
            open_prior(file, release, sha256)
    file.write_bytes(raw[:100])
    with pytest.raises(DamagedPrior):
        open_prior(file, release, sha256)


OTHERS = {
    "another release": ({"manifest": "cd" * 32}, "is for demo 1.0 .manifest cdcdcdcdcdcd"),
    "another model": ({"model": "other"}, "is for other 1.0"),
    "other classes": ({"labels": ("a", "b", "c")}, "has the classes"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_prior_of_something_else_is_refused_and_not_called_damaged(
    tmp_path: Path, release: Release, prior: PersonalPrior, what: str
) -> None:
    changes, reason = OTHERS[what]
    file, sha256 = written(tmp_path, replace(prior, **changes).to_bytes())  # type: ignore[arg-type]
    with pytest.raises(PackError, match=reason) as refused:
        open_prior(file, release, sha256)
    assert not isinstance(refused.value, DamagedPrior)


@pytest.mark.parametrize("raw", [b"", b"{}", b"\x00\xff", b'{"format": 99}'])
def test_what_is_no_prior_is_refused_in_words(tmp_path: Path, release: Release, raw: bytes) -> None:
    file, sha256 = written(tmp_path, raw)
    with pytest.raises(PackError, match="expected a personal prior"):
        open_prior(file, release, sha256)
