"""Floors fall with the keys that raised them, and with nothing else."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.update.floors import Floors, Voucher, stored_floors

ROLES = {"timestamp": "time", "plans": "serial", "releases": "release"}
KEYS = st.frozensets(st.sampled_from("abcd"), min_size=1)


def vouchers(keys: str, signers: str = "", threshold: int = 1) -> dict[str, Voucher]:
    by = frozenset(signers or keys)
    return {role: Voucher(frozenset(keys), threshold, by) for role in (*ROLES, "snapshot")}


def kept(floors: Floors) -> object:
    """The floors as the next start of the device finds them."""
    return stored_floors(json.loads(json.dumps(floors.to_json())))


def test_what_a_replaced_key_raised_is_gone_and_all_else_stands() -> None:
    floors = Floors({}, vouchers("a"))
    for name, value in {"time": 2**40, "serial": 2**53, "release": 7, "snapshot": 2**31}.items():
        floors.put(name, value)
    mixed = vouchers("a") | {"timestamp": vouchers("b")["timestamp"]}
    after = Floors(kept(floors), mixed)  # type: ignore[arg-type]
    assert (after["time"], after["snapshot"]) == (0, 0)
    assert (after["serial"], after["release"]) == (2**53, 7)


def test_versions_that_a_replaced_snapshot_key_listed_are_gone_and_what_others_said_stands() -> (
    None
):
    floors = Floors({}, vouchers("a"))
    for name in ("releases", "plans", "serial", "release"):
        floors.put(name, 9)
    mixed = vouchers("a") | {"snapshot": vouchers("b")["snapshot"]}
    after = Floors(kept(floors), mixed)  # type: ignore[arg-type]
    assert (after["releases"], after["plans"]) == (0, 0)
    assert (after["serial"], after["release"]) == (9, 9)


def test_a_key_that_is_added_clears_nothing() -> None:
    floors = Floors({}, vouchers("a"))
    floors.put("serial", 9)
    assert Floors(kept(floors), vouchers("ab"))["serial"] == 9  # type: ignore[arg-type]


def test_what_the_older_key_vouched_for_stands_when_the_newer_one_is_revoked() -> None:
    floors = Floors({}, vouchers("ab", signers="a"))
    floors.put("serial", 5)
    stolen = Floors(kept(floors), vouchers("ab", signers="b"))  # type: ignore[arg-type]
    stolen.put("serial", 2**53)
    assert stolen["serial"] == 2**53
    assert Floors(kept(stolen), vouchers("a"))["serial"] == 5  # type: ignore[arg-type]


def test_a_floor_of_a_role_that_was_not_loaded_stands() -> None:
    floors = Floors({}, vouchers("a"))
    floors.put("time", 9)
    assert Floors(kept(floors), {})["time"] == 9  # type: ignore[arg-type]


@given(st.lists(st.tuples(KEYS, KEYS, st.integers(0, 2**53)), max_size=8), KEYS, st.integers(1, 3))
def test_a_floor_that_stands_never_falls(
    steps: list[tuple[frozenset[str], frozenset[str], int]], last: frozenset[str], threshold: int
) -> None:
    floors = Floors({}, {})
    heard: list[tuple[frozenset[str], int]] = []
    for keys, signers, value in steps:
        known = {"plans": Voucher(keys, threshold, signers)}
        floors = Floors(kept(floors), known)  # type: ignore[arg-type]
        heard = [(by, v) for by, v in heard if len(by & keys) >= threshold]
        floors.put("serial", value)
        heard.append((signers, value))
        assert floors["serial"] == max(v for _, v in heard[-1:] + heard)
    after = Floors(kept(floors), {"plans": Voucher(last, threshold, last)})  # type: ignore[arg-type]
    standing = [v for by, v in heard if len(by & last) >= threshold]
    assert after["serial"] == max(standing, default=0)
