"""Write what is missing of the frozen files of this version: ``python -m tests.frozen.making``.

A fleet of one device lives for a minute at a real hub: it enrols, answers, is told labels, and has
reports on their way when both are stopped. What is on the disks then is kept as archives. An
existing file is never rewritten: of a version that is out there is nothing to be changed.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from cloud_hub.backup.saving import SavingOptions, save
from cloud_hub.cli.main import main as edge_hub
from cloud_hub.settings import Settings
from edge_sdk import EdgeDevice
from edge_sdk.contract.codec import to_plain
from edge_sdk.provisioning.first_boot import FirstBoot
from tests.contract.examples import EXAMPLES
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release, rows
from tests.servers import HubProcess

HERE: Final = Path(__file__).parent
ROWS: Final = 40
SUMS: Final = "SHA256SUMS"
ALSO: Final = ("contract/golden", "edge/packs/frozen")
"""Other folders of frozen files, whose digests are kept too."""

POLICY: Final = """\
model: demo
reporting: {window: 60s, minimum_observations: 10, votes: 40}
sharing: {samples: true, per_window: 60}
monitoring: {minimum: 300, outputs: false}
triggers:
  - name: accuracy
    when: {performance: {below: 0.5, minimum: 100, lookback: 1d}}
  - name: nightly
    when: {every: 1d}
gate: {max_fresh_drop: 0.02}
experiment: {strategy: canary, steps: [0.05, 0.25, 1.0], minimum_devices: 1}
"""
FIRST_BOOT: Final = FirstBoot(
    "https://hub:8000", "enrol_secret", "SN-0001", "demo", {"region": "eu"}, '{"signed":{}}'
)


def answers(device: EdgeDevice) -> list[list[float]]:
    """Probabilities of the first rows; frozen answers are compared within float32's precision."""
    return [device.predict(row).probabilities.tolist() for row in rows(ROWS, seed=7)]  # type: ignore[union-attr]


def lived(folder: Path) -> dict[str, Any]:
    """Run a hub and a device below a folder; return what is expected of them ever after."""
    hub = HubProcess(folder)
    try:
        for seed, number in enumerate(("1.0", "1.1", "2.0")):
            made = make_release(folder / "made", "demo", number, seed)
            hub.admin.publish(made.folder, hub.key, override="frozen")
            if number != "2.0":
                hub.admin.post("models/demo/promote", version=number)
        plan = hub.admin.post("models/demo/policy/plan", POLICY.encode())
        hub.admin.put("models/demo/policy", POLICY.encode(), expected=plan["digest"])
        asked = ["people", "add", "ada", "--role", "operator", "--data", str(hub.data)]
        assert edge_hub(asked) == 0
        with EdgeDevice(
            folder / "device", hub=hub.url, token=hub.token("demo"), model="demo",
            attributes={"region": "eu"}, share=True, background=False, config=PATIENT,
        ) as device:  # fmt: skip
            device.sync()
            frozen = answers(device)
            device.feedback(device.predict(rows(1, seed=7)[0]).id, label=1)
            device.sync()
            hub.admin.post("models/demo/canary", version="2.0")
            answers(device)
            device._service.collect(final=True)  # what nobody was told of yet
            serving = hub.admin.get("models/demo/plan")
            events = len(hub.admin.get("audit", model="demo"))
            hub.close()  # before the device, which would tell it as it is closed
    finally:
        hub.kill()
    save(Settings(hub.data), folder / "backup", SavingOptions(secrets=True))
    own = json.loads((folder / "device" / "identity.json").read_text())["identity"]["device"]
    return {
        "device": own, "serial": serving["serial"], "events": events, "answers": frozen,
        "serving": serving["serving"]["version"],
    }  # fmt: skip


def archive(folder: Path) -> bytes:
    """A folder as a .tar.xz: the same bytes for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", preset=9) as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name not in ("hub.url", "lock.db"):
                entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
                entry.size, entry.mode = path.stat().st_size, path.stat().st_mode & 0o777
                with path.open("rb") as file:
                    tar.addfile(entry, file)
    return packed.getvalue()


def sums(folder: Path) -> str:
    """A line for each frozen file: its SHA-256 and its path below ``tests``."""
    there = [path for path in folder.iterdir() if path.name != SUMS]
    there += [path for each in ALSO for path in (HERE.parent / each).rglob("*.*") if path.is_file()]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  "
        f"{path.relative_to(HERE.parent).as_posix()}\n"
        for path in there
    ]
    return "".join(sorted(lines, key=lambda line: line[66:]))


def main() -> None:
    out = HERE / version("edge-deployment-sdk-core")
    if len(sys.argv) > 1:
        out = HERE / sys.argv[1]
    out.mkdir(exist_ok=True)
    contents: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as temporary:
        lived_in = Path(temporary)
        expected = lived(lived_in)
        contents["expected.json"] = json.dumps(expected, indent=1).encode()
        for name in ("device", "hub", "backup"):
            contents[f"{name}.tar.xz"] = archive(lived_in / name)
    messages = {name: to_plain(example) for name, example in EXAMPLES.items()}
    contents["messages.json"] = json.dumps(messages, indent=0, ensure_ascii=False).encode()
    contents["edge.json"] = FIRST_BOOT.to_bytes()
    contents["policy.yaml"] = POLICY.encode()
    for name, content in contents.items():
        if not (out / name).exists():
            (out / name).write_bytes(content)
    if not (out / SUMS).exists():
        (out / SUMS).write_text(sums(out))


if __name__ == "__main__":
    main()
