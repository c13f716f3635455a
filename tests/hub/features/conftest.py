"""A hub with a declared set."""

from __future__ import annotations

import pytest

from cloud_hub.hub import Hub
from tests.hub.features.shop import TEXT


@pytest.fixture
def shop(serving: Hub) -> Hub:
    serving.feature_sets.apply(TEXT, actor="test")
    return serving
