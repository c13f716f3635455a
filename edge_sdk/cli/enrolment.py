"""``edge enrol``, ``join`` and ``identity``: joining fleets, and the key to join them with."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from edge_sdk.cli.help import CommandGroups, add_attributes
from edge_sdk.cli.output import show, show_status
from edge_sdk.cli.reaching import add_state, reached


def add_enrolment_commands(commands: CommandGroups, json_output: argparse.ArgumentParser) -> None:
    """Add ``enrol``, ``join`` and ``identity``."""
    _add_enrol(commands, json_output)
    _add_join(commands, json_output)
    example = "edge identity state/ --json"
    text = "show the device's name and public key; without a key, make one"
    identity = commands.add("identity", text, [example], parent=json_output)
    identity.add_argument("state", type=Path, help="the device's state folder; made if need be")
    identity.set_defaults(run=_identity)


def _add_enrol(commands: CommandGroups, json_output: argparse.ArgumentParser) -> None:
    examples = [
        "edge enrol state/ --hub https://hub:8000 --token T --model digits",
        "edge enrol state/ --hub https://hub:8000 --serial SN-17 --token SECRET --model digits",
        "edge enrol state/ --hub https://hub:8000 --again --token T --model digits",
    ]
    enrol = commands.add("enrol", "join a fleet", examples, parent=json_output)
    enrol.add_argument("state", type=Path, help="folder for the device's state; made if need be")
    enrol.add_argument("--hub", required=True, metavar="URL", help="of the hub, without a path")
    enrol.add_argument("--token", help="from edge-hub enrol-token, or the secret of the serial")
    enrol.add_argument(
        "--model", help="name of the model whose fleet to join (default: all that the token is for)"
    )
    enrol.add_argument(
        "--serial", help="serial number, if the device was registered: edge-hub devices register"
    )
    add_attributes(enrol)
    enrol.add_argument(
        "--again",
        action="store_true",
        help="with a new identity: after a clone or a restored backup, or when it was revoked",
    )
    enrol.set_defaults(run=_enrol)


def _add_join(commands: CommandGroups, json_output: argparse.ArgumentParser) -> None:
    join = commands.add(
        "join",
        "join the fleet of one more model with an enrolled device, whoever runs it",
        ["edge join state/ --model detector --token T"],
        parent=json_output,
    )
    add_state(join)
    join.add_argument("--model", required=True, help="name of the model")
    join.add_argument("--token", help="from edge-hub enrol-token, or the secret of the serial")
    join.add_argument("--serial", help="serial number, if the device was registered for the model")
    join.set_defaults(run=_join)


def _enrol(arguments: argparse.Namespace) -> int:
    from edge_sdk.device import EdgeDevice

    if arguments.again:
        _enrol_again(arguments)
    with EdgeDevice(
        arguments.state,
        hub=arguments.hub,
        token=arguments.token,
        model=arguments.model,
        serial=arguments.serial,
        attributes=dict(arguments.attribute),
        background=False,
    ) as device:
        show_status(device.status(), as_json=arguments.json)
    return 0


def _join(arguments: argparse.Namespace) -> int:
    with reached(arguments.state, arguments.hub, background=False) as device:
        joined = device.join(arguments.model, arguments.token, serial=arguments.serial)
        show(joined.status(), as_json=arguments.json)
    return 0


def _enrol_again(arguments: argparse.Namespace) -> None:
    from edge_sdk.fleet.enrolment import enrol
    from edge_sdk.hub.client import HubClient
    from edge_sdk.state_db import StateDatabase

    client = HubClient(arguments.hub)
    with contextlib.closing(StateDatabase(arguments.state)) as store:
        enrol(
            store,
            client,
            model=arguments.model,
            token=arguments.token,
            attributes=dict(arguments.attribute),
            serial=arguments.serial,
            again=True,
        )


def _identity(arguments: argparse.Namespace) -> int:
    from edge_sdk.fleet.identity import Identity, IdentityStore
    from edge_sdk.state_db import StateDatabase

    with contextlib.closing(StateDatabase(arguments.state)) as store:
        identities = IdentityStore(store)
        if identities.identity is None:
            identities.save(Identity.new())
        own = identities.identity
    assert own is not None
    facts = {
        "device": own.device or None,
        "models": list(own.models),
        "public_key": own.key.public,
        "attributes": dict(own.attributes),
    }
    show(facts, as_json=arguments.json)
    return 0
