"""Policies: every default, and every typo refused by its path."""

from __future__ import annotations

import pytest

from cloud_hub.errors import Invalid
from cloud_hub.policy import Policy, parse_policy

REFUSED = {
    "not TOML": ("= 1", "Invalid"),
    "an unknown section": ("[trigger]\n", "policy.trigger: unknown"),
    "an unknown key": ("[canary]\nstep = 1\n", "policy.canary.step: unknown"),
    "an unknown key in a list": (
        '[[triggers]]\nname = "a"\nkind = "time"\nevry = 1\n', "policy.triggers[0].evry: unknown",
    ),
    "an unknown kind": ('[[triggers]]\nname = "a"\nkind = "moon"\n', "expected one of"),
    "two triggers of one name": (
        '[[triggers]]\nname = "a"\nkind = "time"\n[[triggers]]\nname = "a"\nkind = "drift"\n',
        "expected different names",
    ),
    "steps that go down": ("[canary]\nsteps = [0.5, 0.2]\n", "expected shares that rise"),
    "steps beyond the fleet": ("[canary]\nsteps = [0.5, 2.0]\n", "expected shares up to 1"),
    "text for a number": ('[packs]\nentries = "many"\n', "expected an integer"),
    "a window of no length": ("[reporting]\nwindow_seconds = 0\n", "expected at least 1"),
}  # fmt: skip


def test_an_empty_policy_is_all_defaults() -> None:
    assert parse_policy("") == Policy()


@pytest.mark.parametrize("case", REFUSED)
def test_a_policy_that_means_nothing_is_refused(case: str) -> None:
    text, message = REFUSED[case]
    with pytest.raises(Invalid) as caught:
        parse_policy(text)
    assert message in f"{type(caught.value).__name__}: {caught.value}"


def test_the_demo_policy_is_read_whole() -> None:
    from examples.digits.demo.story import POLICY

    policy = parse_policy(POLICY.read_text())
    assert [rule.kind for rule in policy.triggers] == ["performance", "drift"]
    assert policy.train is not None
    assert policy.canary.steps == (0.4, 1.0)
