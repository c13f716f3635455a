"""``edge serve``: a device, or a release folder, for the other programs on this machine."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_sdk.cli.help import CommandGroups

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice

PORT: Final = 8080
Open = Callable[[argparse.Namespace], "EdgeDevice"]
"""Opens the enrolled device that the arguments name."""

LogOptions = Callable[[argparse.ArgumentParser], None]


def add_serve(commands: CommandGroups, enrolled: Open, log_options: LogOptions) -> None:
    """Add ``serve``.

    Args:
        commands: to add it to.
        enrolled: opens the device of a state folder.
        log_options: adds the options of logging.
    """
    serve = commands.add(
        "serve",
        "answer other programs on this machine, in the Open Inference Protocol over HTTP",
        [
            "edge serve state/ --port 8080",
            "edge serve digits-1.0/ --port 0 --socket /run/user/1000/edge.sock",
            "curl http://127.0.0.1:8080/v2/health/ready",
        ],
    )
    serve.add_argument("state", type=Path, help="the device's state folder, or a release folder")
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
    log_options(serve)

    def run(arguments: argparse.Namespace) -> int:
        return _serve(arguments, enrolled)

    serve.set_defaults(run=run)


def _serve(arguments: argparse.Namespace, enrolled: Open) -> int:
    from edge_sdk.cli.logs import configure_logging
    from edge_sdk.local_server.http_access import is_loopback
    from edge_sdk.local_server.server import LocalServer

    configure_logging(arguments.log_level, arguments.log_format)
    stopped = _stopped_by_signals()
    if not is_loopback(arguments.host):
        warning = f"edge: whoever reaches {arguments.host} may ask: the server asks nobody's name"
        print(warning, file=sys.stderr)
    with (
        _opened(arguments, enrolled) as device,
        LocalServer(
            device,
            host=arguments.host,
            port=arguments.port,
            path=arguments.socket,
            origins=arguments.origin,
        ) as server,
    ):
        print(server.url, flush=True)
        stopped.wait()
    return 0


def _opened(arguments: argparse.Namespace, enrolled: Open) -> EdgeDevice:
    from edge_sdk.contract.manifest import MANIFEST
    from edge_sdk.device import EdgeDevice

    if (arguments.state / MANIFEST).exists():
        return EdgeDevice.offline(arguments.state)
    return enrolled(arguments)


def _stopped_by_signals() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Outside the main thread there are no handlers to set; then nobody sends signals either.
        with contextlib.suppress(ValueError):
            signal.signal(number, lambda *_: stopped.set())
    return stopped
