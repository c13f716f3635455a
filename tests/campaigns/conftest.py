"""What campaigns need of the machine."""

from __future__ import annotations

import pytest

from tests.campaigns.harness.strace import missing


@pytest.fixture
def tracing() -> None:
    """The test traces processes."""
    if (why := missing()) is not None:
        pytest.skip(why)
