"""What is damaged of a slot goes, what another slot may need stays; lost folders come back."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk.update.slots import Slots
from edge_sdk.update.state import SlotRef
from tests.edge.builders import make_release

PACK = b"a pack"


@pytest.fixture
def ref(tmp_path: Path) -> SlotRef:
    """A release and its pack, whole on the disk."""
    release = make_release(tmp_path / "made", "m", "1.0")
    ref = SlotRef("1.0", release.digest, hashlib.sha256(PACK).hexdigest())
    slot = Slots(tmp_path / "state").slot(ref)
    shutil.copytree(release.folder, slot.release)
    assert slot.pack is not None
    slot.pack.write_bytes(PACK)
    return ref


def here(state: Path) -> tuple[int, int]:
    """How many releases and packs there are."""
    return len(list((state / "releases").iterdir())), len(list((state / "packs").iterdir()))


def test_nothing_of_a_slot_that_is_whole_is_removed(tmp_path: Path, ref: SlotRef) -> None:
    assert not Slots(tmp_path / "state").remove_damaged(ref)
    assert here(tmp_path / "state") == (1, 1)


DAMAGED = {"release": (0, 1), "pack": (1, 0), "nothing but the name of the pack": (1, 0)}


@pytest.mark.parametrize("what", DAMAGED)
def test_only_the_damaged_half_of_a_slot_is_removed(
    tmp_path: Path, ref: SlotRef, what: str
) -> None:
    slots = Slots(tmp_path / "state")
    slot = slots.slot(ref)
    assert slot.pack is not None
    if what == "release":
        (slot.release / "model.onnx").write_bytes(b"damaged")
    elif what == "pack":
        slot.pack.write_bytes(b"damaged")
    else:
        slot.pack.unlink()
        slot.pack.mkdir()
    assert slots.remove_damaged(ref)
    assert here(tmp_path / "state") == DAMAGED[what]


def test_what_is_damaged_stays_while_the_journal_is_in_memory(tmp_path: Path, ref: SlotRef) -> None:
    slots = Slots(tmp_path / "state", may_remove=lambda: False)
    (slots.slot(ref).release / "model.onnx").unlink()
    assert slots.remove_damaged(ref)
    assert here(tmp_path / "state") == (1, 1)


@pytest.mark.parametrize("lost", ["releases", "packs", "patches"])
def test_folders_that_the_disk_lost_come_back_and_cleaning_does_without(
    tmp_path: Path, ref: SlotRef, lost: str
) -> None:
    slots = Slots(tmp_path / "state")
    shutil.rmtree(tmp_path / "state" / lost)
    slots.clean([])
    slots.make_folders()
    assert here(tmp_path / "state") == (0, 0)
    assert (tmp_path / "state" / "patches").is_dir()


PRIOR = b"a prior"


def with_prior(tmp_path: Path, ref: SlotRef) -> SlotRef:
    """The slot with a personal prior, whole on the disk."""
    slots = Slots(tmp_path / "state")
    given = replace(ref, prior=hashlib.sha256(PRIOR).hexdigest())
    place = slots.slot(given).prior
    assert place is not None
    place.write_bytes(PRIOR)
    return given


def test_a_prior_stays_with_its_slot_and_goes_with_it(tmp_path: Path, ref: SlotRef) -> None:
    slots, given = Slots(tmp_path / "state"), with_prior(tmp_path, ref)
    place = slots.slot(given).prior
    assert place is not None
    slots.clean([given])
    assert place.read_bytes() == PRIOR
    assert place in slots.files([given]).values()
    slots.clean([ref])  # a newer generation is another slot
    assert not place.exists()
    assert here(tmp_path / "state") == (1, 1)


def test_a_slot_is_staged_only_with_its_prior_and_a_damaged_one_goes_alone(
    tmp_path: Path, ref: SlotRef
) -> None:
    slots, given = Slots(tmp_path / "state"), with_prior(tmp_path, ref)
    assert slots.is_staged(given)
    assert not slots.remove_damaged(given)
    place = slots.slot(given).prior
    assert place is not None
    place.write_bytes(b"damaged")
    assert slots.remove_damaged(given)
    assert here(tmp_path / "state") == (1, 1)
    assert not slots.is_staged(given)
    assert slots.is_staged(ref)


def test_a_slot_without_a_prior_has_the_name_that_earlier_versions_remember(ref: SlotRef) -> None:
    assert ref.name == f"{ref.manifest}+{ref.pack}+none"
    assert replace(ref, prior="ab" * 32).name == f"{ref.name}+{'ab' * 32}"
