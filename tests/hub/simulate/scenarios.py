"""Scenarios of the tests, as a person would write them."""

from __future__ import annotations

import re

from cloud_hub.experiments.verdict.spec import ExperimentSpec, parse_experiment
from cloud_hub.simulate.scenario import Scenario, parse_scenario

REGIONS = """
- {name: eu, share: 0.5, attributes: {region: eu}}
- {name: us, share: 0.5, attributes: {region: us}}
"""

FLEET = f"""
model: fleet
serving: '1.0'
devices: 60
duration: 3d
window: 2h
requests: 50
labels: {{coverage: 1.0}}
cohorts: {REGIONS}
versions:
- {{version: '1.0'}}
- {{version: '1.1', released: 1d}}
"""

CANARY = """
model: fleet
strategy: canary
candidate: '1.1'
stages:
- cohort: {attribute: region, values: [eu]}
- cohort: {attribute: region, values: [us]}
steps: [0.3, 1.0]
soak: 2h
minimum_outcomes: 100
outcomes: [{name: accuracy, metric: accuracy, minimum_effect: 0.05}]
"""


def fleet(text: str = FLEET, **changes: str) -> Scenario:
    """The scenario with some of its lines replaced."""
    for name, value in changes.items():
        # A section goes until the next line that is neither indented nor an item of a list.
        text = re.sub(rf"^{name}:.*\n(?:[ -].*\n|\n(?=-))*", "", text, flags=re.MULTILINE)
        text += f"{name}: {value}\n"
    return parse_scenario(text)


def canary() -> ExperimentSpec:
    """Region by region, in two steps each."""
    return parse_experiment(CANARY)
