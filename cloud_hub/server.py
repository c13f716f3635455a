"""Serving a hub with uvicorn."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from cloud_hub.api.connections import impatient_protocol, take_all_handles
from cloud_hub.api.token_files import ADMIN_FILE, check_usable
from cloud_hub.app import create_app
from cloud_hub.database.serve_lock import sole_server
from cloud_hub.errors import HubFault
from cloud_hub.hub import Hub, check_initialised, open_hub
from cloud_hub.settings import Settings
from edge_sdk.system.files import write_atomic


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; the URL is written to ``hub.url`` in the data folder.

    Raises:
        Conflict: another process serves the folder, or its database has to be upgraded first.
        HubFault: the port is taken, or the folder holds no hub.
    """
    check_initialised(settings)
    check_usable(settings.data / ADMIN_FILE)
    with (
        _private_files(),
        sole_server(settings.data) as note_url,
        _listen(settings) as listener,
    ):
        # Before the URL is written: whoever waits for it finds a hub that works.
        hub = open_hub(settings)
        hub.workers.check()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"http://{host}:{listener.getsockname()[1]}"
        note_url(url)
        write_atomic(settings.data / "hub.url", url.encode())
        print(f"edge-hub serves {settings.data} at {url}", flush=True)
        # Without a configuration of its own, uvicorn logs as the process does.
        config = uvicorn.Config(
            create_app(hub), log_config=None, access_log=False, forwarded_allow_ips=settings.proxy,
            http=impatient_protocol(),
        )  # fmt: skip
        take_all_handles()
        _Server(config, hub).run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that has devices wait for news, and answers them before it ends."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End as uvicorn does, which waits for every request."""
        self._hub.waiters.release()
        await super().shutdown(sockets)


@contextmanager
def _private_files() -> Iterator[None]:
    """Let whatever a library writes be for this user only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _listen(settings: Settings) -> socket.socket:
    """Return a socket that listens.

    It is made here and not by uvicorn, which would end the process where the port is taken. A name
    such as ``localhost`` may have an IPv4 and an IPv6 address: the first is what people type.
    """
    where = (settings.host, settings.port)
    try:
        addresses = socket.getaddrinfo(*where, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(addresses, key=lambda entry: entry[0] != socket.AF_INET)
        listener = socket.create_server(address[:2], family=family)
        # asyncio sets this on sockets that it makes itself. Without it the second packet of an
        # answer waits for the acknowledgement of the first, which clients delay by 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        reason = f"{settings.host}:{settings.port}: cannot listen; {error.strerror}"
        raise HubFault(reason) from error
