"""Serving a hub with uvicorn."""

from __future__ import annotations

import socket

import uvicorn

from cloud_hub.app import create_app
from cloud_hub.claim import sole_server
from cloud_hub.errors import HubFault
from cloud_hub.settings import Settings
from edge_sdk.files import write_atomic


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; the URL is written to ``hub.url`` in the data folder.

    Raises:
        HubFault: the port is taken, the folder holds no hub, or another process serves it.
    """
    if not (settings.data / "repository").exists():
        raise HubFault(f"{settings.data}: holds no hub; run edge-hub init {settings.data}")
    with sole_server(settings.data) as note_url, _listen(settings) as listener:
        url = f"http://{settings.host}:{listener.getsockname()[1]}"
        note_url(url)
        write_atomic(settings.data / "hub.url", url.encode())
        print(f"edge-hub serves {settings.data} at {url}", flush=True)
        config = uvicorn.Config(create_app(settings), log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        raise HubFault(f"{settings.host}:{settings.port}: cannot listen; {error}") from error
    return listener
