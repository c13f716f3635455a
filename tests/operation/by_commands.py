"""A fleet operated by ``edge-hub`` alone: what it prints is all that its operator sees."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from pathlib import Path
from typing import Any

from cloud_hub.cli.main import main
from tests.operation.steps import KeptSteps
from tests.operation.world import DEVICES, MODEL, POLICY, SHIFT, OperatedFleet, made_releases
from tests.servers import HubProcess


class CommandLine:
    """Runs ``edge-hub`` on one hub and keeps what it prints."""

    def __init__(self, hub: HubProcess, steps: KeptSteps) -> None:
        self._hub, self._steps = hub, steps

    def __call__(self, what: str, *words: str, status: int = 0) -> str:
        """Run a command as a step; it has to end with ``status``."""
        code, text = self._run(*words)
        self._steps.keep(what, f"$ edge-hub {shlex.join(words)}\n{text}[exit status {code}]\n")
        assert code == status, text
        return text

    def read(self, *words: str) -> Any:
        """Return what a command prints as JSON; no step."""
        code, text = self._run(*words, "--json")
        assert code == 0, text
        return json.loads(text)

    def _run(self, *words: str) -> tuple[int, str]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = main([*words, "--data", str(self._hub.data)])
        return code, out.getvalue()


def operate(hub: HubProcess, folder: Path, steps: KeptSteps, *, whole: bool = True) -> None:
    """Operate a fleet from its first device to its retrained model.

    Args:
        hub: without a model yet.
        folder: for releases, and the states of devices.
        steps: what is kept.
        whole: else it ends before the world changes.
    """
    edge, fleet = CommandLine(hub, steps), OperatedFleet(hub, folder)
    releases = made_releases(folder)
    with contextlib.closing(fleet):
        _roll_out(edge, fleet, releases, folder)
        name = _abort_and_go_back(edge, fleet)
        _look_after(edge, fleet, name)
        if whole:
            _retrain(edge, fleet)
        edge("audit", "audit", "--model", MODEL, "--limit", "40")
        edge("events", "events", "--limit", "20")
    steps.write_index("A fleet operated by edge-hub alone")


def _roll_out(
    edge: CommandLine, fleet: OperatedFleet, releases: dict[str, Path], folder: Path
) -> None:
    (folder / "policy.yaml").write_text(POLICY)
    for version in ("1.0", "1.1", "1.2"):
        edge(f"publish {version}", "publish", str(releases[version]))
    edge("policy", "policy", "apply", str(folder / "policy.yaml"))
    edge("promote 1.0", "promote", MODEL, "1.0", "--reason", "the first one")
    text = edge("tokens for devices", "enrol-token", MODEL, "--count", str(DEVICES))
    fleet.join([line for line in text.split() if len(line) > 20])
    fleet.turn()
    edge("who is in the fleet", "devices", "list", "--model", MODEL)
    edge("a group", "groups", "save", "Hall A", f"hall=A model:{MODEL}")
    edge("the group's devices", "devices", "list", "--group", "Hall A")
    edge("what a promotion would change", "promote", MODEL, "1.1", "--dry-run")
    edge("roll 1.1 out", "promote", MODEL, "1.1", "--reason", "better on fresh rows")
    fleet.turn()
    edge("who serves what", "devices", "list", "--model", MODEL)


def _abort_and_go_back(edge: CommandLine, fleet: OperatedFleet) -> str:
    edge("a canary of 1.2", "canary", MODEL, "1.2")
    (trial,) = edge.read("experiments", "list", MODEL)
    edge("the canary as it begins", "experiments", "status", trial["id"])

    def over() -> bool:
        return bool(edge.read("experiments", "status", trial["id"])["status"] == "aborted")

    fleet.until(over, "the end of the canary")
    said = edge("the canary is aborted", "experiments", "status", trial["id"])
    assert "aborted" in said
    edge("roll back", "rollback", MODEL, "--reason", "to be sure")
    fleet.turn()
    devices = edge.read("devices", "list", "--model", MODEL)
    assert {d["version"] for d in devices} == {"1.0"}
    return str(devices[0]["device"])


def _look_after(edge: CommandLine, fleet: OperatedFleet, name: str) -> None:
    # Nobody waits at the hub here: the device hears of it with its next poll.
    edge("ask for a log", "devices", "logs", name, "--wait", "0s", status=1)
    fleet.turn()
    assert "edge_sdk" in edge("the log", "devices", "asked", name)
    edge("revoke", "devices", "revoke", name, "--reason", "stolen from the van")
    fleet.turn()
    assert "revoked" in edge("who takes part", "devices", "list", "--model", MODEL)


def _retrain(edge: CommandLine, fleet: OperatedFleet) -> None:
    fleet.shift = SHIFT
    fleet.until(lambda: edge.read("monitor", "status", MODEL)["alarms"], "an alarm")
    edge("drift", "monitor", "status", MODEL)
    signal = edge.read("monitor", "status", MODEL)["alarms"][0]["signal"]
    edge("acknowledge", "monitor", "acknowledge", MODEL, signal)
    edge("the trigger", "triggers", "status", MODEL)
    fleet.until(lambda: edge.read("runs", "list", MODEL), "a run")
    edge("the run", "runs", "list", MODEL)

    def serves() -> bool:
        plan = edge.read("models")
        return any(m["model"] == MODEL and m["serving"] == "2.0" for m in plan)

    fleet.until(serves, "2.0 for everybody")
    edge("what was trained", "runs", "list", MODEL)
    edge("steps of the run", "runs", "steps", "1")
    edge("experiments", "experiments", "list", MODEL)
    edge("models", "models")
    fleet.turn()
    edge("who serves what in the end", "devices", "list", "--model", MODEL)
