"""``edge serve``: a device, or a release folder, for the other programs on this machine."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_sdk.cli.help import CommandGroups
from edge_sdk.cli.log_options import add_log_options
from edge_sdk.cli.providers import add_provider_options, providers_of
from edge_sdk.cli.reaching import reached

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice

PORT: Final = 8080


def add_serve(commands: CommandGroups) -> None:
    """Add ``serve``."""
    serve = commands.add(
        "serve",
        "answer other programs on this machine, in the Open Inference Protocol over HTTP",
        [
            "edge serve state/ --port 8080",
            "edge serve digits-1.0/ faces-2.1/ --port 0 --socket /run/user/1000/edge.sock",
            "curl http://127.0.0.1:8080/v2/health/ready",
        ],
    )
    serve.add_argument(
        "state",
        type=Path,
        nargs="+",
        help="the device's state folder; or release folders, each of another model",
    )
    serve.add_argument("--hub", metavar="URL", help="of the hub (default: the one of last time)")
    serve.add_argument(
        "--port", type=int, default=PORT, help=f"0 for one that is free (default: {PORT})"
    )
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1); on any other, whoever reaches this "
        "machine may ask",
    )
    serve.add_argument("--socket", type=Path, metavar="PATH", help="also serve a Unix socket here")
    serve.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="URL",
        help="of a web page whose scripts may ask, such as http://localhost:3000; may be repeated",
    )
    add_provider_options(serve)
    add_log_options(serve)

    serve.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    from edge_sdk.cli.logs import configure_logging
    from edge_sdk.local_server.http_access import is_loopback
    from edge_sdk.local_server.server import LocalServer
    from edge_sdk.service.manager import ServiceManager, supervised
    from edge_sdk.service.run import described
    from edge_sdk.service.stopping import until_stopped

    configure_logging(arguments.log_level, arguments.log_format)
    if not is_loopback(arguments.host):
        warning = f"edge: whoever reaches {arguments.host} may ask: the server asks nobody's name"
        print(warning, file=sys.stderr)
    with (
        contextlib.suppress(KeyboardInterrupt),
        until_stopped() as signals,
        _opened(arguments) as device,
        LocalServer(
            device,
            host=arguments.host,
            port=arguments.port,
            path=arguments.socket,
            origins=arguments.origin,
        ) as server,
        supervised(device, functools.partial(described, device), ServiceManager()),
    ):
        print(server.url, flush=True)
        signals.sleep()
    return 0


def _opened(arguments: argparse.Namespace) -> EdgeDevice:
    """Return a device of the release folders that were named, or that of a state folder."""
    from edge_sdk.contract.manifest import MANIFEST
    from edge_sdk.device import EdgeDevice
    from edge_sdk.errors import StateError

    folders: list[Path] = arguments.state
    if (folders[0] / MANIFEST).exists():
        return EdgeDevice.offline(folders, providers=providers_of(arguments))
    if len(folders) > 1:
        raise StateError(
            f"{folders[0]}: expected a release folder: several folders are releases of a device "
            "without a hub, and the state folder of a device stands alone"
        )
    return reached(folders[0], arguments.hub, providers=providers_of(arguments))
