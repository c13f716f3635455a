"""The gate of the digits fleet is sure about a bad version, whichever devices have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloud_hub.experiments.policy_defaults import canary_of
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence, Settling
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.policy.schema.parse import parse_policy
from edge_sdk.contract.names import CONTROL
from examples.digits.app import LABEL_SHARE
from examples.digits.demo.story import DEVICES

ANSWERS = 40 * 160
"""Of each device in the time for which the demo waits at most, and twice that to spare."""

POLICY = Path(__file__).parents[2] / "examples" / "digits" / "policy.yaml"


@pytest.mark.parametrize("tried", [2, 3, 4])
@pytest.mark.parametrize("unlike", [0.0, 0.01, 0.03, 0.06], ids=lambda sd: f"labelling-sd-{sd}")
@pytest.mark.parametrize("seed", range(2))
def test_a_bad_version_goes_back_however_unlike_devices_are_labelled(
    tried: int, unlike: float, seed: int
) -> None:
    decision = judge(_spec(), _evidence(DEVICES, tried, LABEL_SHARE, unlike, seed), {})
    assert decision.action == "abort", decision.reason


def test_labels_of_three_in_five_answers_leave_five_devices_without_a_verdict() -> None:
    """Why the demo has more devices, and more labels: the gate waits, and rightly."""
    decisions = [judge(_spec(), _evidence(5, 2, 0.6, 0.06, seed), {}) for seed in range(4)]
    assert "wait" in {decision.action for decision in decisions}


def _spec():
    return canary_of("digits", "3.0", parse_policy(POLICY.read_text()).experiment)


def _evidence(devices: int, tried: int, share: float, unlike: float, seed: int) -> Evidence:
    """A bad version (right in 28 of 100) on ``tried`` of the devices, labelled by their own shares.

    Args:
        devices: of the fleet.
        tried: those with the candidate.
        share: of the answers that have a label, on the whole.
        unlike: standard deviation of the share between devices.
        seed: of everything drawn.
    """
    random = np.random.default_rng(seed)
    shares = np.clip(share + unlike * random.standard_normal(devices), 0.05, 1)
    right: dict[str, dict[str, tuple[float, float, float]]] = {"candidate": {}, CONTROL: {}}
    labelled: dict[str, dict[str, tuple[float, float, float]]] = {"candidate": {}, CONTROL: {}}
    for number in range(devices):
        arm = "candidate" if number < tried else CONTROL
        known = float(random.binomial(ANSWERS, shares[number]))
        hits = float(random.binomial(int(known), 0.28 if number < tried else 0.98))
        right[arm][f"d{number}"] = (known, hits, hits)
        labelled[arm][f"d{number}"] = (float(ANSWERS), known, known)
    arms = {
        arm: ArmEvidence(
            outcomes={"accuracy": right[arm], "served_accuracy": right[arm]},
            labels={"settled": labelled[arm], "early": labelled[arm], "so far": labelled[arm]},
            exposed=frozenset(right[arm]),
            activated=frozenset(right[arm]),
        )
        for arm in right
    }
    return Evidence(arms=arms, settling=Settling(0.0), soaked=160.0)
