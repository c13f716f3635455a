"""Serving a hub with uvicorn."""

from __future__ import annotations

import socket

import uvicorn

from cloud_hub.api.admin_token import check_admin_token
from cloud_hub.app import create_app
from cloud_hub.database.serve_lock import sole_server
from cloud_hub.errors import HubFault
from cloud_hub.hub import open_hub, repository_of
from cloud_hub.settings import Settings
from edge_sdk.system.files import write_atomic


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; the URL is written to ``hub.url`` in the data folder.

    Raises:
        HubFault: the port is taken, the folder holds no hub, or another process serves it.
    """
    repository_of(settings.data)
    check_admin_token(settings.data / "admin.token")
    with sole_server(settings.data) as note_url, _listen(settings) as listener:
        hub = open_hub(settings)  # what is wrong with it is told before anybody is invited
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"http://{host}:{listener.getsockname()[1]}"
        note_url(url)
        write_atomic(settings.data / "hub.url", url.encode())
        print(f"edge-hub serves {settings.data} at {url}", flush=True)
        # Without a configuration of its own, uvicorn logs as the process does.
        config = uvicorn.Config(create_app(settings, hub), log_config=None, access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    """A socket that listens; of an address that is both, the IPv4 one."""
    asked = (settings.host, settings.port)
    try:
        found = socket.getaddrinfo(*asked, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        said = f"{settings.host}:{settings.port}: cannot listen; {error.strerror}"
        raise HubFault(said) from error
