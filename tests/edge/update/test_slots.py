"""What is damaged of a slot goes, what another slot may need stays; lost folders come back."""

from __future__ import annotations

import hashlib
import shutil
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
