"""A visitor of a hub, signed in."""

from __future__ import annotations

import pytest

from cloud_hub.hub import Hub
from tests.hub.pages.visitor import Visitor


@pytest.fixture
def visitor(serving: Hub) -> Visitor:
    return Visitor(serving).sign_in()
