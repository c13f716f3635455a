"""Which forms are made: what plans name and devices hold, and no more."""

from __future__ import annotations

from dataclasses import replace

from cloud_hub.forms.wanted import BASES, WantedForms, packs_of, wanted_forms
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.plan import SLOTS, Arm, Experiment, PackRef, Plan, ReleaseRef


def release(version: str, pack: str | None = None) -> ReleaseRef:
    file = PackRef(FileRef(1, pack * 64)) if pack else None
    return ReleaseRef(version, "a" * 64, file)


def plan(serving: str, *arms: str) -> Plan:
    trial = None
    if arms:
        share = SLOTS // 4
        made = tuple(
            Arm(f"arm{i}", release(v), ((i * share, (i + 1) * share),)) for i, v in enumerate(arms)
        )
        trial = Experiment("e", "ab", "salt", made)
    return Plan("m", 3, release(serving), trial)


def published(*versions: str, **status: str) -> list[tuple[str, str]]:
    return [(v, status.get("v" + v.replace(".", "_"), "published")) for v in versions]


def test_what_a_plan_names_comes_from_what_most_devices_hold() -> None:
    wanted = wanted_forms(plan("1.2"), published("1.0", "1.1", "1.2"), {"1.0": 3, "1.1": 90})
    assert wanted == [WantedForms("1.2", ("1.1", "1.0"))]


def test_a_version_that_is_not_served_yet_comes_from_what_serves() -> None:
    wanted = wanted_forms(plan("1.0"), published("1.0", "2.0"), {})
    assert wanted == [WantedForms("1.0", ()), WantedForms("2.0", ("1.0",))]


def test_candidates_of_an_experiment_come_too() -> None:
    versions = published("1.0", "1.1", "1.2", "1.3", v1_3="rolled_back")
    wanted = wanted_forms(plan("1.0", "1.1", "1.2"), versions, {"1.0": 5})
    assert [w.version for w in wanted] == ["1.0", "1.1", "1.2"]
    assert all(w.bases == ("1.0",) for w in wanted[1:])


def test_a_fleet_of_a_hundred_versions_has_a_few_bases() -> None:
    versions = [f"1.{i}" for i in range(100)]
    held = {version: i for i, version in enumerate(versions)}
    (wanted,) = wanted_forms(plan("1.99"), published(*versions), held)
    assert wanted.bases == ("1.98", "1.97", "1.96", "1.95")
    assert len(wanted.bases) == BASES


def test_what_devices_claim_to_hold_and_nobody_published_is_no_base() -> None:
    (wanted,) = wanted_forms(plan("1.0"), published("1.0"), {"9.9": 1_000, "../x": 7})
    assert wanted == WantedForms("1.0", ())


def test_before_the_first_plan_the_newest_version_is_made_ready() -> None:
    assert wanted_forms(None, published("1.0"), {}) == [WantedForms("1.0", ())]
    assert wanted_forms(None, [], {}) == []


def test_each_pack_of_a_plan_is_named_once() -> None:
    named = replace(plan("1.0"), serving=release("1.0", "b"))
    assert [pack.file.sha256 for pack in packs_of(named)] == ["b" * 64]
    assert packs_of(None) == []
