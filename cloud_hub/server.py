"""Serving a hub with uvicorn."""

from __future__ import annotations

import functools
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import uvicorn

from cloud_hub.api.connections import duplicate_listeners, impatient_protocol, take_all_handles
from cloud_hub.api.token_files import ADMIN_FILE, check_usable
from cloud_hub.app import create_app
from cloud_hub.database.serve_lock import sole_server
from cloud_hub.deferred.start import keep_what_is_there
from cloud_hub.errors import HubFault
from cloud_hub.hub import Hub, open_hub
from cloud_hub.processes.metrics_folder import count_as, share_metrics
from cloud_hub.processes.supervisor import Ready, Supervisor
from cloud_hub.processes.tls import LOOK_SECONDS, ServedCertificate
from cloud_hub.registry.opening import check_initialised
from cloud_hub.settings import Settings
from edge_sdk.system.files import write_atomic

BACKLOG: Final = 8_192
"""Connections that wait to be accepted; a system has a limit of its own (``somaxconn``). A device
that finds no room tries again by itself, after a second and then ever more rarely."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; the URL is written to ``hub.url`` in the data folder.

    Raises:
        Conflict: another process serves the folder, or its database has to be upgraded first.
        HubFault: the port is taken, the folder holds no hub, or its database takes one process.
    """
    many, server = settings.servers > 1, settings.on_server
    if not many:  # else each worker does: nothing may start a thread before it is forked
        check_initialised(settings)
    check_usable(settings.data / ADMIN_FILE)
    if many and not server:
        raise HubFault(
            f"--workers {settings.servers}: SQLite takes one process; give --database "
            "postgresql+psycopg://HOST/NAME, or leave --workers out"
        )
    with _private_files(), sole_server(settings.data, shared=server) as note_url:
        if many:
            _serve_together(settings, note_url)
            return
        with _listen(settings) as listener:
            where = _url(settings, listener)
            _serve_on(settings, listener, lambda: _announce(settings, where, note_url))


def _serve_together(settings: Settings, note_url: Callable[[str], None]) -> None:
    """Serve by several processes, which the kernel spreads connections over.

    Each opens a listener of its own on the same port. So one that is being started gets nothing
    yet, and one that ends gets nothing any more.
    """
    with _listen(settings):  # else a second hub on this port would take half of the requests
        pass
    with _reserved(settings) as reserved:
        where = _url(settings, reserved)
        same = replace(settings, port=reserved.getsockname()[1])
        share_metrics(settings.data / "metrics")

        def work(place: int, ready: Ready) -> None:
            count_as(place)
            with _listen(same, together=True) as listener:
                _serve_on(same, listener, ready)

        announce = functools.partial(_announce, settings, where, note_url)
        keep_what_is_there()  # before the workers: what no process writes to, all share
        Supervisor(settings.servers, work, announce).run()


def _serve_on(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Open the hub and serve it on a socket until a signal ends this process."""
    # Before anybody is told: whoever waits for that finds a hub that works.
    certificate = ServedCertificate(settings.tls) if settings.tls is not None else None
    hub = open_hub(settings)
    hub.workers.check()
    listener.listen(BACKLOG)
    ready()
    # Without a configuration of its own, uvicorn logs as the process does.
    config = uvicorn.Config(
        create_app(hub), log_config=None, access_log=False, forwarded_allow_ips=settings.proxy,
        http=impatient_protocol(), backlog=BACKLOG,
    )  # fmt: skip
    take_all_handles()
    keep_what_is_there()
    _Server(config, hub, certificate).run(sockets=duplicate_listeners(listener))


class _Server(uvicorn.Server):
    """A server that has devices wait for news, and answers them before it ends."""

    def __init__(
        self, config: uvicorn.Config, hub: Hub, certificate: ServedCertificate | None = None
    ) -> None:
        super().__init__(config)
        self._hub, self._certificate, self._look_at = hub, certificate, 0.0
        if certificate is not None:
            config.load()
            config.ssl = certificate.context

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does ten times a second, and now and then look at the certificate."""
        now = time.monotonic()
        if self._certificate is not None and now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._certificate.look()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End as uvicorn does, which waits for every request."""
        self._hub.waiters.release()
        self._hub.events.release()
        await super().shutdown(sockets)


def _announce(settings: Settings, url: str, note_url: Callable[[str], None]) -> None:
    note_url(url)
    if settings.tls is not None:  # commands on this machine know the hub by it
        certificate = str(settings.tls.certificate.resolve())
        write_atomic(settings.data / "hub.cert", certificate.encode())
    write_atomic(settings.data / "hub.url", url.encode())
    print(f"edge-hub serves {settings.data} at {url}", flush=True)


def _url(settings: Settings, bound: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "http" if settings.tls is None else "https"
    return f"{scheme}://{host}:{bound.getsockname()[1]}"


@contextmanager
def _private_files() -> Iterator[None]:
    """Let whatever a library writes be for this user only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _reserved(settings: Settings) -> socket.socket:
    """Return a socket that holds a port for workers, and listens to nobody."""
    family, address = _address(settings)
    reserved = socket.socket(family)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with _told(settings):
        reserved.bind(address)
    return reserved


def _listen(settings: Settings, *, together: bool = False) -> socket.socket:
    """Return a socket that listens.

    It is made here and not by uvicorn, which would end the process where the port is taken.

    Args:
        settings: say where.
        together: other processes of this hub listen there too.
    """
    family, address = _address(settings)
    with _told(settings):
        if not together:
            listener = socket.create_server(address, family=family)
        else:  # it listens once its hub is open: what comes before goes to another worker
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(address)
        # asyncio sets this on sockets that it makes itself. Without it the second packet of an
        # answer waits for the acknowledgement of the first, which clients delay by 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener


def _address(settings: Settings) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Return where to listen.

    A name such as ``localhost`` may have an IPv4 and an IPv6 address: the first is what people
    type.
    """
    where = (settings.host, settings.port)
    with _told(settings):
        addresses = socket.getaddrinfo(*where, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(addresses, key=lambda entry: entry[0] != socket.AF_INET)
        return family, (str(address[0]), int(address[1]))


@contextmanager
def _told(settings: Settings) -> Iterator[None]:
    """Say in one sentence why nobody can listen there; raises HubFault."""
    try:
        yield
    except OSError as error:
        reason = f"{settings.host}:{settings.port}: cannot listen; {error.strerror}"
        raise HubFault(reason) from error
