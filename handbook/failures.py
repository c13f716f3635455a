"""The reference of errors: the trees of the three packages, each with what to do."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Final

from cloud_hub import errors as hub
from converters import errors as converting
from edge_sdk import errors as device

OPENING: Final = """\
<!-- Made from the code by handbook/failures.py. -->

# Errors, and what to do

Each package raises one small tree of errors and no foreign ones. A message says what was expected,
what came, and what to do; the tables say what to do about the kind. Programs catch the root, or the
kind that they can do something about. The commands print the message on standard error and end with
status 1.
"""

ADVICE: Final[Mapping[str, str]] = {
    "EdgeError": "Catch it around `predict` if a wrong input must not end your application.",
    "ContractError": "Compare versions: `edge --version`, `edge-hub --version`. If they fit, "
    "the file or message was made by something else.",
    "InputError": "Mend the input; the message names the feature. `kind` is counted in reports.",
    "ReleaseError": "`edge-convert verify RELEASE`; copy or publish it anew if that refuses it.",
    "ReloadError": "Sync: the device fetches the file again. Look for a failing disk.",
    "RuntimeMissing": "Install one: `pip install edge-deployment-sdk`.",
    "PackError": "Nothing at once: the model answers. The next pack comes with a sync.",
    "ExpiredPack": "Sync. If it stays, the job that makes it does not run: `edge-hub batch list`.",
    "PatchError": "Nothing: the whole file is downloaded instead.",
    "StateError": "Look at the folder's owner and free space; each device has a folder of its own.",
    "DeviceInUse": "`EdgeDevice.attach(STATE)`, or stop the other process.",
    "HubError": "Read the message: it is the hub's. `edge-hub doctor` looks at the hub.",
    "HubUnreachable": "Nothing: the device goes on and tries again. Else look at the network, "
    "the address and the certificate.",
    "HubBusy": "Nothing: the device comes again when it was told to.",
    "IdentityRefused": "`pending`: approve it. `revoked`, `cloned`, `unknown`: enrol with "
    "`edge enrol --again` ([devices](../DEVICES.md)).",
    "UpdateError": "Nothing at once: the previous release serves. The step that it names is in "
    "[updates](../UPDATES.md).",
    "TrustError": "Look at the device's clock first, then at `edge-hub keys status` "
    "([keys](../KEYS.md)). Never delete the state to get around it.",
    "BenchError": "Mend what the message names: the model, the budget or the file compared with.",
    "ConversionError": "Mend the data or option that the message names; nothing was written.",
    "UnsupportedModel": "Replace the steps that it lists ([estimators](../ESTIMATORS.md)), or "
    "export to ONNX yourself and convert the file ([ONNX](../ONNX.md)).",
    "ParityError": "The export is wrong: look at the rows that it shows. Do not loosen tolerances "
    "unless you know why they differ.",
    "BudgetExceeded": "Take a budget that a variant in its table keeps, or a smaller model.",
    "ExchangeError": "Mend what the message names: the address, the right to it, or the release.",
    "HubFault": "Read the reason.",
    "Invalid": "Mend the request or the file; the reason names the field or the line.",
    "Implausible": "Look at the device's clock, then at the device ([devices](../DEVICES.md)).",
    "Unauthenticated": "`edge-hub login URL`, or another token: this one is wrong or has expired.",
    "Forbidden": "Ask somebody with the role that it names ([people](../PEOPLE.md)).",
    "IdentityStopped": "`edge-hub devices list` says why; approve it, or enrol the device anew.",
    "NotFound": "Compare the name with what `list` shows.",
    "Conflict": "Read what is there first, then decide; asking again helps only after a change.",
    "GateRefused": "Read the table. `--override REASON` insists, and the reason stays on record.",
    "TooLarge": "Send less at once.",
    "TooSlow": "Look at the network between; the device tries again.",
    "TooManyRequests": "Wait as long as `Retry-After` says.",
    "Unavailable": "Wait as long as `Retry-After` says; `edge-hub health` says what is wrong.",
    "ProtocolRefusal": "Mend the request as the reason says ([inference](../INFERENCE.md)).",
    "LeadershipLost": "Nothing: another worker leads.",
    "EngineUnavailable": "Look at the cluster ([engine](../ENGINE.md)).",
}


def page() -> str:
    """Return the page."""
    parts = (
        ("On the device", "edge_sdk", device.EdgeError),
        ("When converting", "converters", converting.ConversionError),
        ("At the hub", "cloud_hub", hub.HubFault),
    )
    lines = [OPENING]
    for title, package, root in parts:
        lines += [f"## {title}", "", f"Import them from `{package}.errors`.", ""]
        lines += ["```text", *_drawn(root), "```", ""]
        lines += ["| error | means | do |", "|---|---|---|"]
        lines += [_row(kind) for kind, _ in kinds(root)]
        lines.append("")
    return "\n".join(lines)


def kinds(root: type[Exception], depth: int = 0) -> Iterator[tuple[type[Exception], int]]:
    """Yield the tree below an error, itself first, with how deep each stands."""
    yield root, depth
    for below in root.__subclasses__():
        if below.__module__ in (device.__name__, converting.__name__, hub.__name__, _WIRE):
            yield from kinds(below, depth + 1)


_WIRE: Final = device.ContractError.__module__


def _drawn(root: type[Exception]) -> Iterator[str]:
    for kind, depth in kinds(root):
        yield "    " * depth + kind.__name__


def _row(kind: type[Exception]) -> str:
    status = getattr(kind, "status", None) if issubclass(kind, hub.HubFault) else None
    name = f"`{kind.__name__}`" + (f" ({status})" if status else "")
    first = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
    means = re.sub(r":\w+:`([^`]*)`", r"`\1`", " ".join(first.split())).replace("``", "`")
    return f"| {name} | {means} | {ADVICE.get(kind.__name__, 'Read the reason.')} |"
