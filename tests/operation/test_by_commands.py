"""An operation by the command line alone, but for the drift: ``make operate`` has that, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operation.by_commands import operate
from tests.operation.steps import KeptSteps
from tests.servers import HubProcess

pytestmark = pytest.mark.slow


def test_a_fleet_is_operated_by_commands_alone(
    tmp_path: Path,
) -> None:
    hub = HubProcess(tmp_path)
    try:
        operate(hub, tmp_path, KeptSteps(tmp_path / "steps"), whole=False)
    finally:
        hub.close()
