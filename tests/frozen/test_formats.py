"""Every message and file of a released version is read, and written so that it would read it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.policy.schema import parse_policy
from edge_sdk.contract.codec import encode, from_plain
from edge_sdk.provisioning.first_boot import read_first_boot
from tests.contract.examples import EXAMPLES
from tests.contract.test_golden import assert_says
from tests.frozen.making import FIRST_BOOT, HERE, SUMS

VERSIONS = sorted(path for path in HERE.iterdir() if (path / SUMS).exists())
pytestmark = pytest.mark.parametrize("frozen", VERSIONS, ids=lambda path: path.name)


def messages(frozen: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((frozen / "messages.json").read_text())
    return plain


def test_no_frozen_file_was_changed_or_taken_away(frozen: Path) -> None:
    for line in (frozen / SUMS).read_text().splitlines():
        digest, name = line.split("  ")
        path = HERE.parent / name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, name


def test_each_message_still_means_what_it_meant(frozen: Path) -> None:
    for name, plain in messages(frozen).items():
        assert from_plain(type(EXAMPLES[name]), plain, name) == EXAMPLES[name], name


def test_each_message_is_written_with_every_field_that_it_had(frozen: Path) -> None:
    for name, plain in messages(frozen).items():
        assert_says(plain, json.loads(encode(EXAMPLES[name])), name)


def test_a_policy_is_read(frozen: Path) -> None:
    policy = parse_policy((frozen / "policy.yaml").read_text())
    assert [trigger.name for trigger in policy.triggers] == ["accuracy", "nightly"]


def test_a_first_boot_file_is_read_and_written(frozen: Path) -> None:
    card = read_first_boot(frozen / "edge.json")
    assert card == FIRST_BOOT
    assert_says(json.loads((frozen / "edge.json").read_bytes()), json.loads(card.to_bytes()), "")
