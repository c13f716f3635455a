"""Hub and devices as operating-system processes that never outlive the demo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cloud_hub.client import AdminClient
from cloud_hub.errors import HubFault

PATIENCE = 300.0
"""Seconds that the demo waits for each thing that should happen: enough for slow machines."""

# Eight processes share the machine: numeric libraries must not start a thread a core in each.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Fleet:
    """The processes, their logs and their files, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.camera = folder / "camera"
        self._logs = folder / "logs"
        self._logs.mkdir(parents=True)
        self._hub: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._devices: dict[int, subprocess.Popen[bytes]] = {}
        self._background: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def hub_data(self) -> Path:
        """The hub's data folder."""
        return self.folder / "hub"

    def make_hub(self) -> None:
        """Make the hub's data by its own command, which asks the environment as ``serve`` does.

        Raises:
            RuntimeError: with what the command said: a bucket that holds a hub already, say.
        """
        command = [sys.executable, "-m", "cloud_hub.cli.main", "init", str(self.hub_data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"no hub was made; {done.stderr.strip()}")

    def start_hub(self) -> AdminClient:
        """Start the hub (again on the port that it had) and wait until it answers."""
        command = ["cloud_hub.cli.main", "serve", str(self.hub_data), "--tick", "0.5"]
        address = self.hub_data / "hub.url"
        address.unlink(missing_ok=True)
        self._hub = self._spawn("hub", [*command, "--port", str(self._port)])
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if address.exists():
                client = AdminClient.of_data(self.hub_data, timeout=PATIENCE)
                try:
                    client.get("health")
                except HubFault:
                    pass
                else:
                    self._port = int(client.url.rpartition(":")[2])
                    return client
            if self._hub.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"the hub did not start; see {self._logs / 'hub.log'}")

    def kill_hub(self) -> None:
        """End the hub with SIGKILL, as a power cut would."""
        assert self._hub is not None
        self._hub.kill()
        self._hub.wait()

    def start_device(self, number: int, hub: str, token: str | None) -> None:
        """Start a device.

        Args:
            number: of the device; its state and journal go by it.
            hub: address of the hub.
            token: to enrol with; ``None`` if it is enrolled already.
        """
        command = ["examples.digits.app", str(self.state(number)), "--hub", hub]
        command += ["--number", str(number), "--region", "eu" if number % 2 else "us"]
        command += ["--camera", str(self.camera), "--journal", str(self.journal(number))]
        self._devices[number] = self._spawn(
            f"device-{number}", command + (["--token", token] if token else [])
        )

    def start_background(self, name: str, command: list[str], output: Path) -> None:
        """Start a program of low priority.

        Args:
            name: for :meth:`ended`, and of its log.
            command: program and arguments.
            output: file for what it prints.
        """
        with output.open("wb") as file, (self._logs / f"{name}.log").open("ab") as log:
            self._background[name] = subprocess.Popen(
                ["nice", "-n", "10", *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=log,
                env={**os.environ, **ONE_THREAD},
            )

    def ended(self, name: str) -> bool:
        """Return whether a background program has ended; raises RuntimeError if it failed."""
        status = self._background[name].poll()
        if status:
            raise RuntimeError(f"{name} failed; see {self._logs / name}.log")
        return status == 0

    def kill_device(self, number: int) -> None:
        """End a device with SIGKILL."""
        self._devices[number].send_signal(signal.SIGKILL)
        self._devices[number].wait()

    def stop_devices(self) -> None:
        """Ask every device to close, and wait."""
        for process in self._devices.values():
            process.terminate()
        for process in self._devices.values():
            process.wait(timeout=PATIENCE)

    def state(self, number: int) -> Path:
        """Return the state folder of a device."""
        return self.folder / f"device-{number}"

    def journal(self, number: int) -> Path:
        """Return the path of the journal of a device."""
        return self.folder / f"device-{number}.jsonl"

    def close(self) -> None:
        """End every process that still runs."""
        for process in (*self._devices.values(), *self._background.values(), self._hub):
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()

    def _spawn(self, name: str, module: list[str]) -> subprocess.Popen[bytes]:
        with (self._logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *module],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ONE_THREAD},
            )
